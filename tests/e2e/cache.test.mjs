// SPDX-License-Identifier: MIT
// The response cache on the scripted backend: what is kept, for whom, for how long; the same answer whole and streamed in every API; many at once
// are computed once; a Valkey server that two gateways share, and that goes, freezes and lies. And on a real node, over its restart.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { caravan, demoModel, Node } from './lib/cluster.mjs'
import { counters, Fake, script, sleep, until } from './lib/openai.mjs'
import { available, Valkey } from './lib/valkey.mjs'

const fakes = []
after(() => Promise.all(fakes.map((fake) => fake.stop())))

async function gateway(env = {}, key = undefined) {
    const fake = await new Fake({ key, env: { FAKE_CACHE: 'on', ...env } }).open()
    fakes.push(fake)
    return fake
}

// A POST: its status, the headers of the cache, and the body, of a stream as its events' JSON.
async function post(fake, path, body, headers = {}, signal = undefined) {
    const r = await fetch(fake.api + path, { method: 'POST', signal, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
    const text = await r.text(), type = r.headers.get('content-type') ?? ''
    const lines = text.split('\n').map((line) => line.replace(/^data: /, '')).filter((line) => line.startsWith('{'))
    const events = type.includes('event-stream') || type.includes('ndjson') ? lines.map((line) => JSON.parse(line)) : null
    return { status: r.status, cache: r.headers.get('x-caravan-cache'), age: r.headers.get('age'), by: r.headers.get('x-caravan-served-by'), text, events, json: events ? null : JSON.parse(text) }
}

let number = 0
// A chat that was never asked before.
const chat = (what = {}, more = {}) => ({ model: 'fake-model', temperature: 0, messages: [{ role: 'user', content: `${++number} ${script(what)}` }], ...more })
const ask = (fake, body, headers) => post(fake, '/v1/chat/completions', body, headers)
const submitted = async (fake) => (await fake.status()).submitted

const one = await gateway()

test('an answer is computed once, and its age is told', async () => {
    const body = chat({ pieces: ['Twelve ', 'llamas.'] })
    const miss = await ask(one, body), before = await submitted(one)
    await sleep(1100)
    const hit = await ask(one, body)
    assert.deepEqual([miss.status, miss.cache, miss.age], [200, 'miss', null])
    assert.deepEqual([hit.status, hit.cache], [200, 'hit'])
    assert(Number(hit.age) >= 1)
    assert.equal(hit.by, 'cache; model=fake-model')
    assert.notEqual(miss.by, hit.by)
    assert.equal(await submitted(one), before)
    assert.deepEqual(hit.json.choices, miss.json.choices)
    assert.deepEqual(hit.json.usage, miss.json.usage)
    assert.notEqual(hit.json.id, miss.json.id)
})

test('what is apart from the answer makes no difference, and all else does', async () => {
    const body = chat()
    await ask(one, body)
    const { model, temperature, messages } = body
    assert.equal((await ask(one, { messages, temperature: 0.0, user: 'x', metadata: { a: 'b' }, model })).cache, 'hit')
    assert.equal((await ask(one, { ...body, max_tokens: 2 })).cache, 'miss')
    assert.equal((await ask(one, { ...body, temperature, seed: 1 })).cache, 'miss')
    assert.equal((await ask(one, { ...body, model: 'hermes' })).cache, 'miss')
    assert.equal((await post(one, '/v1/messages', { ...body, max_tokens: 9 })).cache, 'miss')
})

test('only what repeats itself is kept, unless the client wants any', async () => {
    const drawn = chat({}, { temperature: 0.7 })
    assert.equal((await ask(one, drawn)).cache, 'bypass')
    assert.equal((await ask(one, drawn)).cache, 'bypass')
    assert.equal((await ask(one, { ...drawn, seed: 7 })).cache, 'miss')
    assert.equal((await ask(one, { ...drawn, seed: 7 })).cache, 'hit')
    assert.equal((await ask(one, drawn, { 'x-caravan-cache': 'any' })).cache, 'miss')
    assert.equal((await ask(one, drawn, { 'x-caravan-cache': 'any' })).cache, 'hit')
    assert.equal((await ask(one, drawn)).cache, 'bypass')
})

test('Cache-Control', async () => {
    const body = chat()
    assert.equal((await ask(one, body, { 'cache-control': 'no-store' })).cache, 'bypass')
    assert.equal((await ask(one, body)).cache, 'miss')
    const before = await submitted(one)
    assert.equal((await ask(one, body, { 'cache-control': 'no-cache' })).cache, 'miss')
    assert.equal(await submitted(one), before + 1)
    await sleep(1100)
    assert.equal((await ask(one, body, { 'cache-control': 'max-age=100' })).cache, 'hit')
    assert.equal((await ask(one, body, { 'cache-control': 'max-age=0' })).cache, 'miss')
    await sleep(2100)
    assert.equal((await ask(one, body, { 'cache-control': 'max-age=1' })).cache, 'miss')
})

test('errors are not kept', async () => {
    const body = chat({ fail: 'ENGINE', fail_after: 1 })
    assert.deepEqual((({ status, cache }) => [status, cache])(await ask(one, body)), [500, 'miss'])
    assert.deepEqual((({ status, cache }) => [status, cache])(await ask(one, body)), [500, 'miss'])
    assert.equal((await ask(one, { ...body, model: 'absent' })).status, 404)
})

// ---- whole and streamed, in every API ----

// What a stream of /v1/chat/completions says, put together.
function assemble(events) {
    const out = { text: '', reasoning: '', calls: [], logprobs: [], finish: null, usage: null }
    for (const e of events) {
        out.usage = e.usage ?? out.usage
        const c = e.choices[0]
        if (!c) continue
        out.text += c.delta.content ?? ''
        out.reasoning += c.delta.reasoning_content ?? ''
        for (const t of c.delta.tool_calls ?? []) {
            out.calls[t.index] ??= { id: t.id, name: t.function.name, arguments: '' }
            out.calls[t.index].arguments += t.function.arguments ?? ''
        }
        out.logprobs.push(...(c.logprobs?.content ?? []))
        out.finish = c.finish_reason ?? out.finish
    }
    return out
}

function whole(json) {
    const { message, logprobs, finish_reason } = json.choices[0]
    const calls = (message.tool_calls ?? []).map((t) => ({ id: t.id, name: t.function.name, arguments: t.function.arguments }))
    return { text: message.content ?? '', reasoning: message.reasoning_content ?? '', calls, logprobs: logprobs?.content ?? [], finish: finish_reason, usage: json.usage }
}

const withoutIds = (said) => ({ ...said, calls: said.calls.map(({ name, arguments: a }) => ({ name, arguments: a })) })
const tool = (name) => ({ type: 'function', function: { name, parameters: { type: 'object', properties: { a: { type: 'integer' } } } } })
const hermes = (...pieces) => chat({ pieces }, { model: 'hermes' })
const cases = {
    text: () => chat({ pieces: ['Ab', 'c ', 'd'] }),
    'a stop string': () => chat({ pieces: ['one ', 'two ', 'three'] }, { stop: ['x', 'two'] }),
    'cut by max_tokens': () => chat({ pieces: ['a', 'b', 'c', 'd'] }, { max_tokens: 2 }),
    'log probabilities': () => chat({ hex: ['c3', 'a4', '62'] }, { logprobs: true, top_logprobs: 3 }),
    reasoning: () => hermes('I ', 'think', '</think>', 'so.'),
    'tool calls after reasoning and text': () => ({
        ...hermes('hm</think>', 'Look: ', '<tool_call>{"name": "add", ', '"arguments": {"a": 1}}</tool_call>', '<tool_call>{"name": "sub", "arguments": {"a": 2}}</tool_call>'),
        tools: [tool('add'), tool('sub')],
    }),
    'calls with ids of nine characters': () => chat({ pieces: ['[TOOL_CALLS]', 'add[ARGS]', '{"a": 3}'] }, { model: 'mistral', tools: [tool('add')] }),
}

for (const [name, make] of Object.entries(cases))
    test(`the same answer, whole and streamed: ${name}`, async () => {
        for (const first of ['whole', 'streamed']) {
            const body = make(), streamed = { ...body, stream: true, stream_options: { include_usage: true } }
            const miss = await ask(one, first === 'whole' ? body : streamed)
            assert.deepEqual([miss.status, miss.cache], [200, 'miss'], miss.text)
            const said = miss.json ? whole(miss.json) : assemble(miss.events)
            if (name.includes('calls')) assert(said.calls.length > 0)
            if (name.includes('reasoning')) assert.notEqual(said.reasoning, '')
            if (name.startsWith('log')) assert(said.logprobs.length > 0)
            const again = whole((await ask(one, body)).json), stream = await ask(one, streamed), put = assemble(stream.events)
            assert.equal(stream.cache, 'hit')
            assert.deepEqual(withoutIds(again), withoutIds(said))
            assert.deepEqual(withoutIds(put), withoutIds(said))
            const ids = [said, again, put].flatMap((s) => s.calls.map((c) => c.id))
            assert.equal(new Set(ids).size, ids.length, `${ids}`)
            assert.equal(new Set(ids.map((id) => id.length)).size, ids.length ? 1 : 0)
        }
    })

test('several choices', async () => {
    const body = chat({ pieces: ['x', 'y'] }, { n: 3, seed: 5 })
    const miss = await ask(one, body), hit = await ask(one, body), stream = await ask(one, { ...body, stream: true })
    assert.deepEqual([hit.cache, stream.cache], ['hit', 'hit'])
    assert.deepEqual(hit.json.choices, miss.json.choices)
    assert.deepEqual([0, 1, 2].map((i) => stream.events.filter((e) => e.choices[0].index === i).map((e) => e.choices[0].delta.content ?? '').join('')), ['xy', 'xy', 'xy'])
})

// Each API: a request, and what of its answer is said to people.
const apis = {
    '/v1/completions': [(b) => ({ ...b, prompt: b.messages[0].content, messages: undefined, logprobs: 2 }), (r) => (r.json ?? r.events).choices?.[0] ?? r.events.map((e) => e.choices[0].text).join('')],
    '/v1/messages': [(b) => ({ ...b, max_tokens: 50 }), (r) => (r.json ? r.json.content : r.events.map((e) => e.delta?.text ?? '').join(''))],
    '/v1/responses': [(b) => ({ ...b, input: b.messages[0].content, messages: undefined }), (r) => (r.json ?? r.events.at(-1).response).output[0].content],
    '/api/chat': [(b) => ({ ...b, stream: b.stream ?? false, temperature: undefined, options: { temperature: 0 } }), (r) => (r.json ? r.json.message.content : r.events.map((e) => e.message.content).join(''))],
    '/api/generate': [(b) => ({ ...b, stream: b.stream ?? false, prompt: b.messages[0].content, messages: undefined, temperature: undefined, options: { temperature: 0 } }), (r) => (r.json ? r.json.response : r.events.map((e) => e.response).join(''))],
}
for (const [path, [form, say]] of Object.entries(apis))
    test(`${path}: whole and streamed share an entry`, async () => {
        const body = chat({ pieces: ['We ', 'walk.'] })
        const results = []
        for (const stream of [undefined, undefined, true]) results.push(await post(one, path, form({ ...body, stream })))
        assert.deepEqual(results.map((r) => [r.status, r.cache]), [[200, 'miss'], [200, 'hit'], [200, 'hit']], results[0].text)
        assert.deepEqual(say(results[1]), say(results[0]))
        assert.match(JSON.stringify(say(results[2])), /We walk\./)
    })

test('the stop string that was found is told again', async () => {
    const body = { ...chat({ pieces: ['one ', 'two ', 'three'] }), max_tokens: 50, stop_sequences: ['x', 'two', 'y'] }
    for (const wanted of ['miss', 'hit']) {
        const { cache, json } = await post(one, '/v1/messages', body)
        assert.deepEqual([cache, json.stop_reason, json.stop_sequence], [wanted, 'stop_sequence', 'two'])
    }
})

// A stream cannot be called back when its end shows that it doesn't fit; in one piece, the answer is judged first.
test('only an answer that was checked is kept', async () => {
    const schema = { type: 'array', items: { type: 'integer' }, uniqueItems: true }
    const body = chat({ pieces: ['[1, 2]'] }, { response_format: { type: 'json_schema', json_schema: { name: 'r', schema } } })
    for (const [stream, wanted] of [[true, 'miss'], [true, 'miss'], [false, 'miss'], [true, 'hit'], [false, 'hit']])
        assert.equal((await ask(one, { ...body, stream })).cache, wanted)
    const wrong = { ...body, ...chat({ pieces: ['[1, 1]'] }) }
    for (let i = 0; i < 2; i++) assert.equal((await ask(one, wrong)).cache, 'miss')
})

test('a response from the cache is stored under its own id', async () => {
    const body = { model: 'fake-model', temperature: 0, input: `${++number} ${script({ pieces: ['Yes.'] })}` }
    const miss = await post(one, '/v1/responses', body), hit = await post(one, '/v1/responses', body)
    assert.equal(hit.cache, 'hit')
    assert.notEqual(hit.json.id, miss.json.id)
    const stored = await (await fetch(`${one.api}/v1/responses/${hit.json.id}`)).json()
    assert.deepEqual(stored.output, hit.json.output)
})

// ---- many at once, and many people ----

test('identical requests at once are computed once', async () => {
    const body = chat({ pieces: ['slow'], start_ms: 300 }), before = await submitted(one)
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(one, { ...body, stream: i % 2 === 1 })))
    assert.equal(await submitted(one), before + 1)
    assert.equal(all.filter((r) => r.cache === 'miss').length, 1)
    for (const r of all) assert(['hit', 'miss', ...(r.json ? [] : [null])].includes(r.cache), `${r.cache}`) // a stream that waits long has sent its headers
    for (const r of all) assert.equal((r.json ? whole(r.json) : assemble(r.events)).text, 'slow')
})

