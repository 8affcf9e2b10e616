// SPDX-License-Identifier: MIT
// The APIs on real nodes, asked at the node that does not have the head: tokens, counts, Anthropic's and Ollama's clients, structured
// output, and responses that outlive their node.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { startCluster, stopCluster } from './lib/cluster.mjs'
import { Matrix } from './lib/matrix.mjs'
import { load, until } from './lib/openai.mjs'

const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '4'] })
const matrix = new Matrix()
after(() => stopCluster(nodes).then(() => matrix.check()))
const plain = await Promise.all(nodes.map((n) => matrix.open('plain request', n.api)))
const model = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id
const post = (node, path, body) => fetch(`${plain[nodes.indexOf(node)]}${path}`, { method: 'POST', body: JSON.stringify(body) }).then((r) => r.json())
const idle = () => until('no request runs any more', async () => (await nodes[0].status()).requests === 0)

test('tokens of a text and back, the same at both nodes', async () => {
    const content = 'A caravan of twelve llamas, über die Berge.'
    const here = await post(nodes[0], '/tokenize', { content, with_pieces: true }), there = await post(nodes[1], '/tokenize', { content, with_pieces: true })
    assert(here.tokens.length > 3)
    assert.deepEqual(there, here)
    const bytes = there.tokens.flatMap((t) => [...(typeof t.piece === 'string' ? Buffer.from(t.piece) : t.piece)])
    assert.equal(Buffer.from(bytes).toString().trim(), content)
    assert.equal((await post(nodes[1], '/detokenize', { tokens: there.tokens.map((t) => t.id) })).content.trim(), content)
    assert.deepEqual(await post(nodes[1], '/tokenize', { content: '' }), { tokens: [] })
    assert.deepEqual(await post(nodes[1], '/detokenize', { tokens: [] }), { content: '' })
})

test('anthropic: the counted tokens are the used tokens', async () => {
    const { default: Anthropic } = await load('@anthropic-ai/sdk')
    const client = new Anthropic({ baseURL: await matrix.open('@anthropic-ai/sdk', nodes[1].api), apiKey: 'none', maxRetries: 0 })
    const messages = [{ role: 'user', content: 'Tell me a story about a caravan.' }]
    const counted = await client.messages.countTokens({ model, messages })
    const m = await client.messages.create({ model, messages, max_tokens: 12, temperature: 0 })
    assert.equal(counted.input_tokens, m.usage.input_tokens + m.usage.cache_read_input_tokens)
    const streamed = await client.messages.stream({ model, messages, max_tokens: 12, temperature: 0 }).finalMessage()
    assert.deepEqual(streamed.content, m.content)
    assert.equal(streamed.usage.output_tokens, m.usage.output_tokens)
})

test('a form, a least length, a message that is continued, a chat that is too long', async () => {
    const ask = async (more) => (await post(nodes[1], '/v1/chat/completions', { model, temperature: 0, max_tokens: 40, messages: [{ role: 'user', content: 'Is a llama a bird?' }], ...more }))
    const text = async (more) => (await ask(more)).choices[0].message.content
    assert(['yes', 'no'].includes(await text({ structured_outputs: { choice: ['yes', 'no'] } })))
    assert.match(await text({ guided_regex: '[0-9]{3}-[abc]{2}\\n?' }), /^[0-9]{3}-[abc]{2}\n?$/)
    assert.deepEqual(JSON.parse(await text({ response_format: { type: 'json_object', schema: { const: { a: 1 } } } })), { a: 1 })
    const long = await ask({ min_tokens: 60, max_tokens: 60, top_k: -1 })
    assert.deepEqual([long.usage.completion_tokens, long.choices[0].finish_reason], [60, 'length'])
    const messages = [{ role: 'user', content: 'Hello' }, { role: 'assistant', content: 'Hello! I am the ' }]
    assert((await post(nodes[1], '/apply-template', { model, messages })).prompt.endsWith('Hello! I am the '))
    assert((await text({ messages })).length > 0)
    const turns = [{ role: 'user', content: 'A llama walks. '.repeat(400) }, { role: 'assistant', content: 'ok' }, { role: 'user', content: 'Hello' }]
    const r = await post(nodes[1], '/api/chat', { model, stream: false, messages: turns, options: { num_predict: 4 } })
    assert.equal(r.done_reason, 'length', JSON.stringify(r))
    assert.match((await post(nodes[1], '/api/chat', { model, stream: false, truncate: false, messages: turns })).error, /context|tokens/)
    await idle()
})

test('ollama: an answer fits its schema', async () => {
    const { Ollama } = await load('ollama')
    const client = new Ollama({ host: await matrix.open('ollama', nodes[1].api) })
    const format = { type: 'object', properties: { name: { type: 'string', maxLength: 8 }, old: { type: 'boolean' } }, required: ['name', 'old'] }
    const r = await client.chat({ model, messages: [{ role: 'user', content: 'A llama, please.' }], format, options: { num_predict: 200, temperature: 0 } })
    const got = JSON.parse(r.message.content)
    assert.equal(typeof got.name, 'string')
    assert.equal(typeof got.old, 'boolean')
    await idle()
})
