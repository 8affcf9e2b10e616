// SPDX-License-Identifier: MIT
// An answer whose place is lost, at every token, through every API: the client gets exactly the bytes that it would have got.
// The backend is scripted: it ends the test if it is asked to continue after tokens that it didn't give. (With real stages: cluster.test.mjs.)
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Fake, until } from './lib/openai.mjs'

const open = async (env) => {
    const fake = await new Fake({ env }).open()
    after(() => fake.stop())
    return fake
}
const fake = await open({ FAKE_AWAIT: '1' })

// Scripts of one length, so that usage is the same: characters cut by tokens, the beginning of a stop string, a whole one.
const hex = ['48', 'c3', 'a9', '3c2f', '78', 'e282', 'ac', '3c', '2f', '73', '3e', '21']
const script = (lose) => `@@${JSON.stringify({ hex, lose, delay_ms: 1 }).padEnd(200)}@@`
const apis = {
    '/v1/chat/completions': (text) => ({ messages: [{ role: 'user', content: text }], stop: '</s>', logprobs: true, top_logprobs: 2 }),
    '/v1/completions': (text) => ({ prompt: text, stop: '</s>', max_tokens: 50, logprobs: 1 }),
    '/v1/messages': (text) => ({ messages: [{ role: 'user', content: text }], stop_sequences: ['</s>'], max_tokens: 50 }),
    '/v1/responses': (text) => ({ input: text }),
    '/api/chat': (text) => ({ messages: [{ role: 'user', content: text }], options: { stop: ['</s>'] } }),
    '/api/generate': (text) => ({ prompt: text, options: { stop: ['</s>'] } }),
}
// An answer without the parts that always differ: ids, times, and signs of life.
async function answer(path, body, init = {}) {
    const response = await fetch(`${fake.api}${path}`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', ...body }), ...init })
    const text = await response.text()
    return text.replace(/[0-9a-f]{24}/g, 'ID').replace(/"(created\w*|completed_at|\w*duration)":("[^"]*"|\d+)/g, '"$1":0').replace(/^:.*\n\n/gm, '')
}

for (const [path, make] of Object.entries(apis))
    test(`${path}: wherever it is lost, and however often, nothing shows`, async () => {
        for (const stream of [true, false]) {
            const undisturbed = await answer(path, { ...make(script([])), stream })
            assert.match(undisturbed, /H/)
            const before = (await fake.status()).lost
            const cases = [...hex.keys()].filter((n) => n > 0).map((n) => [n]).concat([[1, 2, 3, 4, 5, 6, 7, 8]])
            const answers = await Promise.all(cases.map((lose) => answer(path, { ...make(script(lose)), stream })))
            answers.forEach((a, i) => assert.equal(a, undisturbed, `lost at ${cases[i]}`))
            assert((await fake.status()).lost - before >= 17, 'each of them was lost')
        }
        await until('nothing runs', async () => (await fake.status()).running === 0)
    })

test('every choice of several, each in its own middle', async () => {
    const body = { prompt: [script([2]), script([4, 6])], n: 2, max_tokens: 50 }
    assert.equal(await answer('/v1/completions', body), await answer('/v1/completions', { ...body, prompt: [script([]), script([])] }))
})

test('embeddings: the texts whose vectors had not come are sent again', async () => {
    const other = await open({ FAKE_AWAIT: '1' })
    const input = [script([0]), 'one', 'two']
    const { data } = await (await fetch(`${other.api}/v1/embeddings`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', input }) })).json()
    assert.equal(data.length, 3)
    assert.equal((await other.status()).submitted, 4)
})

test('a request that loses every place it gets ends with an error', async () => {
    const lose = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert.match(await answer('/v1/chat/completions', { ...apis['/v1/chat/completions'](script(lose)), stream: true }), /H.*"error":\{"message":"this request has lost its place 8 times/s)
})

// A crash of the process that computed the request: the request may be the reason, so it is sent again to be computed alone.
test('a request that was in flight at a crash goes on, with nothing beside it; at two in a row it ends, and its client is not told to try again', async () => {
    const other = await open({ FAKE_AWAIT: '1' })
    const ask = async (script_, stream) => {
        const response = await fetch(`${other.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', stream, messages: [{ role: 'user', content: `@@${JSON.stringify(script_)}@@` }] }) })
        return { status: response.status, text: await response.text() }
    }
    const pieces = Array.from({ length: 40 }, (_, i) => `w${i} `)
    for (const stream of [true, false]) {
        const before = await other.status()
        const once = await ask({ pieces, lose: [5, 14, 30], lose_as: 'CRASH' }, stream) // three crashes, but each time it went on after them
        assert.equal(once.status, 200)
        assert.match(once.text, /w39/)
        assert.doesNotMatch(once.text, /crashed/)
        const after = await other.status()
        assert.deepEqual([after.submitted - before.submitted, after.suspects - before.suspects], [4, 3])
        const twice = await ask({ pieces, lose: [5, 9], lose_as: 'CRASH' }, stream)
        assert.match(twice.text, /cannot compute this request: its process crashed twice in a row/)
        if (!stream) assert.equal(twice.status, 400)
        assert.equal((await other.status()).submitted - after.submitted, 2)
    }
    const whole = await ask({ pieces, lose: [5, 9] }, false) // a request that was lost for another reason is no suspect
    assert.equal(whole.status, 200)
    assert.equal((await other.status()).suspects, 2 * 4)
})

test('a client that goes away while its answer waits for a place', async () => {
    const never = await open({ FAKE_AWAIT: 'never' })
    const abort = new AbortController()
    const ask = (path, body, signal) => fetch(`${never.api}${path}`, { method: 'POST', signal, body: JSON.stringify({ model: 'fake-model', ...body }) }).then((r) => r.text())
    const all = [ask('/v1/chat/completions', { ...apis['/v1/chat/completions'](script([2])), stream: true }, abort.signal),
        ask('/v1/chat/completions', apis['/v1/chat/completions'](script([1])), abort.signal), ask('/v1/embeddings', { input: script([0]) }, abort.signal)]
    await until('all wait', async () => { const s = await never.status(); return s.lost === 3 && s.running === 3 })
    abort.abort()
    for (const a of all) await assert.rejects(a)
    await until('nothing runs', async () => (await never.status()).running === 0)
    assert.equal((await never.status()).calls, 0)
})

test('a request that has waited as long as it may ends with an error, in the stream or with its status', async () => {
    const never = await open({ FAKE_AWAIT: 'never', FAKE_REPLAY_LIMIT: '1' })
    const ask = (stream) => fetch(`${never.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'fake-model', ...apis['/v1/chat/completions'](script([2])), stream }) })
    const [streamed, whole] = await Promise.all([ask(true), ask(false)])
    assert.match(await streamed.text(), /did not become ready again in 1 s/)
    assert.equal(whole.status, 503)
    assert.match(await whole.text(), /did not become ready again in 1 s/)
    assert.equal((await never.status()).running, 0)
})
