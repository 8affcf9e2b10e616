// SPDX-License-Identifier: MIT
// Texts generated at random under the grammars of schemas, judged by another validator (npm ajv): every one of them must fit its schema.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { load } from './lib/openai.mjs'

const { default: Ajv } = await load('ajv')
const { default: Ajv2020 } = await load('ajv/dist/2020.js')
const { default: addFormats } = await load('ajv-formats')
const walker = path.join(process.env.CARAVAN_BUILD, 'bin', 'schema_walk')

function walk(orders) {
    const run = spawnSync(walker, { input: orders.map((o) => JSON.stringify(o)).join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 28 })
    assert.equal(run.status, 0, run.stderr.slice(-2000))
    return run.stdout.trim().split('\n').map((line) => JSON.parse(line))
}

// Returns how many texts were judged.
function judge(orders, mayRefuse, Judge = Ajv2020) {
    let judged = 0, refused = 0, wrong = 0
    const answers = walk(orders)
    assert.equal(answers.length, orders.length)
    answers.forEach((answer, i) => {
        const ajv = new Judge({ strict: false, validateFormats: true, multipleOfPrecision: 9 })
        addFormats(ajv)
        if (answer.error) {
            assert.ok(mayRefuse, `${JSON.stringify(orders[i].schema)}: ${answer.error}`)
            refused++
            return
        }
        const validate = ajv.compile(orders[i].schema)
        answer.texts.forEach((text, k) => {
            const where = `${text} under ${JSON.stringify(orders[i].schema)}`
            assert.notEqual(text, null, `no end: ${where}`)
            const valid = validate(JSON.parse(text))
            if (!answer.partial) assert.ok(valid, `${where}: ${ajv.errorsText(validate.errors)}`)
            if (answer.verdicts[k] !== 'unknown') assert.equal(answer.verdicts[k], valid ? 'fits' : 'fails', `${where}: ${ajv.errorsText(validate.errors)}`)
            if (!valid) wrong++
            judged++
        })
    })
    return { judged, refused, wrong }
}

const person = {
    type: 'object',
    properties: {
        name: { type: 'string', minLength: 1, maxLength: 40 },
        born: { type: 'string', format: 'date' },
        seen: { type: 'string', format: 'date-time' },
        mail: { type: 'string', format: 'email' },
        id: { type: 'string', format: 'uuid' },
        address: { type: 'string', format: 'ipv4' },
        address6: { type: 'string', format: 'ipv6' },
        took: { type: 'string', format: 'duration' },
        page: { type: 'string', format: 'uri' },
        host: { type: 'string', format: 'hostname' },
        age: { type: 'integer', minimum: 0, maximum: 130 },
        share: { type: 'number', exclusiveMinimum: -0.25, maximum: 17.125 },
        code: { type: 'string', pattern: '^[A-Z]{2,3}-\\d{1,4}(\\.[a-f]+)?$' },
        loose: { type: 'string', pattern: 'b+|c$' },
        kind: { enum: ['a', 1, null, { x: [true] }] },
    },
    required: ['name', 'age', 'share'],
    additionalProperties: false,
}
const written = [
    person,
    { $defs: { tree: { type: 'object', properties: { v: { type: 'integer' }, kids: { type: 'array', items: { $ref: '#/$defs/tree' }, maxItems: 2 } },
        required: ['v'] } }, $ref: '#/$defs/tree' },
    { type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: { type: 'string' }, required: ['z'] },
    { type: 'object', properties: { foo: { type: 'null' }, food: { type: 'null' }, 'f"\\é': { type: 'null' } } },
    { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: { type: 'boolean' }, minItems: 1, maxItems: 5 },
    { allOf: [{ anyOf: [{ type: 'integer' }, { type: 'string' }] }, { anyOf: [{ maximum: 7, maxLength: 3 }, { const: 99 }] }] },
    { oneOf: [{ type: 'object', properties: { t: { const: 'x' }, n: { type: 'number' } }, required: ['t', 'n'] },
        { type: 'object', properties: { t: { const: 'y' } }, required: ['t'], additionalProperties: false }] },
    { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 3 },
    { minLength: 2, maximum: 5, maxItems: 1, required: ['q'] },
    ...[[0, 1], [-1.5, 2.25], [0.001, 0.0011], [99, 1001], [-1000, -999.5], [5, 5]].flatMap(([minimum, maximum]) =>
        ['integer', 'number'].filter((type) => type === 'number' || Math.ceil(minimum) <= maximum).map((type) => ({ type, minimum, maximum }))),
]

test('written schemas, open and closed', () => {
    const orders = written.flatMap((schema, i) => [false, true].map((closed) => ({ schema, closed, count: 40, seed: 1000 + i })))
    const { judged } = judge(orders, false)
    assert.ok(judged >= 1000)
})

