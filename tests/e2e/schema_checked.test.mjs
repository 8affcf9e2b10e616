// SPDX-License-Identifier: MIT
// Conditions that no grammar can express are checked in the finished answer. The model is told the fault once. If the answer then still doesn't fit, a
// header says so or, where the schema is strict, the answer is an error. An answer's schema works together with tools.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Fake, script } from './lib/openai.mjs'

const fake = await new Fake().open()
after(() => fake.stop())
const schema = { type: 'array', items: { type: 'integer' }, uniqueItems: true }
const ask = (pieces, more) => fetch(`${fake.api}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'fake-model', messages: [{ role: 'user', content: script({ pieces }) }], ...more }) })
const format = (strict) => ({ response_format: { type: 'json_schema', json_schema: { name: 'r', strict, schema } } })
const tool = (strict) => ({ tools: [{ type: 'function', function: { name: 'f', strict, parameters: { type: 'object', properties: { a: schema } } } }] })
const call = (a) => [`<tool_call>{"name": "f", "arguments": {"a": ${JSON.stringify(a)}}}</tool_call>`]

for (const [what, more, write] of [['an answer', format, (a) => [JSON.stringify(a)]], ['a tool call', tool, call]])
    for (const strict of [false, true])
        test(`${what}${strict ? ', strict' : ''}`, async () => {
            const right = await ask(write([1, 2]), more(strict)), { submitted } = await fake.status()
            const wrong = await ask(write([1, 1]), more(strict))
            assert.equal((await fake.status()).submitted - submitted, 2, 'the model is told what was wrong, once')
            assert.deepEqual([right.status, right.headers.get('x-caravan-schema')], [200, null])
            await right.json()
            const body = await wrong.json()
            if (!strict) assert.deepEqual([wrong.status, wrong.headers.get('x-caravan-schema')], [200, 'unchecked'])
            else assert.ok(wrong.status === 500 && /equal/.test(body.error.message), JSON.stringify(body))
        })

test('a stream says at its beginning that it is not checked', async () => {
    const r = await ask(['[1]'], { ...format(false), stream: true })
    assert.equal(r.headers.get('x-caravan-schema'), 'unchecked')
    await r.text()
})

test('tools with a schema for the answer: a call is possible, and may be required', async () => {
    for (const tool_choice of ['auto', 'required']) {
        const r = await (await ask(call([3]), { ...format(false), ...tool(false), tool_choice })).json()
        assert.equal(r.choices[0].finish_reason, 'tool_calls')
    }
})