test('if the one that computes goes, the next one computes', async () => {
    const body = chat({ pieces: ['late'], start_ms: 3000 }), before = await submitted(one), leave = new AbortController()
    const first = post(one, '/v1/chat/completions', body, {}, leave.signal).catch((e) => e)
    await until('the first is on its way', async () => (await submitted(one)) === before + 1)
    const rest = [1, 2, 3].map(() => ask(one, body))
    await until('the others wait', async () => (await one.status()).calls === 4)
    leave.abort()
    assert.equal((await first).name, 'AbortError')
    const all = await Promise.all(rest)
    assert.deepEqual(all.map((r) => whole(r.json).text), ['late', 'late', 'late'])
    assert.equal(await submitted(one), before + 2)
})

test('if it fails, the others are not failed with it', async () => {
    const body = chat({ pieces: ['x'], fail: 'ENGINE', fail_after: 1, delay_ms: 50 }), before = await submitted(one)
    const all = await Promise.all([1, 2, 3].map(() => ask(one, body)))
    assert.deepEqual(all.map((r) => r.status), [500, 500, 500])
    assert.equal(await submitted(one), before + 3)
})

test('nobody gets what was computed for another key', async () => {
    const fake = await gateway({ FAKE_KEY: 'two' }, 'one'), body = chat()
    const as = (key) => ask(fake, body, { authorization: `Bearer ${key}` })
    assert.equal((await as('one')).cache, 'miss')
    assert.equal((await as('two')).cache, 'miss')
    assert.equal((await as('one')).cache, 'hit')
    assert.equal((await as('two')).cache, 'hit')
})