// Schemas that a grammar can't express, or only in part: the rest is checked afterwards, by the same rules as here.
const checked = [
    { type: 'array', items: { enum: [1, 2, 3] }, uniqueItems: true, minItems: 2, maxItems: 4 },
    { type: 'array', items: { type: 'integer', minimum: 0, maximum: 9 }, contains: { minimum: 5 }, minContains: 2, maxItems: 5 },
    { type: 'object', properties: { a: { type: 'boolean' }, b: { type: 'boolean' } }, not: { required: ['a', 'b'] } },
    { type: 'object', properties: { k: { enum: ['x', 'y'] }, v: { type: 'integer', minimum: 0, maximum: 9 } }, required: ['k', 'v'], additionalProperties: false,
        if: { properties: { k: { const: 'x' } } }, then: { properties: { v: { minimum: 5 } } }, else: { properties: { v: { maximum: 4 } } } },
    { type: 'object', properties: { a: {}, b: {}, c: {} }, dependentRequired: { a: ['b'] }, dependentSchemas: { c: { minProperties: 2 } }, additionalProperties: false },
    { type: 'object', properties: { a: { type: 'null' } }, patternProperties: { '^x': { type: 'null' } }, unevaluatedProperties: false },
    { type: 'array', prefixItems: [{ type: 'null' }], unevaluatedItems: { type: 'integer' }, maxItems: 4 },
    { oneOf: [{ type: 'integer', minimum: 0, maximum: 9 }, { type: 'integer', minimum: 5, maximum: 12 }] },
    { anyOf: [{ type: 'array', uniqueItems: true, items: { type: 'boolean' }, maxItems: 3 }, { type: 'null' }] },
    { type: 'object', properties: { a: {}, b: {}, c: {} }, minProperties: 2, maxProperties: 2, additionalProperties: false },
    { type: 'integer', multipleOf: 1234, minimum: 0, maximum: 5000 },
    { type: 'string', pattern: '^(a|b|)\\1x{0,2}$', maxLength: 3 },
    { type: 'object', additionalProperties: { type: 'integer', multipleOf: 0.5, minimum: -3, maximum: 3 }, propertyNames: { pattern: '^[a-c]{1,2}$' }, maxProperties: 3 },
    { type: 'number', multipleOf: 0.05, exclusiveMinimum: -1, maximum: 1 },
    { type: 'object', patternProperties: { '^[ab]$': { type: 'integer' }, '^[bc]$': { minimum: 3 } }, additionalProperties: { type: 'null' }, maxProperties: 3 },
    { type: 'string', format: 'uuid', pattern: '^[0-9a-f]{8}-' }, { type: 'string', format: 'date-time', pattern: 'Z$', maxLength: 20 },
    { type: 'string', pattern: '^(?=.*[A-Z])(?!.*--)[A-Za-z-]{3,8}$' }, { type: 'string', format: 'email', maxLength: 15 },
]

test('schemas of which a part is checked afterwards', () => {
    const { judged, wrong } = judge(checked.flatMap((schema, i) => [false, true].map((closed) => ({ schema, closed, loose: true, count: 40, seed: 50 + i }))), false)
    console.log(`${judged} texts judged, ${wrong} of them wrong`)
    assert.ok(judged > 1000 && wrong > 50)
})

// Random schemas of all keywords that are handled.
function randomSchemas(seed, count) {
    let state = seed
    const random = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor(state / 2 ** 32 * n) }
    const pick = (list) => list[random(list.length)]
    const bound = () => pick([random(1000) - 500, (random(100000) - 50000) / 100, random(10)])
    const make = (depth) => {
        const kind = random(depth > 2 ? 6 : 10)
        const low = bound(), n = random(5)
        switch (kind) {
        case 0: return { type: 'integer', minimum: low, maximum: low + 1 + random(2000) }
        case 1: return { type: 'number', [pick(['minimum', 'exclusiveMinimum'])]: low, [pick(['maximum', 'exclusiveMaximum'])]: low + 1 + random(50) / 8 }
        case 2: return { type: 'string', minLength: n, maxLength: n + random(20) }
        case 3: return { type: pick([['string', 'null'], 'boolean', ['integer', 'boolean'], 'null']) }
        case 4: return { enum: [random(9), 'v' + random(9), null, [random(3)], { k: random(4) }].slice(random(3)) }
        case 5: return { type: 'string', pattern: pick(['^[a-z]+$', 'x', '^(ab|c){1,4}d?$', '^\\w{2}\\s\\D$', '^[^"\\\\]*$', '^a|b$']) }
        case 6: return { type: 'array', items: make(depth + 1), minItems: random(3), maxItems: 2 + random(3) }
        case 7: return { anyOf: [make(depth + 1), make(depth + 1)] }
        case 8: return { type: 'array', prefixItems: [make(depth + 1), make(depth + 1)], items: pick([false, true, make(depth + 1)]), maxItems: 4 }
        default: {
            const names = ['a', 'ab', 'b"', 'ü', 'abc'].slice(random(3))
            return { type: 'object', properties: Object.fromEntries(names.map((k) => [k, make(depth + 1)])), required: names.filter(() => random(2)),
                ...pick([{}, { additionalProperties: false }, { additionalProperties: make(depth + 1) }]) }
        }
        }
    }
    return Array.from({ length: count }, () => make(0))
}

test('random schemas', () => {
    const seed = Number(process.env.CARAVAN_SEED ?? 7)
    const schemas = randomSchemas(seed, 150)
    const { judged, refused } = judge(schemas.map((schema, i) => ({ schema, closed: i % 2 === 0, count: 10, seed: i })), true)
    console.log(`seed ${seed}: ${judged} texts judged, ${refused} schemas refused`)
    assert.ok(judged > 1000 && refused < 15)
})

const suite = path.join(process.env.CARAVAN_SOURCE, 'build/sysroot-test/usr/share/json-schema-test-suite/tests/draft7')
test('the schemas of the JSON Schema test suite', { skip: !existsSync(suite) && 'no test suite; make sysroot-test fetches it' }, () => {
    const { judged, refused } = judge(readdirSync(suite).filter((f) => f.endsWith('.json') && !/^(ref|definitions|refRemote|items)/.test(f))
        .flatMap((f) => JSON.parse(readFileSync(path.join(suite, f), 'utf8')))
        .map(({ schema }, i) => ({ schema, closed: i % 2 === 0, count: 10, seed: i })), true, Ajv)
    console.log(`${judged} texts judged, ${refused} schemas refused`)
    assert.ok(judged > 300)
})
