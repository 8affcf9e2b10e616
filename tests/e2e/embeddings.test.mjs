// SPDX-License-Identifier: MIT
// Embeddings and ranks from real nodes: whole and split, through every API, by the npm clients and by plain requests.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { demoModel, startCluster, stopCluster } from './lib/cluster.mjs'
import { Matrix } from './lib/matrix.mjs'
import { load, until } from './lib/openai.mjs'

const { default: OpenAI } = await load('openai')
const { Ollama } = await load('ollama')
const tmp = process.env.CARAVAN_TMP
const make = (kind) => {
    const file = join(tmp, `${kind}.gguf`)
    execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make_variant'), [demoModel, file, kind])
    return file
}
const options = ['--ctx', '256', '--parallel', '4']
const whole = (await startCluster(['whole'], { memory: '256M', model: make('mean'), options }))[0]
const split = await startCluster(['one', 'two'], { memory: '256M', model: join(tmp, 'mean.gguf'), options, first: ['--placement', '3,5'] })
const rank = (await startCluster(['rank'], { memory: '256M', model: make('rank'), options }))[0]
const matrix = new Matrix()
after(() => stopCluster([whole, ...split, rank]).then(() => matrix.check()))
for (const node of [whole, split[0], rank]) node.plain = await matrix.open('plain request', node.api)

const post = (node, path, body) => fetch(`${node.plain}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const length = (v) => Math.hypot(...v)
const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0) / length(a) / length(b)
const texts = ['Why do llamas walk in a line?', 'A caravan carries what none could carry alone.', 'x']

test('the npm openai client, at the node without the head: the same vectors split and whole, in the order of the texts', async () => {
    const of = async (node) => (await new OpenAI({ baseURL: `${await matrix.open('openai', node.api)}/v1`, apiKey: 'none' }).embeddings.create({ model: 'mean', input: texts }))
    const a = await of(whole), b = await of(split[1])
    assert.deepEqual(a.data.map((d) => d.index), [0, 1, 2])
    assert.equal(a.usage.prompt_tokens, a.usage.total_tokens)
    assert(a.usage.prompt_tokens > 10)
    for (let i = 0; i < texts.length; i++) {
        assert(Math.abs(length(a.data[i].embedding) - 1) < 1e-5)
        assert(cosine(a.data[i].embedding, b.data[i].embedding) > 0.99999)
        assert(i === 0 || cosine(a.data[0].embedding, a.data[i].embedding) < 0.999)
    }
})

test('formats: floats, base64, fewer dimensions, tokens instead of text', async () => {
    const ask = async (body) => (await (await post(whole, '/v1/embeddings', { model: 'mean', ...body })).json()).data
    const [{ embedding: floats }] = await ask({ input: texts[0], encoding_format: 'float' })
    const [{ embedding: base64 }] = await ask({ input: texts[0], encoding_format: 'base64' })
    assert.deepEqual(floats.map(Math.fround), [...new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer)])
    const [{ embedding: short }] = await ask({ input: texts[0], dimensions: 8 })
    assert.equal(short.length, 8)
    assert(Math.abs(length(short) - 1) < 1e-5 && cosine(short, floats.slice(0, 8)) > 0.99999)
    const { tokens } = await (await post(whole, '/tokenize', { model: 'mean', content: texts[0], add_special: true })).json()
    const [byTokens] = await ask({ input: tokens })
    assert.deepEqual(byTokens.embedding, floats)
    assert.equal((await ask({ input: [tokens, tokens] })).length, 2)
})

test('a hundred texts in one request, and clients that go away', async () => {
    const input = Array.from({ length: 100 }, (_, i) => `text number ${i}`)
    const answer = await (await post(split[0], '/v1/embeddings', { input })).json()
    assert.equal(answer.data.length, 100)
    assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding)
    const controller = new AbortController()
    const gone = fetch(`${split[0].plain}/v1/embeddings`, { method: 'POST', signal: controller.signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ input }) })
    setTimeout(() => controller.abort(), 30)
    await gone.catch(() => {})
    await until('nothing runs any more', async () => (await split[0].status()).requests === 0)
})

test('the npm ollama client, both ways', async () => {
    const ollama = new Ollama({ host: await matrix.open('ollama', whole.api) })
    const many = await ollama.embed({ model: 'mean', input: texts, truncate: true })
    assert.equal(many.embeddings.length, 3)
    assert(many.prompt_eval_count > 10 && many.total_duration > 0)
    const one = await ollama.embeddings({ model: 'mean', prompt: texts[1] })
    assert.deepEqual(one.embedding, many.embeddings[1])
    assert.deepEqual((await ollama.show({ model: 'mean' })).capabilities, ['embedding'])
    assert.deepEqual((await ollama.list()).models[0].capabilities, ['embedding'])
    assert.deepEqual((await (await post(rank, '/api/show', { model: 'rank' })).json()).capabilities, ['rerank'])
})

test('ranks: sorted, cut, with the documents; an embedding model does not rank, nor the other way round', async () => {
    const answer = await (await post(rank, '/v1/rerank', { model: 'rank', query: 'llamas', documents: [...texts, { text: 'llamas' }], top_n: 3, return_documents: true })).json()
    const scores = answer.results.map((r) => r.relevance_score)
    assert.equal(answer.results.length, 3)
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a))
    assert.equal(new Set(scores).size, 3)
    for (const r of answer.results) assert.equal(r.document.text, [...texts, 'llamas'][r.index])
    assert(answer.usage.total_tokens > 20)
    const no = await post(whole, '/rerank', { query: 'x', documents: ['y'] })
    assert.equal(no.status, 400)
    assert.match((await no.json()).error.message, /does not rank/)
    assert.match((await (await post(rank, '/v1/embeddings', { input: 'x' })).json()).error.message, /ranks texts: it gives no embeddings/)
})

test('impossible requests are refused: too long, wrong types, a request for text', async () => {
    const refused = async (path, body, status, text, param) => {
        const r = await post(whole, path, body), { error } = await r.json()
        assert.equal(r.status, status, error?.message)
        assert.match(error.message, text)
        if (param) assert.equal(error.param, param)
    }
    await refused('/v1/embeddings', { input: 'long '.repeat(2000) }, 400, /tokens, the model takes 256 at most/)
    await refused('/v1/embeddings', { input: [] }, 400, /input/, 'input')
    await refused('/v1/embeddings', { input: [''] }, 400, /input/, 'input')
    await refused('/v1/embeddings', { input: ['a', [1]].concat([[{}]]) }, 400, /input/, 'input')
    await refused('/v1/embeddings', { input: 'x', encoding_format: 'hex' }, 400, /encoding_format/, 'encoding_format')
    await refused('/v1/embeddings', { input: 'x', dimensions: 0 }, 400, /dimensions/, 'dimensions')
    await refused('/v1/embeddings', { input: [[999999999]] }, 400, /not in the vocabulary/)
    await refused('/v1/embeddings', { model: 'nix', input: 'x' }, 404, /no "nix"/)
    await refused('/v1/rerank', { query: 'x', documents: [1] }, 400, /documents/, 'documents')
    await refused('/v1/rerank', { documents: ['x'] }, 400, /query/, 'query')
    await refused('/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }] }, 400, /gives embeddings: it writes no text/)
})
