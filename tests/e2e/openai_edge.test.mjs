// SPDX-License-Identifier: MIT
// Cases for which the backend must be scripted: failures at every moment, disconnects in every state, text cut anywhere, silence, load.
import assert from 'node:assert/strict'
import net from 'node:net'
import test, { after } from 'node:test'
import { Matrix } from './lib/matrix.mjs'
import { Fake, counters, load, script, until } from './lib/openai.mjs'

const { default: OpenAI, APIError, AuthenticationError, BadRequestError, InternalServerError, RateLimitError } = await load('openai')
const fake = await new Fake().open()
const matrix = new Matrix()
after(() => fake.stop().then(() => matrix.check()))
const plain = await matrix.open('plain request', fake.api)

let attempts = 0
const counting = (url, init) => { attempts++; return fetch(url, init) }
const api = await matrix.open('openai', fake.api)
const client = new OpenAI({ baseURL: `${api}/v1`, apiKey: 'none', maxRetries: 2, fetch: counting })
const body = (what, more = {}) => ({ model: 'fake-model', messages: [{ role: 'user', content: typeof what === 'string' ? what : script(what) }], ...more })
const chat = (what, more) => client.chat.completions.create(body(what, more))
const raw = (what, more, init = {}) => fetch(`${plain}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body(what, more)), ...init })
const text = async (stream) => { let s = ''; for await (const c of stream) s += c.choices[0]?.delta.content ?? ''; return s }
const settled = () => until('no request runs any more', async () => (await fake.status()).running === 0)

test('text that tokens cut inside characters comes out whole, wrong bytes as U+FFFD', async () => {
    const what = { hex: ['48', 'c3', 'a9', 'e2', '82', 'ac20', 'f09fa6', '99', '21', 'ff', 'e282'] }
    const expected = 'Hé€ 🦙!\ufffd\ufffd'
    assert.equal((await chat(what)).choices[0].message.content, expected)
    assert.equal(await text(await chat(what, { stream: true })), expected)
})

test('a stop string across tokens is never shown; a text that only begins like it is shown', async () => {
    const what = { pieces: ['one <', '/', 'x> two <', '/s', '> three'], delay_ms: 2 }
    for (const stream of [false, true]) {
        const r = await chat(what, { stop: '</s>', stream })
        assert.equal(stream ? await text(r) : r.choices[0].message.content, 'one </x> two ')
        if (!stream) assert.deepEqual([r.choices[0].finish_reason, r.usage.completion_tokens], ['stop', 5])
    }
    const last = await chat({ pieces: ['a </', 's'] }, { stop: '</s>' })
    assert.equal(last.choices[0].message.content, 'a </s')
    await settled()
})

test('a choice that a stop string ends is freed at once, while the others go on', async () => {
    const before = await fake.status()
    const prompt = [script({ pieces: ['a', 'STOP', 'b'], repeat: 1000, delay_ms: 5 }), script({ pieces: ['c'], repeat: 300, delay_ms: 10 })]
    const all = fetch(`${plain}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', prompt, stop: 'STOP', max_tokens: -1 }) })
    await until('the first is cancelled', async () => (await fake.status()).cancelled === before.cancelled + 1)
    assert.equal((await fake.status()).running, 1)
    const r = await (await all).json()
    assert.deepEqual(r.choices.map((c) => c.text), ['a', 'c'.repeat(300)])
})

test('logprobs with a stop string: the tokens of the text, the cut one included, no others', async () => {
    const what = { pieces: ['one ', 'two ST', 'OP', ' three'] }
    const r = await chat(what, { stop: 'STOP', logprobs: true })
    assert.deepEqual(r.choices[0].logprobs.content.map((t) => t.token), ['one ', 'two ST'])
    let streamed = []
    for await (const c of await chat(what, { stop: 'STOP', logprobs: true, stream: true })) streamed.push(...(c.choices[0].logprobs?.content ?? []))
    assert.deepEqual(streamed.map((t) => t.token), ['one ', 'two ST'])
})