test('hits count as such, and not as tokens', async () => {
    const body = chat({ pieces: ['a', 'b', 'c'] })
    await ask(one, body)
    const before = await counters(one.api)
    await ask(one, body)
    await ask(one, body, { 'cache-control': 'no-store' })
    await ask(one, chat({ pieces: ['d'] }))
    const more = await counters(one.api, before)
    assert.deepEqual([more.caravan_cache_hits_total, more.caravan_cache_misses_total, more.caravan_cache_bypasses_total], [1, 1, 1])
    assert.equal(more.caravan_completion_tokens_total, 3 + 1)
    assert.equal(more.caravan_requests_finished_total, 3)
})

test('without a cache, requests are not kept', async () => {
    const fake = await gateway({ FAKE_CACHE: 'off' }), body = chat()
    assert.equal((await ask(fake, body)).cache, 'bypass')
    assert.equal((await ask(fake, body)).cache, 'bypass')
})

// ---- a server that gateways share ----

const skip = !available && 'no cache server; make sysroot-test fetches one'

test('two gateways share one server, which may go and come again', { skip }, async () => {
    const server = await new Valkey().start()
    const [north, south] = [await gateway({ FAKE_CACHE_URL: server.url }), await gateway({ FAKE_CACHE_URL: server.url })]
    const shared = async () => {
        const body = chat()
        return (await ask(north, body)).cache === 'miss' && (await ask(south, body)).cache === 'hit'
    }
    await until('both are connected', shared)
    const body = chat({ pieces: ['kept'] })
    await ask(north, body)
    await until('the server has it', async () => !(await server.ask('DBSIZE')).startsWith(':0'))
    const hit = await ask(south, body)
    assert.equal(hit.cache, 'hit')
    assert.equal(whole(hit.json).text, 'kept')
    assert.equal(await submitted(south), 0)
    await server.stop()
    for (const fake of [north, south]) {
        const other = chat({ pieces: ['alone'] }), r = await ask(fake, other)
        assert.deepEqual([r.status, r.cache], [200, 'miss'])
        assert.equal((await ask(fake, other)).cache, 'hit') // from its own memory
    }
    await server.start()
    await until('both are connected again', shared)
    await server.stop()
})

