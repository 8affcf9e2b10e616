// SPDX-License-Identifier: MIT
// Requests as the clients of other servers send them, against the gateway on its scripted backend: llama-server's own routes and those without
// /v1, Ollama's truncation, the routes around a response, web pages of this machine, and bodies that are nearly right.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Fake, load, script, sleep, until } from './lib/openai.mjs'
import { Matrix } from './lib/matrix.mjs'

const fake = await new Fake().open()
const matrix = new Matrix()
after(() => fake.stop().then(() => matrix.check()))

const plain = await matrix.open('plain request', fake.api)
const model = 'fake-model'
const words = { pieces: ['te', 'xt ', 'of ', 'it'] }
const send = (path, body, more = {}) => fetch(`${plain}${path}`, { method: 'POST', body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body), ...more })
const post = async (path, body) => {
    const r = await send(path, body), text = await r.text()
    assert.equal(r.status, 200, `${path}: ${text}`)
    return JSON.parse(text)
}
const events = async (path, body) => (await (await send(path, { ...body, stream: true })).text()).split('\n\n').filter((b) => b.startsWith('data: ')).map((b) => JSON.parse(b.slice(6)))
const say = (content) => [{ role: 'user', content }]

test('llama-server: completion, whole and streamed', async () => {
    const r = await post('/completion', { model, prompt: script(words), n_predict: 3, temperature: 0.5, top_k: -1, cache_prompt: true, id_slot: -1 })
    assert.deepEqual([r.content, r.stop, r.stop_type, r.tokens_predicted], ['text of ', true, 'limit', 3])
    assert(r.timings.predicted_per_second > 0 && r.timings.prompt_n > 0)
    const parts = await events('/completion', { model, prompt: script(words), stop: ['of'] })
    assert.equal(parts.map((p) => p.content).join(''), 'text ')
    assert.deepEqual(parts.map((p) => p.stop), [false, false, true])
    assert.deepEqual([parts.at(-1).stop_type, parts.at(-1).stopping_word], ['word', 'of'])
    assert.equal((await post('/completion', { model, prompt: [1, 2], n_predict: 1 })).stop_type, 'limit')
    assert.equal((await (await send('/completion', { model })).json()).error.param, 'prompt')
    assert.equal((await (await send('/completion', { model, prompt: 'x', samplers: ['top_k'] })).json()).error.param, 'samplers')
})

test('llama-server: infill, apply-template, props, slots', async () => {
    const r = await post('/infill', { model, input_prefix: `int x = ${script(words)}`, input_suffix: ';', input_extra: [{ filename: 'a.h', text: 'int y;' }], n_predict: 9 })
    assert.equal(r.content, 'text of it')
    const { prompt } = await post('/apply-template', { model, messages: say('hi') })
    assert.equal(prompt, '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n')
    const props = await (await fetch(`${plain}/props?model=${model}`)).json()
    assert.deepEqual([props.default_generation_settings.n_ctx, props.chat_template, props.eos_token], [4096, 'chatml', '<|im_end|>'])
    assert.equal((await (await fetch(`${plain}/slots?model=${model}`)).json())[0].is_processing, false)
})

test('the same without /v1; a sign of life at the root', async () => {
    assert((await (await fetch(`${plain}/models`)).json()).data.some((m) => m.id === model))
    assert.equal((await (await fetch(`${plain}/models/${model}`)).json()).id, model)
    assert.equal((await post('/chat/completions', { model, messages: say(script(words)) })).choices[0].message.content, 'text of it')
    assert.equal((await post('/completions', { model, prompt: script(words) })).choices[0].text, 'text of it')
    assert.equal((await post('/embeddings', { model, input: 'x' })).data.length, 1)
    assert.equal((await post('/responses', { model, input: script(words) })).status, 'completed')
    for (const method of ['GET', 'HEAD']) assert.equal((await fetch(`${plain}/`, { method })).status, 200)
})

test('names are found with and without :latest, on every API', async () => {
    const name = `${model}:latest`
    await post('/v1/chat/completions', { model: name, messages: say(script(words)) })
    await post('/v1/messages', { model: name, max_tokens: 5, messages: say(script(words)) })
    await post('/v1/responses', { model: name, input: script(words) })
    await post('/v1/embeddings', { model: name, input: 'x' })
    await post('/api/chat', { model: name, stream: false, messages: say(script(words)) })
    await post('/api/show', { model: name })
    assert.equal((await fetch(`${plain}/v1/models/${name}`)).status, 200)
    assert.equal((await fetch(`${plain}/props?model=${name}`)).status, 200)
})

test('a chat that is too long loses its oldest turns, where the client allows it', async () => {
    const long = [{ role: 'system', content: 'be brief' }, ...say('x'.repeat(9000)), { role: 'assistant', content: 'ok' }, ...say(script(words))]
    const r = await post('/api/chat', { model, stream: false, messages: long })
    assert.equal(r.message.content, 'text of it')
    assert(r.prompt_eval_count < 100, `${r.prompt_eval_count}`)
    const whole = await post('/api/chat', { model, stream: false, truncate: false, messages: long })
    assert(whole.prompt_eval_count > 2000) // the scripted backend takes any prompt
    assert((await post('/v1/responses', { model, truncation: 'auto', input: long })).usage.input_tokens < 100)
    assert((await post('/v1/responses', { model, truncation: 'disabled', input: long })).usage.input_tokens > 2000)
    const short = await post('/api/chat', { model, stream: false, messages: [...say('y'.repeat(1000)), { role: 'assistant', content: 'ok' }, ...say(script(words))] })
    assert(short.prompt_eval_count > 250, 'what fits stays')
})

