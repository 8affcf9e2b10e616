// SPDX-License-Identifier: MIT
// Upstreams: a node without a model and a server that misbehaves in every way. Each API, streamed and whole, tools included, on both kinds of
// upstream; failures before and amid an answer; TLS with a CA of the test's own; caps under load; keys that show nowhere.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, sleep, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP
const secret = 'sk-very-secret-1', anthropicSecret = 'ak-very-secret-2'

// ---- the server: what it does stands in the name of the model ----

const seen = [] // {url, headers, body}
const text = 'Hällo, world!'
const call = { id: 'call_7', name: 'weather', arguments: '{"city":"Köln"}' }
const open = new Set()

function openaiChunks(body) {
    const chunk = (delta, finish = null) => ({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })
    const calls = body.tools && body.tool_choice !== 'none'
    const list = [chunk({ role: 'assistant', content: '' }), chunk({ reasoning_content: 'hm' })]
    if (calls) {
        list.push(chunk({ tool_calls: [{ index: 0, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] }))
        for (const part of [call.arguments.slice(0, 5), call.arguments.slice(5)]) list.push(chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] }))
    } else for (const part of text.match(/.{1,3}/gu)) list.push(chunk({ content: part }))
    list.push(chunk({}, calls ? 'tool_calls' : 'stop'))
    const usage = body.model === 'badusage' ? { prompt_tokens: -5, completion_tokens: 'many' } : { prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } }
    list.push({ choices: [], usage })
    return [...list.map((c) => `data: ${JSON.stringify(c)}\n\n`), 'data: [DONE]\n\n']
}