test('a server that does not answer delays a request by little, and one that lies is not believed', { skip }, async () => {
    const server = await new Valkey().start(), fake = await gateway({ FAKE_CACHE_URL: server.url }), other = await gateway({ FAKE_CACHE_URL: server.url })
    const body = chat({ pieces: ['true'] })
    await until('it keeps answers', async () => {
        await ask(fake, chat())
        return !(await server.ask('DBSIZE')).startsWith(':0')
    })
    server.freeze()
    const r = await ask(fake, body)
    assert.deepEqual([r.status, r.cache, whole(r.json).text], [200, 'miss', 'true'])
    server.thaw()
    await until('it keeps answers again', async () => {
        await server.ask('FLUSHDB')
        await ask(fake, body, { 'cache-control': 'no-cache' })
        return (await server.ask('DBSIZE')).startsWith(':1')
    })
    const key = /caravan:[0-9a-f]{64}/.exec(await server.ask('KEYS', '*'))[0]
    assert(Number((await server.ask('TTL', key)).slice(1)) > 80000) // it forgets by itself
    await server.ask('SET', key, 'CRVA is no answer')
    const again = await ask(other, body)
    assert.deepEqual([again.status, again.cache, whole(again.json).text], [200, 'miss', 'true'])
    await server.stop()
})