test('a failure in mid-stream is an error event, not a quiet end', async () => {
    const stream = await chat({ fail: 'ENGINE', fail_after: 2, delay_ms: 5 }, { stream: true })
    let seen = ''
    await assert.rejects(async () => { for await (const c of stream) seen += c.choices[0].delta.content ?? '' }, (e) => e instanceof APIError && /made this request fail/.test(e.message))
    assert(seen.length > 0)
    const wire = await (await raw({ fail: 'ENGINE', fail_after: 1 }, { stream: true })).text()
    assert.match(wire, /data: \{"error":\{"message":[^\n]+"server_error"\},"request_id":"req_[0-9a-f]+"\}\n\n$/)
    assert(!wire.includes('[DONE]'))
})

test('a failure before the first token has its own status, streamed or not', async () => {
    for (const stream of [false, true]) {
        await assert.rejects(chat({ fail: 'LIMIT', start_ms: 20 }, { stream }), (e) => e instanceof BadRequestError && e.code === 'context_length_exceeded')
    }
})

test('with n, one choice that fails ends all of them', async () => {
    const before = await fake.status(), counted = await counters(fake.api)
    const stream = await chat({ repeat: 500, delay_ms: 2, fail: 'ENGINE', fail_after: 20 }, { stream: true, n: 3 })
    await assert.rejects(text(stream), APIError)
    await settled()
    const after = await fake.status()
    assert.equal(after.cancelled, before.cancelled + 2)
    assert.equal((await counters(fake.api, counted)).caravan_completion_tokens_total, after.tokens - before.tokens)
})

test('retries: our own failure is not tried again, a full queue is', async () => {
    attempts = 0
    await assert.rejects(chat({ fail: 'ENGINE' }), InternalServerError)
    assert.equal(attempts, 1)
    attempts = 0
    const start = Date.now()
    const quick = new OpenAI({ baseURL: `${api}/v1`, apiKey: 'none', maxRetries: 1, fetch: counting })
    await assert.rejects(quick.chat.completions.create(body({ refuse: 'BUSY' })), (e) => e instanceof RateLimitError && e.headers.get('retry-after') === '2')
    assert.equal(attempts, 2)
    assert(Date.now() - start >= 1900, 'Retry-After was honoured')
    const loading = await fetch(`${plain}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ ...body('x'), model: 'org/loading' }) })
    assert.equal(loading.status, 503)
    assert(Number(loading.headers.get('retry-after')) > 0)
    assert.equal((await loading.json()).error.code, 'model_unavailable')
})

test('n whose later choices do not fit in the queue: 429, and the first ones are freed', async () => {
    const before = await fake.status()
    const r = await fetch(`${plain}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', prompt: [script({ delay_ms: 50 }), script({ refuse: 'BUSY' })] }) })
    assert.equal(r.status, 429)
    const now = await fake.status()
    assert.deepEqual([now.running, now.cancelled - before.cancelled], [0, 1])
})

test('silence is bridged by comment lines, which clients pass over', async () => {
    const wire = await (await raw({ start_ms: 800, prefill_ms: 800, pieces: ['x'] }, { stream: true })).text()
    const comments = wire.split('\n\n').filter((block) => block === ': ping')
    assert(comments.length >= 3, wire)
    assert(wire.split('\n').every((line) => line === '' || line === ': ping' || line.startsWith('data: ')))
    assert.equal(await text(await chat({ start_ms: 800, pieces: ['x'] }, { stream: true })), 'x')
})

test('a client that goes frees the request at once: queued, prefilling, decoding, whole or streamed, every choice', async () => {
    const states = { queued: { start_ms: 600000 }, prefilling: { prefill_ms: 600000 }, decoding: { repeat: 100000, delay_ms: 5 } }
    for (const [name, what] of Object.entries(states)) {
        for (const more of [{ stream: true }, { stream: false }, { stream: true, n: 4 }, { stream: false, n: 4 }]) {
            const before = await fake.status()
            const controller = new AbortController()
            const gone = raw(what, more, { signal: controller.signal }).then((r) => r.text()).catch(() => 'gone')
            const n = more.n ?? 1
            await until(`${name}: every choice is there`, async () => {
                const now = await fake.status()
                return now.running === n && (name === 'queued' || now.started === before.started + n) && (name !== 'decoding' || now.tokens > before.tokens)
            })
            controller.abort()
            assert.equal(await gone, 'gone')
            await settled() // long before an answer of it would be over
            const now = await fake.status()
            assert.deepEqual([now.cancelled - before.cancelled, now.calls], [n, 0], name)
        }
    }
})

test('a client that does not read is cut off, and the request freed', async () => {
    const socket = net.connect(fake.port, '127.0.0.1')
    const content = script({ pieces: ['a'.repeat(60)], repeat: 1000000 })
    const json = JSON.stringify(body(content, { stream: true }))
    socket.pause()
    socket.on('error', () => {})
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`)
    await until('it runs', async () => (await fake.status()).running === 1)
    await until('it is cut off', async () => (await fake.status()).running === 0)
    socket.destroy()
})

test('bodies that are no JSON, too deep, not UTF-8, too large', async () => {
    const post = (data) => fetch(`${plain}/v1/chat/completions`, { method: 'POST', body: data })
    for (const data of ['', '{', 'null', '[1]', '{"messages":' + '['.repeat(100) + ']'.repeat(100) + '}', '{"model":"fake-model","messages":[{"role":"user","content":"x"}],"seed":1e999}',
        Buffer.concat([Buffer.from('{"messages":[{"role":"user","content":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}]}')])]) {
        const r = await post(data)
        assert.equal(r.status, 400, String(data).slice(0, 40))
        assert.equal(typeof (await r.json()).error.message, 'string')
    }
    const large = await post('x'.repeat(17 << 20)).catch((e) => e)
    if (!(large instanceof Error)) assert.equal(large.status, 413)
})

test('routes: unknown 404, wrong method 405 with Allow, HEAD, health', async () => {
    const unknown = await fetch(`${plain}/v1/nothing`)
    assert.deepEqual([unknown.status, (await unknown.json()).error.code], [404, 'not_found'])
    const method = await fetch(`${plain}/v1/chat/completions`)
    assert.deepEqual([method.status, method.headers.get('allow')], [405, 'POST'])
    assert.equal((await fetch(`${plain}/v1/models`, { method: 'DELETE' })).headers.get('allow'), 'GET, HEAD')
    const head = await fetch(`${plain}/v1/models`, { method: 'HEAD' })
    assert.deepEqual([head.status, await head.text()], [200, ''])
    assert.equal((await (await fetch(`${plain}/health`)).json()).status, 'ok')
    assert.equal((await fetch(`${plain}/v1/models/org/loading`)).status, 200)
    const untold = await fetch(`${plain}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ ...body('x'), model: 'plain' }) })
    assert.match((await untold.json()).error.message, /no chat template/)
    const page = await fetch(`${plain}/v1/models`, { headers: { origin: 'https://evil.example' } })
    assert.deepEqual([page.status, (await page.json()).error.code], [403, 'insufficient_permissions'])
})