test('routes around a response: tokens of its input, compaction, cancelling', async () => {
    const count = async (input) => (await post('/v1/responses/input_tokens', { model, input })).input_tokens
    assert.equal(await count('a'.repeat(11)), await count('a') + 10)
    const compacted = await post('/v1/responses/compact', { model, input: [...say(script(words)), { role: 'assistant', content: 'x' }] })
    assert.equal(compacted.object, 'response.compaction')
    assert.deepEqual(compacted.output.map((item) => item.type), ['compaction'])
    const told = await count([...compacted.output, ...say('go on')])
    assert(told > await count('go on') + 'text of it'.length)
    const running = await send('/v1/responses', { model, stream: true, input: script({ pieces: ['x '], repeat: 1000, delay_ms: 20 }) })
    const reader = running.body.getReader(), first = new TextDecoder().decode((await reader.read()).value)
    const id = /"id":"(resp_\w+)"/.exec(first)[1]
    assert.equal((await post(`/v1/responses/${id}/cancel`, '')).status, 'cancelled')
    let rest = ''
    for (let r = await reader.read(); !r.done; r = await reader.read()) rest += new TextDecoder().decode(r.value)
    assert.match(rest, /response\.failed/)
    await until('it runs no more', async () => (await fake.status()).running === 0)
    const done = await post('/v1/responses', { model, input: script(words) })
    assert.match((await (await send(`/v1/responses/${done.id}/cancel`, '')).json()).error.message, /complete/)
    assert.equal((await send('/v1/responses/resp_nix/cancel', '')).status, 404)
})

test('pages of this machine may use the API, others may not; preflights are answered', async () => {
    const ask = (origin, more = {}) => fetch(`${fake.api}/v1/models`, { headers: { origin, ...more.headers }, ...more })
    for (const origin of ['http://localhost:3000', 'http://127.0.0.1:5173']) {
        const r = await ask(origin)
        assert.deepEqual([r.status, r.headers.get('access-control-allow-origin')], [200, origin])
        const pre = await fetch(`${fake.api}/v1/chat/completions`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } })
        assert.deepEqual([pre.status, pre.headers.get('access-control-allow-origin'), pre.headers.get('access-control-allow-headers')], [204, origin, 'authorization,content-type'])
    }
    const foreign = await ask('https://evil.example')
    assert.deepEqual([foreign.status, foreign.headers.get('access-control-allow-origin')], [403, null])
    const pre = await fetch(`${fake.api}/v1/models`, { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'GET' } })
    assert.deepEqual([pre.status, (await pre.json()).error.code], [403, 'insufficient_permissions'])
})

test('bodies that are nearly right: a cut emoji, NUL, a byte order mark, null; compressed ones are refused', async () => {
    const chat = (content) => `{"model":"${model}","messages":[{"role":"user","content":"${content}"},{"role":"user","content":${JSON.stringify(script(words))}}]}`
    for (const body of [chat('cut: \\ud83d'), chat('a\\u0000b'), `\uFEFF${chat('x')}`, chat('x').replace('"x"', 'null')])
        assert.equal((await post('/v1/chat/completions', body)).choices[0].message.content, 'text of it', body)
    assert.equal((await post('/apply-template', chat('a\\u0000b'))).prompt.includes('a\uFFFDb'), true)
    assert.equal((await send('/v1/chat/completions', chat('x'), { headers: { 'content-encoding': 'gzip' } })).status, 415)
})

test('functions, as they were before tools', async () => {
    const { default: OpenAI } = await load('openai')
    const client = new OpenAI({ baseURL: `${await matrix.open('openai', fake.api)}/v1`, apiKey: 'none', maxRetries: 0 })
    const pieces = ['</think>\n', '<tool_call>\n{"name": "stop", ', '"arguments": {}}\n</tool_call>']
    const body = { model: 'hermes', messages: say(script({ pieces })), functions: [{ name: 'stop', parameters: { type: 'object', properties: {} } }] }
    const { message, finish_reason } = (await client.chat.completions.create(body)).choices[0]
    assert.deepEqual([message.function_call, message.tool_calls, finish_reason], [{ name: 'stop', arguments: '{}' }, undefined, 'function_call'])
    let call = { name: '', arguments: '' }, finish
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
        call = { name: call.name + (chunk.choices[0].delta.function_call?.name ?? ''), arguments: call.arguments + (chunk.choices[0].delta.function_call?.arguments ?? '') }
        finish = chunk.choices[0].finish_reason
    }
    assert.deepEqual([call, finish], [message.function_call, 'function_call'])
    const answered = await client.chat.completions.create({ ...body, messages: [...body.messages, message, { role: 'function', name: 'stop', content: script(words) }] })
    assert.equal(answered.choices[0].finish_reason, 'stop')
})