function anthropicChunks(body) {
    const list = [{ type: 'message_start', message: { id: 'm', usage: { input_tokens: 8, cache_read_input_tokens: 3, output_tokens: 1 } } }]
    const block = (index, content, ...deltas) => list.push({ type: 'content_block_start', index, content_block: content }, ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })), { type: 'content_block_stop', index })
    block(0, { type: 'thinking', thinking: '' }, { type: 'thinking_delta', thinking: 'hm' })
    if (body.tools) block(1, { type: 'tool_use', id: call.id, name: call.name, input: {} }, { type: 'input_json_delta', partial_json: call.arguments })
    else block(1, { type: 'text', text: '' }, ...text.match(/.{1,3}/gu).map((t) => ({ type: 'text_delta', text: t })))
    list.push({ type: 'message_delta', delta: { stop_reason: body.tools ? 'tool_use' : 'end_turn' }, usage: { output_tokens: 7 } }, { type: 'message_stop' })
    return list.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`)
}

function plain(response, status, body, headers = {}) {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

async function serve(request, response) {
    let json = ''
    for await (const part of request) json += part
    const body = JSON.parse(json), model = body.model, url = request.url
    seen.push({ url, headers: request.headers, body })
    open.add(response)
    response.on('close', () => open.delete(response))
    response.on('error', () => {})
    if (model === 'limited') return plain(response, 429, { error: { message: 'slow down' } }, { 'retry-after': '17' })
    if (model === 'broken') return plain(response, 500, { error: { message: 'oops' } })
    if (model === 'overloaded') return plain(response, 529, { error: { type: 'overloaded_error', message: 'Overloaded' } })
    if (model === 'denied') return plain(response, 401, { error: { message: `Incorrect API key provided: ${secret}` } })
    if (model === 'wrong') return plain(response, 400, { error: { message: `no such field; your key is ${secret}` } })
    if (model === 'moved') return plain(response, 302, '', { location: 'http://127.0.0.1:1/' })
    if (model === 'nonsense') return plain(response, 200, '{"choices": 7}')
    if (model === 'html') return plain(response, 200, '<html>hello</html>', { 'content-type': 'text/html' })
    if (model === 'done-only') return plain(response, 200, 'data: {"hello":1}\n\ndata: [DONE]\n\n', { 'content-type': 'text/event-stream' })
    if (model === 'unfinished') return plain(response, 200, 'data: {"choices":[{"index":0,"delta":{"content":"Half"}}]}\n\ndata: [DONE]\n\n', { 'content-type': 'text/event-stream' })
    if (model === 'silent') return
    if (model === 'headers') return plain(response, 200, '{}', Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'y'.repeat(4000)])))
    if (model === 'hang-up') return response.destroy()
    if (url === '/v1/embeddings') {
        const inputs = [].concat(body.input)
        return plain(response, 200, { data: inputs.map((_, index) => ({ index, embedding: [index, 0.5] })), usage: { prompt_tokens: 4 } })
    }
    if (url === '/v1/completions') {
        const data = [{ choices: [{ index: 0, text: 'once ' }] }, { choices: [{ index: 0, text: 'more', finish_reason: 'length' }] }, { choices: [], usage: { prompt_tokens: 2, completion_tokens: 2 } }]
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        return response.end(data.map((d) => `data: ${JSON.stringify(d)}\n\n`).join('') + 'data: [DONE]\n\n')
    }
    if (model === 'late') { // it fails when its answer has begun, but nothing of it has come
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        return response.end(anthropicChunks(body)[0] + 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n')
    }
    const chunks = url === '/v1/messages' ? anthropicChunks(body) : openaiChunks(body)
    if (model === 'whole') return plain(response, 200, { choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }], usage: { prompt_tokens: 11, completion_tokens: 7 } })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (model === 'error-first') return response.end(`data: ${JSON.stringify({ error: { type: 'server_error', message: 'no luck' } })}\n\n`)
    if (model === 'bytes') { // one by one
        for (const byte of Buffer.from(chunks.join(''))) {
            response.write(Buffer.from([byte]))
            if (byte === 10) await sleep(1)
        }
        return response.end()
    }
    if (model.startsWith('cut')) {
        response.write(Buffer.from(chunks.join('')).subarray(0, Number(model.slice(3))))
        await sleep(20)
        return response.destroy()
    }
    if (model === 'endless') {
        for (let i = 0; open.has(response); i++) {
            response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: `${i} ` } }] })}\n\n`)
            await sleep(2)
        }
        return
    }
    if (model === 'one') { // the cluster has this model, too
        for (const content of ['One ', 'llama ', 'wal']) response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`)
        await sleep(100)
        return response.destroy()
    }
    if (model === 'stays-open') { // says that it is over, and never ends
        response.write(chunks.join(''))
        while (open.has(response)) {
            response.write(': ping\n\n')
            await sleep(50)
        }
        return
    }
    for (const chunk of chunks) {
        response.write(chunk)
        if (model === 'slow') await sleep(30)
    }
    response.end()
}

const upstream = await new Promise((resolve) => {
    const server = http.createServer(serve).listen(0, '127.0.0.1', () => resolve(server))
})
const base = `http://127.0.0.1:${upstream.address().port}/v1`

// ---- the node ----

const keyFile = join(tmp, 'upstream.key')
writeFileSync(keyFile, `${secret}\n`)
chmodSync(keyFile, 0o600)
const models = ['ok', 'whole', 'bytes', 'slow', 'limited', 'broken', 'overloaded', 'denied', 'wrong', 'moved', 'nonsense', 'done-only', 'unfinished', 'html', 'silent', 'headers', 'hang-up', 'error-first', 'endless', 'stays-open', 'badusage', 'cut300', 'cut700']
const upstreams = {
    o: { url: base, key_file: keyFile, prices: { '*': { input: 1, output: 10, cached: 0.5 } } },
    a: { url: base, api: 'anthropic', key_env: 'TEST_ANTHROPIC_KEY', prices: { '*': { input: 2, output: 20 } } },
    'a-late': { url: base, api: 'anthropic' },
    dead: { url: 'http://127.0.0.1:1/v1', connect_s: 2 },
}
// An upstream that fails is left alone: each of the failing models has one of its own.
const failing = ['limited', 'broken', 'overloaded', 'denied', 'moved', 'nonsense', 'done-only', 'unfinished', 'html', 'silent', 'headers', 'hang-up', 'error-first', 'cut300', 'cut700']
const of = (model) => (failing.includes(model) ? `o-${model}` : 'o')
for (const model of failing) upstreams[of(model)] = { ...upstreams.o, ...(model === 'silent' && { timeout_s: 2 }) }
function routes() {
    const list = {}
    for (const model of models) list[model] = { targets: [{ upstream: of(model), model }] }
    list.claude = { targets: [{ upstream: 'a', model: 'claude' }] }
    for (const model of ['limited', 'broken', 'overloaded', 'silent', 'error-first', 'hang-up', 'nonsense', 'done-only', 'denied', 'wrong', 'cut300'])
        list[`then-${model}`] = { targets: [{ upstream: of(model), model }, { upstream: 'a', model: 'claude', when: ['failed', 'full', 'absent'] }] }
    list['then-late'] = { targets: [{ upstream: 'a-late', model: 'late' }, { upstream: 'o', model: 'ok' }] }
    list['then-dead'] = { targets: [{ upstream: 'dead', model: 'x' }, { upstream: 'o', model: 'ok', when: ['failed'] }] }
    list.forbidden = { targets: [{ model: 'missing' }, { upstream: 'o', model: 'ok' }], cloud: 'never' }
    list.pirate = { targets: [{ upstream: 'o', model: 'ok' }], system: 'You are a pirate.', set: { temperature: 0.5 } }
    return { upstreams, models: list }
}
const mkdir = (name) => {
    mkdirSync(join(tmp, name), { recursive: true })
    return join(tmp, name)
}
async function openNode(name, table, options = [], env = {}) {
    const file = join(tmp, `${name}.json`)
    if (table) writeFileSync(file, JSON.stringify(table))
    return new Node(name, ['--models-dir', mkdir(`${name}-models`), ...(table ? ['--routes', file] : []), ...options], { TEST_ANTHROPIC_KEY: anthropicSecret, no_proxy: '127.0.0.1', ...env }).open()
}
const node = await openNode('cloud', routes())

async function post(path, body, headers = {}, api = node.api) {
    const response = await fetch(api + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
    const answer = await response.text()
    return { status: response.status, by: response.headers.get('x-caravan-served-by'), retry: response.headers.get('retry-after'), text: answer, json: answer.startsWith('{') && response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(answer) : null }
}
const messages = [{ role: 'user', content: 'Hi' }]
const chat = (model, body = {}, headers = {}, api = node.api) => post('/v1/chat/completions', { model, messages, ...body }, headers, api)
const events = (stream) => stream.split('\n').filter((l) => l.startsWith('data: ') && l !== 'data: [DONE]').map((l) => JSON.parse(l.slice(6)))
const streamed = (stream) => events(stream).map((e) => e.choices?.[0]?.delta?.content ?? '').join('')
const counters = async (api = node.api) => Object.fromEntries((await (await fetch(`${api}/metrics`)).text()).split('\n').filter((l) => l && l[0] !== '#').map((l) => [l.slice(0, l.lastIndexOf(' ')), Number(l.slice(l.lastIndexOf(' ') + 1))]))
const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }

await run({
    async 'no request leaves without a routes file, and the models of one are not asked by other names'() {
        const plainNode = await openNode('plain', null)
        assert.equal((await chat('ok', {}, {}, plainNode.api)).status, 404)
        assert.equal((await chat('claude', {}, {}, plainNode.api)).status, 404)
        await plainNode.stop()
        assert.equal((await chat('gpt-4')).status, 404)
        assert.equal(seen.length, 0)
    },

    async 'each API on an OpenAI upstream, whole and streamed'() {
        for (const model of ['ok', 'whole', 'bytes', 'stays-open']) {
            const whole = await chat(model)
            assert.equal(whole.status, 200, whole.text)
            assert.equal(whole.json.choices[0].message.content, text)
            assert.equal(whole.json.model, model)
            assert.equal(whole.by, `o; model=${model}`)
            assert.deepEqual([whole.json.usage.prompt_tokens, whole.json.usage.completion_tokens], [11, 7])
            const stream = await chat(model, { stream: true, stream_options: { include_usage: true } })
            assert.equal(streamed(stream.text), text)
            assert(stream.text.trim().endsWith('data: [DONE]'))
            assert.equal(events(stream.text).find((e) => e.usage?.prompt_tokens)?.usage.completion_tokens, 7)
        }
        const reasoned = await chat('ok')
        assert.equal(reasoned.json.choices[0].message.reasoning_content, 'hm')
        const claude = await post('/v1/messages', { model: 'ok', max_tokens: 50, messages })
        assert.equal(claude.json.content.find((b) => b.type === 'text').text, text)
        assert.deepEqual([claude.json.stop_reason, claude.json.usage.output_tokens], ['end_turn', 7])
        const claudeStream = await post('/v1/messages', { model: 'ok', max_tokens: 50, messages, stream: true })
        assert.equal(events(claudeStream.text).map((e) => e.delta?.text ?? '').join(''), text)
        assert(claudeStream.text.includes('"type":"message_stop"'))
        const response = await post('/v1/responses', { model: 'ok', input: 'Hi' })
        assert.equal(response.json.output.find((i) => i.type === 'message').content[0].text, text)
        const next = await post('/v1/responses', { model: 'ok', input: 'Again', previous_response_id: response.json.id })
        assert.equal(next.status, 200)
        assert.deepEqual(seen.at(-1).body.messages.map((m) => m.content), ['Hi', text, 'Again'])
        const responseStream = await post('/v1/responses', { model: 'ok', input: 'Hi', stream: true })
        assert.equal(events(responseStream.text).find((e) => e.type === 'response.completed').response.status, 'completed')
        const ollama = await post('/api/chat', { model: 'ok', messages, stream: false })
        assert.equal(ollama.json.message.content, text)
        const lines = (await post('/api/chat', { model: 'ok', messages })).text.trim().split('\n').map((l) => JSON.parse(l))
        assert.equal(lines.map((l) => l.message.content).join(''), text)
        assert.equal(lines.at(-1).done, true)
        const completion = await post('/v1/completions', { model: 'ok', prompt: 'It was' })
        assert.equal(completion.json.choices[0].text, 'once more')
        const vectors = await post('/v1/embeddings', { model: 'ok', input: ['a', 'b'] })
        assert.deepEqual(vectors.json.data.map((d) => d.embedding), [[0, 0.5], [1, 0.5]])
        for (const request of seen) assert.equal(request.headers.authorization, `Bearer ${secret}`)
    },

    async 'each API on an Anthropic upstream'() {
        const from = seen.length
        const whole = await chat('claude')
        assert.equal(whole.json.choices[0].message.content, text)
        assert.deepEqual([whole.json.usage.prompt_tokens, whole.json.usage.completion_tokens, whole.by], [11, 7, 'a; model=claude'])
        assert.equal(streamed((await chat('claude', { stream: true })).text), text)
        const claude = await post('/v1/messages', { model: 'claude', max_tokens: 50, messages, metadata: { user_id: 'u' } }, { 'anthropic-beta': 'some-beta' })
        assert.equal(claude.json.content.find((b) => b.type === 'text').text, text)
        assert.equal(seen.at(-1).headers['anthropic-beta'], 'some-beta')
        assert.deepEqual(seen.at(-1).body.metadata, { user_id: 'u' })
        assert.equal((await post('/v1/responses', { model: 'claude', input: 'Hi' })).json.output.find((i) => i.type === 'message').content[0].text, text)
        assert.equal((await post('/api/chat', { model: 'claude', messages, stream: false })).json.message.content, text)
        assert.equal((await post('/v1/embeddings', { model: 'claude', input: 'a' })).status, 400)
        for (const request of seen.slice(from)) {
            assert.equal(request.url, '/v1/messages')
            assert.equal(request.headers['x-api-key'], anthropicSecret)
            assert.equal(request.headers['anthropic-version'], '2023-06-01')
            assert.equal(request.headers.authorization, undefined)
        }
    },

    async 'tools of each API on both upstreams'() {
        for (const model of ['ok', 'bytes', 'claude']) {
            const whole = (await chat(model, { tools: [tool] })).json.choices[0]
            assert.equal(whole.finish_reason, 'tool_calls')
            assert.deepEqual(whole.message.tool_calls.map((c) => [c.id, c.function.name, JSON.parse(c.function.arguments)]), [[call.id, call.name, { city: 'Köln' }]])
            const parts = events((await chat(model, { tools: [tool], stream: true })).text).flatMap((e) => e.choices?.[0]?.delta?.tool_calls ?? [])
            assert.equal(parts.map((p) => p.function.arguments ?? '').join(''), call.arguments)
            const claude = await post('/v1/messages', { model, max_tokens: 50, messages, tools: [{ name: 'weather', input_schema: { type: 'object' } }] })
            assert.deepEqual([claude.json.stop_reason, claude.json.content.at(-1).input], ['tool_use', { city: 'Köln' }])
            const response = await post('/v1/responses', { model, input: 'Hi', tools: [{ type: 'function', name: 'weather', parameters: { type: 'object' } }] })
            assert.equal(response.json.output.find((i) => i.type === 'function_call').arguments, call.arguments)
            const ollama = await post('/api/chat', { model, messages, tools: [tool], stream: false })
            assert.deepEqual(ollama.json.message.tool_calls[0].function.arguments, { city: 'Köln' })
        }
        const messagesBack = [...messages, { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'weather', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'c', content: 'rain' }]
        assert.equal((await post('/v1/chat/completions', { model: 'claude', messages: messagesBack })).status, 200)
        assert.deepEqual(seen.at(-1).body.messages.at(-1).content[0], { type: 'tool_result', tool_use_id: 'c', content: 'rain' })
    },

    async 'pictures travel as they came, stop strings end an answer, a route changes the request'() {
        const picture = [{ role: 'user', content: [{ type: 'text', text: 'What?' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] }]
        assert.equal((await post('/v1/chat/completions', { model: 'ok', messages: picture })).status, 200)
        assert.deepEqual(seen.at(-1).body.messages, picture)
        const before = seen.length
        const unseen = await post('/v1/chat/completions', { model: 'claude', messages: picture })
        assert.equal(unseen.status, 400)
        assert.match(unseen.json.error.message, /an answer about pictures, sounds or files by another API cannot be had from the upstream "\w+" \(anthropic\)/)
        for (const model of ['ok', 'claude']) {
            const scored = await post('/v1/chat/completions', { model, messages, logprobs: true })
            assert.deepEqual([scored.status, scored.json.error.param], [400, 'logprobs'])
            assert.match(scored.json.error.message, /log probabilities cannot be had from the upstream/)
        }
        assert.equal(seen.length, before, 'nothing was sent')
        const long = 'x'.repeat(300000) // read by a thread
        assert.equal((await post('/v1/chat/completions', { model: 'ok', messages: [{ role: 'user', content: long }], own: 1 })).status, 200)
        assert.deepEqual([seen.at(-1).body.messages[0].content, seen.at(-1).body.own], [long, 1])
        const five = ['1', '2', '3', '4', 'wor']
        const stopped = await post('/v1/messages', { model: 'ok', max_tokens: 50, messages, stop_sequences: five })
        assert.deepEqual([stopped.json.content.find((b) => b.type === 'text').text, stopped.json.stop_reason, stopped.json.stop_sequence], ['Hällo, ', 'stop_sequence', 'wor'])
        assert.deepEqual(seen.at(-1).body.stop, five.slice(0, 4))
        assert.equal((await chat('pirate', { temperature: 2, unknown_field: { a: 1 } })).status, 200)
        assert.deepEqual([seen.at(-1).body.messages[0], seen.at(-1).body.temperature, seen.at(-1).body.unknown_field], [{ role: 'system', content: 'You are a pirate.' }, 0.5, { a: 1 }])
    },

    async 'whatever fails before the first byte: the error says which upstream, or the next target answers'() {
        const expected = { limited: 429, broken: 503, overloaded: 429, denied: 503, wrong: 400, moved: 502, nonsense: 502, 'done-only': 502, unfinished: 502, html: 502, silent: 504, headers: 502, 'hang-up': 502, 'error-first': 503 }
        for (const [model, status] of Object.entries(expected)) {
            const answer = await chat(model)
            assert.equal(answer.status, status, `${model}: ${answer.text}`)
            if (model === 'limited') assert.equal(answer.retry, '17')
            assert(answer.text.includes(`upstream \\"${of(model)}\\"`), answer.text)
            const stream = await chat(model, { stream: true })
            assert(stream.status === status || stream.text.includes('"error"'), `${model}: ${stream.text}`)
            assert(!answer.text.includes(secret) && !stream.text.includes(secret))
        }
        for (const model of ['limited', 'broken', 'overloaded', 'silent', 'error-first', 'hang-up', 'nonsense', 'done-only', 'denied', 'cut300']) {
            const whole = await chat(`then-${model}`)
            assert.deepEqual([whole.status, whole.json?.choices[0].message.content, whole.by], [200, text, 'a; model=claude'], `${model}: ${whole.text}`)
        }
        const stream = await chat('then-error-first', { stream: true })
        assert.equal(streamed(stream.text), text)
        const late = await chat('then-late', { stream: true })
        assert.equal(streamed(late.text), text)
        assert.equal((await chat('then-wrong')).status, 400) // the client's own fault goes nowhere else
        assert.equal((await chat('then-dead')).by, 'o; model=ok')
    },

    async 'an upstream that fails again and again is left alone, and tried again'() {
        const file = join(tmp, 'cloud.json'), table = routes()
        upstreams.flaky = { url: base }
        upstreams.resting = { url: base }
        table.models.flaky = { targets: [{ upstream: 'flaky', model: 'broken' }] }
        table.models.mended = { targets: [{ upstream: 'flaky', model: 'ok' }] }
        table.models.resting = { targets: [{ upstream: 'resting', model: 'limited' }] }
        writeFileSync(file, JSON.stringify(table))
        await until('the new routes hold', async () => (await node.status()).upstreams.some((u) => u.name === 'flaky'))
        const alone = await until('it is left alone', async () => { // it rests for an instant only: a slow client may come after that
            for (let i = 0; i < 3; i++) assert.equal((await chat('flaky')).status, 503)
            const n = seen.length, answer = await chat('mended')
            return answer.status === 503 && seen.length === n && answer
        })
        assert(alone.text.includes('again and again'))
        await until('it is tried again', async () => (await chat('mended')).status === 200)
        assert.equal((await chat('mended')).status, 200)
        const limited = await chat('resting')
        assert.deepEqual([limited.status, limited.retry], [429, '17'])
        const m = seen.length, again = await chat('resting')
        assert.deepEqual([again.status, seen.length], [429, m])
        assert(Number(again.retry) > 10 && Number(again.retry) <= 18, again.retry)
        const shown = execFileSync(caravan, ['routes', '--api', node.api.slice(7)], { encoding: 'utf8' })
        assert.match(shown, /resting +left alone for \d+ s +1 of 1 .*it has too many requests/)
        assert.match(shown, /flaky +ready +\d+ of \d+ .*ago: upstream "flaky"/)
    },

    async 'an answer that is cut ends with an error, never as if it were whole'() {
        for (const model of ['cut300', 'cut700']) {
            const stream = await chat(model, { stream: true })
            assert(stream.status >= 502 || stream.text.includes('"error"'), stream.text)
            assert(!stream.text.includes('[DONE]') || stream.text.includes('"error"'))
            assert((await chat(model)).status >= 502)
        }
        const claude = await post('/v1/messages', { model: 'cut700', max_tokens: 50, messages, stream: true })
        assert(claude.status >= 502 || claude.text.includes('event: error'), claude.text)
    },

    async 'usage that makes no sense is not believed'() {
        const before = await counters(), answer = await chat('badusage'), after = await counters()
        assert.deepEqual([answer.status, answer.json.choices[0].message.content], [200, text])
        const cost = after['caravan_upstream_cost_total{upstream="o"}'] - before['caravan_upstream_cost_total{upstream="o"}']
        assert(cost > 0.0001 && cost < 0.1, `${cost}`) // counted from above
    },

    async 'a client that goes takes its request along, and it is counted'() {
        const before = await counters()
        const controller = new AbortController()
        const response = await fetch(`${node.api}/v1/chat/completions`, { method: 'POST', signal: controller.signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'endless', messages, stream: true }) })
        const reader = response.body.getReader()
        for (let i = 0; i < 5; i++) await reader.read()
        controller.abort()
        await until('the upstream sees the connection close', () => open.size === 0)
        const after = await counters()
        assert(after['caravan_upstream_cost_total{upstream="o"}'] > before['caravan_upstream_cost_total{upstream="o"}'])
        assert.equal(after['caravan_upstream_running{upstream="o"}'], 0)
        assert.match(node.logText(), /upstream "o": endless: left by its client, \d+ prompt and \d+ completion tokens, cost 0\.\d+ \(request req_/)
    },

    async 'what may not leave stays'() {
        const n = seen.length
        assert.equal((await chat('ok', {}, { 'x-caravan-cloud': 'never' })).status, 403)
        assert.equal((await chat('forbidden')).status, 404)
        assert.equal((await post('/tokenize', { model: 'ok', content: 'a' })).status, 400)
        assert.equal(seen.length, n)
    },

    async 'metrics, status and log know the upstreams, and no key'() {
        const all = await counters(), status = await node.status()
        assert(all['caravan_upstream_requests_total{upstream="o"}'] > 20)
        assert(all['caravan_upstream_prompt_tokens_total{upstream="a"}'] >= 11)
        const o = status.upstreams.find((u) => u.name === 'o')
        assert(o.requests > 20 && o.failed > 1 && o.day > 0 && o.month >= o.day)
        const everything = JSON.stringify(status) + (await (await fetch(`${node.api}/metrics`)).text()) + node.logText()
        assert(!everything.includes('very-secret'))
        assert(node.logText().includes('upstream "o": ok: answered'))
    },

    async 'a cap holds under 32 requests at once, and after a restart'() {
        // a request may cost: its body and what is added to it, at most 1,500 tokens, and 100 tokens of answer; it does cost 11 + 7 tokens
        const up = { url: base, prices: { '*': { input: 1, output: 10 } }, max_tokens: 100, spend: { day: 0.02 } }
        const table = { upstreams: { capped: up }, models: { capped: { targets: [{ upstream: 'capped', model: 'slow' }] } } }
        let capped = await openNode('capped', table)
        const answers = await Promise.all(Array.from({ length: 32 }, () => chat('capped', {}, {}, capped.api)))
        const good = answers.filter((a) => a.status === 200).length
        assert(good > 2 && good < 32, `${good}`)
        assert(answers.every((a) => a.status === 200 || (a.status === 429 && a.text.includes('cap of 0.02 a day'))), answers.map((a) => a.text).join('\n'))
        assert.equal(seen.filter((s) => s.body.model === 'slow' && s.body.max_tokens === 100).length, good)
        let spent = (await capped.status()).upstreams[0].day
        assert(Math.abs(spent - good * (11 + 70) / 1e6) < 1e-9, `${spent}`)
        await capped.stop()
        capped = await openNode('capped', table)
        assert(Math.abs((await capped.status()).upstreams[0].day - spent) < 1e-9)
        await capped.stop()
    },

    async 'a key of a client: it may leave or not, asks its models, and spends no more than its money'() {
        const table = { upstreams: { o: { url: base, prices: { '*': { input: 1, output: 10 } } } }, models: { out: { targets: [{ upstream: 'o', model: 'ok' }] }, far: { targets: [{ upstream: 'o', model: 'ok' }] } } }
        const keyed = await openNode('keyed', table)
        const cli = (...args) => execFileSync(caravan, [...args, '--state-dir', join(tmp, 'keyed')], { stdio: ['ignore', 'pipe', 'inherit'] }).toString().trim()
        const inside = cli('keys', 'add', 'inside'), outside = cli('keys', 'add', 'outside', '--cloud', '--model', 'out', '--money-per-month', '0.0001')
        const by = (key, model, body = {}) => chat(model, body, { authorization: `Bearer ${key}` }, keyed.api)
        const n = seen.length
        assert.equal((await by(inside, 'out')).status, 403)
        assert.equal((await by(outside, 'far')).status, 403)
        assert.equal(seen.length, n)
        assert.equal((await by(outside, 'out', { max_tokens: 50 })).status, 200)
        const stopped = await by(outside, 'out', { max_tokens: 50, stop: ['1', '2', '3', '4', 'wor'] }) // cut by us: counted, too
        assert.equal(stopped.json.choices[0].message.content, 'Hällo, ')
        const m = seen.length, third = await by(outside, 'out', { max_tokens: 50 })
        assert.deepEqual([third.status, seen.length], [429, m], third.text)
        assert(third.text.includes('of money a month'), third.text)
        const usage = await until('both are counted', async () => {
            const rows = JSON.parse(cli('usage', '--json')).usage.filter((r) => r.model === 'o/ok')
            return rows.reduce((sum, r) => sum + r.requests, 0) >= 2 && rows
        })
        const money = usage.reduce((sum, r) => sum + r.money, 0)
        assert(money > 0.0001 && money < 0.01, JSON.stringify(usage))
        await keyed.stop()
    },

    async 'a quota of tokens holds where the upstream counts none, and status tells addresses to admins only'() {
        const table = { upstreams: { o: { url: base } }, models: { badusage: { targets: [{ upstream: 'o', model: 'badusage' }] }, endless: { targets: [{ upstream: 'o', model: 'endless' }] } } }
        const counted = await openNode('counted', table)
        const cli = (...args) => execFileSync(caravan, [...args, '--state-dir', join(tmp, 'counted')], { stdio: ['ignore', 'pipe', 'inherit'] }).toString().trim()
        const key = cli('keys', 'add', 'few', '--cloud'), authorization = `Bearer ${key}`
        const tokens = () => JSON.parse(cli('usage', '--json')).usage.filter((r) => r.model.startsWith('o/')).map((r) => [r.model, r.prompt_tokens, r.completion_tokens])
        assert.equal((await chat('badusage', { max_tokens: 50 }, { authorization }, counted.api)).status, 200)
        assert.equal((await chat('endless', { max_tokens: 50, stop: ['1', '2', '3', '4', '9 '] }, { authorization }, counted.api)).status, 200)
        const rows = await until('both are counted', () => tokens().length === 2 && tokens())
        assert(rows.every(([, prompt, completion]) => prompt > 10 && completion > 5), JSON.stringify(rows))
        const seenBy = (await (await fetch(`${counted.api}/caravan/v1/status`, { headers: { authorization } })).json()).upstreams[0]
        assert.equal(seenBy.name, 'o')
        assert(!('url' in seenBy) && !('day' in seenBy), JSON.stringify(seenBy))
        await counted.stop()
    },

    async 'a spent cap says when it ends, and a request that never fits it is refused for good'() {
        const table = { upstreams: { tiny: { url: base, prices: { '*': { input: 1, output: 10 } }, max_tokens: 10, spend: { month: 0.002 } }, o: { url: base } }, models: { both: { targets: [{ upstream: 'tiny', model: 'badusage' }, { upstream: 'o', model: 'ok', when: ['full'] }] }, tiny: { targets: [{ upstream: 'tiny', model: 'badusage' }] } } }
        const tiny = await openNode('tiny', table)
        const never = await chat('tiny', { max_tokens: 5000 }, {}, tiny.api)
        assert.deepEqual([never.status, never.retry], [429, null], never.text)
        assert.equal((await chat('both', { max_tokens: 5000 }, {}, tiny.api)).by, 'o; model=ok')
        let last
        for (let i = 0; i < 100 && last?.status !== 429; i++) last = await chat('tiny', {}, {}, tiny.api)
        assert.equal(last.status, 429, last.text)
        const now = new Date(), rest = (Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - now) / 1000
        assert(Math.abs(Number(last.retry) - rest) < 60, `${last.retry}, ${rest}`)
        await tiny.stop()
    },

    async 'a key that cannot be read, and one that changes'() {
        const file = join(tmp, 'later.key')
        const table = { upstreams: { late: { url: base, key_file: file } }, models: { late: { targets: [{ upstream: 'late', model: 'ok' }] } } }
        const late = await openNode('late', table)
        const n = seen.length
        const answer = await chat('late', {}, {}, late.api)
        assert.equal(answer.status, 503)
        assert(!answer.text.includes(file) && late.logText().includes(file))
        assert.equal(seen.length, n)
        writeFileSync(file, 'first-key')
        chmodSync(file, 0o600)
        assert.equal((await chat('late', {}, {}, late.api)).status, 200)
        assert.equal(seen.at(-1).headers.authorization, 'Bearer first-key')
        await late.stop()
    },

    async 'a proxy of the environment is used'() {
        const asked = []
        const proxy = http.createServer((request, response) => {
            asked.push(request.url)
            request.url = new URL(request.url).pathname
            serve(request, response)
        })
        await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
        const table = { upstreams: { far: { url: 'http://far.test/v1', plain: true } }, models: { far: { targets: [{ upstream: 'far', model: 'ok' }] } } }
        const behind = await openNode('behind', table, [], { http_proxy: `http://127.0.0.1:${proxy.address().port}`, no_proxy: '' })
        assert.equal((await chat('far', {}, {}, behind.api)).json.choices[0].message.content, text)
        assert.deepEqual(asked, ['http://far.test/v1/chat/completions'])
        await behind.stop()
        proxy.closeAllConnections()
        proxy.close()
    },

    async 'TLS: a CA of our own is trusted where it is named, HTTP/2 is spoken, a stranger is not trusted'() {
        const dir = mkdir('tls'), at = (name) => join(dir, name)
        const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })
        try {
            openssl('version')
        } catch {
            console.log('# no openssl on this machine: not tested')
            return
        }
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', '/CN=test CA')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('server.key'), '-out', at('server.csr'), '-subj', '/CN=localhost')
        writeFileSync(at('ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
        openssl('x509', '-req', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('server.pem'), '-days', '2', '-extfile', at('ext'))
        const versions = new Set()
        const secure = http2.createSecureServer({ key: readFileSync(at('server.key')), cert: readFileSync(at('server.pem')), allowHTTP1: true }, (request, response) => {
            versions.add(request.httpVersion)
            serve(request, response)
        })
        await new Promise((resolve) => secure.listen(0, '127.0.0.1', resolve))
        const url = `https://127.0.0.1:${secure.address().port}/v1`
        const table = { upstreams: { mine: { url, ca_file: at('ca.pem') }, other: { url } }, models: { mine: { targets: [{ upstream: 'mine', model: 'ok' }] }, other: { targets: [{ upstream: 'other', model: 'ok' }] } } }
        const tls = await openNode('tls', table)
        for (let i = 0; i < 3; i++) assert.equal((await chat('mine', {}, {}, tls.api)).json.choices[0].message.content, text)
        assert.deepEqual([...versions], ['2.0'])
        const n = seen.length, refused = await chat('other', {}, {}, tls.api)
        assert.equal(refused.status, 502, refused.text)
        assert.equal(seen.length, n)
        await tls.stop()
        secure.close()
    },

    async 'an answer that an upstream cuts goes on with the same model of the cluster'() {
        const dir = mkdir('both-models')
        copyFileSync(demoModel, join(dir, 'one.gguf'))
        const table = { upstreams: { other: upstreams.o }, models: { other: { targets: [{ upstream: 'other', model: 'cut700' }, { model: 'one' }] } } }
        for (let i = 0; i < 5; i++) { // each fails once
            table.upstreams[`o${i}`] = upstreams.o
            table.models[`both${i}`] = { targets: [{ upstream: `o${i}`, model: 'one' }, { model: 'one' }] }
        }
        const both = await openNode('both', table, ['--memory', '512M', '--ctx', '512', '--parallel', '2'])
        await until('the node knows the model', async () => (await (await fetch(`${both.api}/v1/models`)).json()).data.some((m) => m.id === 'one'))
        execFileSync(caravan, ['load', 'one', '--api', both.api.slice(7)])
        const body = { temperature: 0, max_tokens: 12, stream: true }
        for (const [i, extra] of [{}, { stop: ['wal', 'zzz'] }, { tools: [tool] }].entries()) {
            const stream = await chat(`both${i}`, { ...body, ...extra }, {}, both.api)
            assert(streamed(stream.text).startsWith(extra.stop ? 'One llama ' : 'One llama wal'), stream.text)
            assert(!stream.text.includes('"error"') && stream.text.trim().endsWith('[DONE]'), stream.text)
            if (extra.stop) continue
            assert(streamed(stream.text).length > 'One llama wal'.length, stream.text)
            assert.match(stream.text, /: x-caravan-served-by: both\/.*model=one/)
            assert.equal(events(stream.text).filter((e) => e.choices?.[0]?.delta?.role).length, 1)
        }
        const claude = await post('/v1/messages', { model: 'both3', max_tokens: 12, temperature: 0, messages, stream: true }, {}, both.api)
        const said = events(claude.text).map((e) => e.delta?.text ?? '').join('')
        assert(said.startsWith('One llama wal') && said.length > 13 && claude.text.includes('message_stop'), claude.text)
        const response = await post('/v1/responses', { model: 'both4', input: 'Hi', max_output_tokens: 20, temperature: 0, stream: true }, {}, both.api)
        const done = events(response.text).find((e) => e.type === 'response.completed' || e.type === 'response.incomplete').response
        assert(done.output.find((i) => i.type === 'message').content[0].text.startsWith('One llama wal'), response.text)
        const other = await chat('other', body, {}, both.api) // another model can't go on with it
        assert(other.text.includes('"error"') && other.text.includes('upstream'), other.text)
        await both.stop()
    },

    async 'the end'() {
        await node.stop()
        upstream.closeAllConnections()
        upstream.close()
    },
})