test('keys: needed where set, for all but health', async () => {
    const locked = await new Fake({ key: 'sk-right' }).open()
    try {
        const ask = (apiKey) => new OpenAI({ baseURL: `${locked.api}/v1`, apiKey, maxRetries: 0 }).models.list()
        assert((await ask('sk-right')).data.length > 0)
        await assert.rejects(ask('sk-wrong'), AuthenticationError)
        assert.equal((await fetch(`${locked.api}/health`)).status, 200)
        assert.equal((await fetch(`${locked.api}/v1/nothing`)).status, 401)
    } finally {
        await locked.stop()
    }
})

test('SIGTERM: the running stream ends in order, new connections are refused', async () => {
    const other = await new Fake().open()
    const stream = await new OpenAI({ baseURL: `${other.api}/v1`, apiKey: 'x' }).chat.completions.create({ ...body({ delay_ms: 150 }), stream: true })
    const all = text(stream)
    await until('it runs', async () => (await other.status()).running === 1)
    const ended = other.stop()
    assert.match(await all, /\.$/)
    assert.deepEqual(await ended, { code: 0, signal: null })
    await assert.rejects(fetch(`${other.api}/health`))
})

test('a thousand idle connections, and sixty-four streams beside them', async () => {
    const idle = await Promise.all(Array.from({ length: 1000 }, () => new Promise((resolve, reject) => {
        const s = net.connect(fake.port, '127.0.0.1', () => resolve(s))
        s.on('error', reject)
    })))
    const texts = await Promise.all(Array.from({ length: 64 }, async () => text(await chat({ repeat: 5, delay_ms: 2 }, { stream: true, seed: 0 }))))
    assert(texts.every((t) => t === texts[0] && t.length > 300))
    for (const s of idle) s.destroy()
    await settled()
})
