// SPDX-License-Identifier: MIT
// Tools on real nodes with the real demo model, which never learned tools: it makes a required or named call nevertheless, and the call fits its
// schema, since a grammar in the tail stage enforces it.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { startCluster, stopCluster } from './lib/cluster.mjs'
import { Matrix } from './lib/matrix.mjs'
import { load } from './lib/openai.mjs'

const { default: OpenAI } = await load('openai')
const { default: Ajv } = await load('ajv/dist/2020.js')
const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '4'] })
const matrix = new Matrix()
after(() => stopCluster(nodes).then(() => matrix.check()))
const client = new OpenAI({ baseURL: `${await matrix.open('openai', nodes[1].api)}/v1`, apiKey: 'none', maxRetries: 0 })
const model = (await client.models.list()).data[0].id

const walk = {
    type: 'object',
    properties: { to: { type: 'string', maxLength: 12 }, llamas: { type: 'integer', minimum: 1, maximum: 40 }, pace: { enum: ['slow', 'brisk'] }, loads: { type: 'array', items: { type: 'boolean' }, maxItems: 3 } },
    required: ['to', 'llamas', 'pace'],
    additionalProperties: false,
}
const rest = { type: 'object', properties: { hours: { type: 'integer', minimum: 1, maximum: 9 } }, required: ['hours'], additionalProperties: false }
const tools = [{ type: 'function', function: { name: 'walk', description: 'The caravan walks.', parameters: walk } }, { type: 'function', function: { name: 'rest', description: 'The caravan rests.', parameters: rest } }]
const valid = { walk: new Ajv().compile(walk), rest: new Ajv().compile(rest) }
const body = { model, messages: [{ role: 'user', content: 'Where does the caravan go today?' }], tools, max_tokens: 300 }

function check(choice, names) {
    assert.equal(choice.finish_reason, 'tool_calls')
    for (const c of choice.message.tool_calls) {
        assert(names.includes(c.function.name), c.function.name)
        const args = JSON.parse(c.function.arguments)
        assert(valid[c.function.name](args), `${c.function.name}(${c.function.arguments}): ${JSON.stringify(valid[c.function.name].errors)}`)
    }
}

test('required: there is a call, and it fits', async () => {
    for (const [seed, temperature] of [[1, 0], [2, 1], [3, 1.5], [4, 2]]) {
        const r = await client.chat.completions.create({ ...body, tool_choice: 'required', parallel_tool_calls: false, seed, temperature })
        assert.equal(r.choices[0].message.tool_calls.length, 1)
        check(r.choices[0], ['walk', 'rest'])
        assert.equal(r.choices[0].message.content, null)
    }
})

test('named: this one, also streamed, the same', async () => {
    for (const name of ['walk', 'rest']) {
        const asked = { ...body, tool_choice: { type: 'function', function: { name } }, parallel_tool_calls: false, seed: 5, temperature: 1 }
        const whole = await client.chat.completions.create(asked)
        check(whole.choices[0], [name])
        const streamed = await client.chat.completions.stream(asked).finalChatCompletion()
        check(streamed.choices[0], [name])
        assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, whole.choices[0].message.tool_calls[0].function.arguments)
    }
})

test('auto: an answer, of one kind or the other', async () => {
    const r = await client.chat.completions.create({ ...body, temperature: 0, max_tokens: 60 })
    const { content, tool_calls } = r.choices[0].message
    assert(content?.length > 0 || tool_calls?.length > 0)
    const none = await client.chat.completions.create({ ...body, tool_choice: 'none', temperature: 0, max_tokens: 20 })
    assert.equal(none.choices[0].message.tool_calls, undefined)
})

// Ways through a grammar multiply where parts may be empty: a thousand are followed at once, and a million million are refused.
test('grammars with many ways: one is followed, one is refused, and no other request waits', async () => {
    const complete = (grammar) => client.completions.create({ model, prompt: 'a', max_tokens: 40, temperature: 0, grammar })
    const ways = `root ::=${' x'.repeat(40)}\nx ::=${' "a"?'.repeat(24)}`
    const stacks = ['root ::= x0', ...Array.from({ length: 40 }, (_, i) => `x${i} ::= x${i + 1} "a" | x${i + 1} "b"`), 'x40 ::= "c"'].join('\n')
    const others = Promise.all([1, 2].map((seed) => client.completions.create({ model, prompt: 'The llama', max_tokens: 30, seed })))
    const [r, refused] = await Promise.all([complete(ways), complete(stacks).catch((e) => e)])
    assert.match(r.choices[0].text, /^a*$/)
    assert.equal(refused.status, 400)
    assert.match(refused.message, /too many ways/)
    for (const o of await others) assert(o.choices[0].text.length > 0)
    await assert.rejects(complete('root ::= "a'), (e) => e.status === 400 && /not closed/.test(e.message))
})
