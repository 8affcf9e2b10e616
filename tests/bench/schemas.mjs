// SPDX-License-Identifier: MIT
// JSON schemas of our own making in the shapes of those that people publish and send: tools of agents, what zod and pydantic write, files of
// configuration, descriptions of HTTP APIs, resources of clusters.
// schemas.mjs make COUNT SEED    orders for tests/e2e/schema_walk.c, one a line
// schemas.mjs sum                its answers on standard input: "name number" lines
import { createInterface } from 'node:readline'

let state = 1
const random = () => { // xorshift32: the same schemas for the same seed on every machine
    state ^= state << 13; state >>>= 0
    state ^= state >>> 17
    state ^= state << 5; state >>>= 0
    return state / 2 ** 32
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]
const maybe = (chance, value) => (random() < chance ? value() : {})
const NAMES = ['id', 'name', 'path', 'city', 'url', 'email', 'count', 'limit', 'tags', 'kind', 'items', 'values', 'status', 'created_at', 'content-type', '$ref_like', 'über']
const names = (n) => [...NAMES].sort(() => random() - 0.5).slice(0, n)
const fields = (n, make) => Object.fromEntries(names(n).map((name) => [name, make(name)]))
const some = (keys) => keys.filter(() => random() < 0.6)
const object = (properties, more = {}) => ({ type: 'object', properties, required: some(Object.keys(properties)), ...more })

const string = () => ({ type: 'string', ...maybe(0.3, () => ({ description: 'what it is' })), ...maybe(0.15, () => ({ minLength: below(5), maxLength: 5 + below(40) })), ...maybe(0.1, () => ({ format: pick(['email', 'uri', 'uuid', 'date-time', 'date', 'ipv4', 'file-path', 'hostname', 'duration', 'byte']) })), ...maybe(0.1, () => ({ pattern: pick(['^[a-z][a-z0-9-]*$', '^\\d{4}-\\d{2}$', '[A-Z]{2,5}', '^(a|b)+$', '^https?://\\S+$', '^[^\\s]+$']) })) })
const number = () => ({ type: pick(['integer', 'integer', 'number']), ...maybe(0.3, () => ({ minimum: below(3) })), ...maybe(0.2, () => ({ maximum: 10 + below(1000) })), ...maybe(0.05, () => ({ multipleOf: pick([5, 10, 0.5]) })), ...maybe(0.05, () => ({ exclusiveMinimum: -1 })) })
const choice = () => ({ type: 'string', enum: names(2 + below(4)) })
const scalar = () => pick([string, string, string, number, choice, () => ({ type: 'boolean' })])()
const array = (of) => ({ type: 'array', items: of, ...maybe(0.2, () => ({ minItems: 1 })), ...maybe(0.15, () => ({ maxItems: 1 + below(20) })), ...maybe(0.1, () => ({ uniqueItems: true })) })
const value = (depth) => (depth <= 0 || random() < 0.6 ? scalar() : random() < 0.5 ? array(value(depth - 1)) : object(fields(1 + below(4), () => value(depth - 1))))

const SHAPES = {
    tool: () => object(fields(below(6), () => value(2)), maybe(0.4, () => ({ additionalProperties: false }))),
    zod: () => {
        const branch = (kind) => object({ kind: { type: 'string', const: kind }, ...fields(1 + below(3), scalar) }, { additionalProperties: false })
        const properties = fields(1 + below(5), () => pick([scalar, () => ({ anyOf: [scalar(), { type: 'null' }] }), () => array(scalar()), () => ({ anyOf: [branch('a'), branch('b')] }),
            () => ({ type: 'object', propertyNames: { type: 'string' }, additionalProperties: scalar() }), () => ({ type: 'array', prefixItems: [scalar(), scalar()] })])())
        return { $schema: 'https://json-schema.org/draft/2020-12/schema', ...object(properties, { additionalProperties: false }) }
    },
    pydantic: () => {
        const part = object(fields(1 + below(4), (n) => ({ title: n, ...scalar() })), { title: 'Part' })
        const properties = fields(1 + below(5), (n) => pick([() => ({ title: n, ...scalar() }), () => ({ $ref: '#/$defs/Part' }), () => ({ anyOf: [{ $ref: '#/$defs/Part' }, { type: 'null' }], default: null }), () => array({ $ref: '#/$defs/Part' }), () => ({ title: n, type: 'object', additionalProperties: number() })])())
        return { $defs: { Part: part }, title: 'Model', ...object(properties) }
    },
    configuration: () => ({
        $schema: 'http://json-schema.org/draft-07/schema#', $id: 'https://example.org/config.json',
        definitions: { rule: { oneOf: [{ type: 'string' }, object(fields(2, scalar)), { type: 'boolean' }] } },
        ...object({ $schema: { type: 'string' }, ...fields(2 + below(6), () => pick([() => value(2), () => ({ $ref: '#/definitions/rule' }), () => ({ type: ['string', 'number', 'null'] }), () => ({ type: 'object', patternProperties: { '^[a-z]+$': scalar() }, additionalProperties: false }), () => ({ enum: [true, 'auto', 3, null], default: 'auto' }), () => ({ type: 'object', minProperties: 1, additionalProperties: { type: 'string' } })])()) }),
        ...maybe(0.1, () => ({ not: { required: ['never'] } })), ...maybe(0.1, () => ({ if: { properties: { id: { const: 'x' } } }, then: { required: ['name'] } })), ...maybe(0.05, () => ({ dependentRequired: { id: ['name'] } })), examples: [{}],
    }),
    api: () => ({
        components: { schemas: { Base: object({ uid: { type: 'integer', format: 'int64', readOnly: true } }) } },
        allOf: [{ $ref: '#/components/schemas/Base' }, object(fields(1 + below(5), () => ({ ...scalar(), ...maybe(0.2, () => ({ nullable: true })), ...maybe(0.2, () => ({ example: 'x', deprecated: true })) })))],
    }),
    cluster: () => object({
        apiVersion: { type: 'string', enum: ['v1'] }, kind: { type: 'string', enum: ['Thing'] },
        metadata: object({ name: { type: 'string', maxLength: 63, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' }, labels: { type: 'object', additionalProperties: { type: 'string' } } }),
        spec: object({ replicas: { type: 'integer', format: 'int32', minimum: 0 }, port: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true }, ...fields(below(5), () => value(3)) }),
    }),
}

function make(count, seed) {
    state = seed
    const shapes = Object.keys(SHAPES)
    for (let i = 0; i < count; i++) console.log(JSON.stringify({ schema: SHAPES[shapes[i % shapes.length]](), closed: true, loose: true, count: 4, seed: seed + i }))
}

async function sum() {
    const n = { all: 0, refused: 0, partial: 0, texts: 0, wrong: 0 }
    for await (const line of createInterface({ input: process.stdin })) {
        const answer = JSON.parse(line)
        n.all++
        if (answer.error) n.refused++
        else if (answer.partial) n.partial++
        else for (const verdict of answer.verdicts) n[verdict === 'fails' ? 'wrong' : 'texts']++
    }
    console.log(`refused ${(100 * n.refused) / n.all}\nchecked ${(100 * n.partial) / n.all}\ntexts ${n.texts + n.wrong}\nwrong ${n.wrong}`)
}

if (process.argv[2] === 'make') make(Number(process.argv[3]), Number(process.argv[4]))
else await sum()