test('a server with a password', { skip }, async () => {
    const server = await new Valkey(['--requirepass', 'open sesame']).start()
    const [right, wrong] = [await gateway({ FAKE_CACHE_URL: server.url, CARAVAN_CACHE_PASSWORD: 'open sesame' }), await gateway({ FAKE_CACHE_URL: server.url })]
    await until('one is let in', async () => {
        const body = chat()
        await ask(right, body)
        const { cache } = await ask(await gateway({ FAKE_CACHE_URL: server.url, CARAVAN_CACHE_PASSWORD: 'open sesame' }), body)
        return cache === 'hit' || (await sleep(200))
    })
    const body = chat(), r = await ask(wrong, body)
    assert.deepEqual([r.status, r.cache], [200, 'miss'])
    await server.stop()
})

// ---- a real node ----

test('a real node gives the answer again after its restart', async () => {
    const options = [demoModel, '--memory', '64M', '--cache', 'on', '--cache-ttl', '3600', '--cache-size', '1M']
    const body = { model: 'caravan-demo', messages: [{ role: 'user', content: 'What do llamas carry?' }], temperature: 0, max_tokens: 12 }
    let said
    for (const wanted of ['miss', 'hit']) {
        const node = await new Node('keeper', options).open()
        await node.ready()
        const r = await ask(node, body), stream = await ask(node, { ...body, stream: true })
        assert.deepEqual([r.status, r.cache, stream.cache], [200, wanted, 'hit'])
        assert.match(r.by, wanted === 'miss' ? /^keeper\/\S+; model=caravan-demo$/ : /^cache; model=caravan-demo$/)
        assert.equal(stream.by, 'cache; model=caravan-demo')
        said ??= whole(r.json).text
        assert.equal(whole(r.json).text, said)
        assert.equal(assemble(stream.events).text, said)
        assert.match(node.logText(), wanted === 'miss' ? /running -> finishing/ : /looking -> finishing/)
        await node.stop()
    }
})

test('a cache server by TLS: a certificate of our own authority is believed, one of a stranger or of another name is not', { skip }, async (t) => {
    const dir = join(process.env.CARAVAN_TMP, 'tls'), at = (name) => join(dir, name)
    const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })
    mkdirSync(dir)
    try {
        openssl('version')
    } catch {
        console.log('# no openssl on this machine: not tested')
        return
    }
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    for (const ca of ['ca', 'stranger']) openssl('req', '-x509', ...key, '-keyout', at(`${ca}.key`), '-out', at(`${ca}.pem`), '-days', '2', '-subj', `/CN=${ca}`)
    openssl('req', ...key, '-keyout', at('server.key'), '-out', at('server.csr'), '-subj', '/CN=cache')
    writeFileSync(at('ext'), 'subjectAltName=DNS:localhost\n')
    openssl('x509', '-req', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('server.pem'), '-days', '2', '-extfile', at('ext'))
    const server = new Valkey()
    t.after(() => server.stop())
    const port = await server.startTls(at('server.pem'), at('server.key'))
    const body = { model: 'caravan-demo', messages: [{ role: 'user', content: 'What do llamas carry?' }], temperature: 0, max_tokens: 12 }
    const open = async (name, host, ca) => {
        const node = await new Node(name, [demoModel, '--memory', '64M', '--cache-url', `rediss://${host}:${port}`, '--cache-ca-file', at(ca)]).open()
        t.after(() => node.stop('SIGKILL'))
        await node.ready()
        return node
    }
    const told = (node, words) => until('the log says why', () => words.test(node.logText()))
    for (const wanted of ['miss', 'hit']) {
        const node = await open(`tls-${wanted}`, 'localhost', 'ca.pem')
        const { cache } = await ask(node, body)
        assert.equal(cache, wanted)
        if (wanted === 'miss') await until('the server has it', async () => (await server.ask('DBSIZE')) === ':1\r\n')
        await node.stop()
    }
    const stranger = await open('tls-stranger', 'localhost', 'stranger.pem')
    await told(stranger, /the cache server localhost:\d+: its certificate is not believed: unable to get local issuer certificate; answers are computed meanwhile/)
    assert.equal((await ask(stranger, body)).cache, 'miss')
    await stranger.stop()
    const other = await open('tls-other', '127.0.0.1', 'ca.pem')
    await told(other, /its certificate is not believed: IP address mismatch/)
    assert.equal((await ask(other, body)).cache, 'miss')
    await other.stop()
    const { status, stderr } = spawnSync(caravan, ['up', '--state-dir', at('none'), '--cache-url', `rediss://localhost:${port}`, '--cache-ca-file', at('server.key')], { encoding: 'utf8' })
    assert(status > 0)
    assert.match(stderr, /--cache-ca-file: there are no certificates \(PEM\) in ".*server\.key"/)
})
