// SPDX-License-Identifier: MIT
// Bodies that no API accepts: each is answered with a 400 that names the fault, in that API's own shape, and the gateway goes on. And clients that
// disconnect, in every state and of every API: their sequences are freed, and their tokens are counted.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Matrix } from './lib/matrix.mjs'
import { Fake, counters, script, until } from './lib/openai.mjs'

const fake = await new Fake().open()
const matrix = new Matrix()
after(() => fake.stop().then(() => matrix.check()))
const plain = await matrix.open('plain request', fake.api)
const model = 'fake-model'
const send = (path, body, signal) => fetch(`${plain}${path}`, { method: 'POST', body, signal })

const chat = { model, messages: [{ role: 'user', content: 'x' }] }
const apis = {
    '/v1/chat/completions': { good: chat, text: 'messages', limit: 'max_completion_tokens', sampling: '', say: (c) => ({ ...chat, messages: [{ role: 'user', content: c }] }), wrong: [
        ['n', 'two'], ['n', 0], ['n', 1e9], ['n', 1.5], ['stop', 5], ['stop', Array(99).fill('a')], ['seed', 'x'], ['logprobs', 'yes'], ['top_logprobs', 99], ['logit_bias', 5],
        ['response_format', 'json'], ['response_format', { type: 'xml' }], ['tools', {}], ['tools', [5]], ['tool_choice', 'all'], ['stream', 'yes'], ['stream_options', 1],
        ['messages', 5], ['messages', []], ['messages', [5]], ['messages', [{ role: 'robot', content: 'x' }]], ['messages', [{ role: 'user', content: 5 }]]] },
    '/v1/completions': { good: { model, prompt: 'x' }, text: 'prompt', limit: 'max_tokens', sampling: '', say: (c) => ({ model, prompt: c }), wrong: [
        ['prompt', 5.5], ['prompt', []], ['prompt', [[-1]]], ['prompt', [{}]], ['n', -1], ['suffix', 5], ['echo', 'x'], ['logprobs', 999], ['best_of', 5], ['stop', {}], ['stream', 1]] },
    '/v1/responses': { good: { model, input: 'x' }, text: 'input', limit: 'max_output_tokens', sampling: '', say: (c) => ({ model, input: c }), wrong: [
        ['input', 5], ['input', []], ['input', [5]], ['input', [{ type: 'nix' }]], ['input', [{ role: 'robot', content: 'x' }]], ['instructions', 5], ['tools', 5], ['tools', [{ type: 'namespace' }]], ['tool_choice', 'nix'],
        ['text', 5], ['text', { format: { type: 'xml' } }], ['include', 5], ['include', [5]], ['top_logprobs', 99], ['previous_response_id', 5], ['previous_response_id', 'nix'], ['store', 'x'], ['stream', 'x'], ['metadata', 5], ['reasoning', 5]] },
    '/v1/messages': { good: { ...chat, max_tokens: 9 }, text: 'messages', limit: 'max_tokens', sampling: '', say: (c) => ({ model, max_tokens: 1000, messages: [{ role: 'user', content: c }] }), wrong: [
        ['messages', 5], ['messages', [5]], ['messages', [{ role: 'system', content: 5 }]], ['system', 5], ['tools', {}], ['tools', [{}]], ['tool_choice', { type: 'nix' }], ['thinking', { type: 'nix' }], ['stop_sequences', 5], ['stream', 'x']] },
    '/api/chat': { good: { ...chat, stream: false }, text: 'messages', limit: 'num_predict', sampling: 'options', say: (c) => ({ model, messages: [{ role: 'user', content: c }] }), wrong: [
        ['messages', 5], ['messages', [5]], ['messages', [{ role: 'x', content: 'x' }]], ['format', 'xml'], ['think', 'hard'], ['options', 5], ['tools', 5], ['stream', 'x']] },
    '/api/generate': { good: { model, prompt: 'x', stream: false }, text: 'prompt', limit: 'num_predict', sampling: 'options', say: (c) => ({ model, prompt: c }), wrong: [
        ['prompt', 5], ['system', 5], ['suffix', 5], ['template', 'x'], ['raw', 'x'], ['format', 5], ['images', ['x']]] },
}
const message = (body) => body.error?.message ?? body.error

async function refused(path, body, what) {
    const r = await send(path, body)
    const text = await r.text()
    assert.equal(r.status, 400, `${path} ${body.toString().slice(0, 200)}: ${r.status} ${text.slice(0, 300)}`)
    assert(message(JSON.parse(text)).length > 5, text)
    if (what) assert(text.includes(what), `${path}: ${what} is not named in ${text}`)
}

for (const [path, api] of Object.entries(apis)) {
    test(`${path}: what is wrong is named`, async () => {
        assert.equal((await send(path, JSON.stringify(api.good))).status, 200)
        for (const [key, value] of api.wrong) await refused(path, JSON.stringify({ ...api.good, [key]: value }), key)
        const sampling = (o) => JSON.stringify(api.sampling ? { ...api.good, [api.sampling]: o } : { ...api.good, ...o })
        for (const [key, values] of Object.entries({ temperature: ['hot', 1e300, -1, []], top_p: [7, 'x'], [api.limit]: ['x', 1e30, 1.5] }))
            for (const value of values) await refused(path, sampling({ [key]: value }), key)
        await refused(path, sampling({ temperature: 12345 }).replace('12345', '1e99999'))
        for (const body of ['', '{', '[]', '5', 'null', '"x"', '{"model":5}', '{"a":1}}', '['.repeat(100000), `{"model":"${model}","${api.text}":${'['.repeat(5000)}`]) await refused(path, body)
        await refused(path, Buffer.concat([Buffer.from(`{"model":"${model}","${api.text}":"`), Buffer.from([0xff, 0xfe, 0xc0]), Buffer.from('"}')]))
        await refused(path, Buffer.from(JSON.stringify(api.good).replace('x', 'x\0')))
        const unknown = await send(path, JSON.stringify({ ...api.good, model: 'nix' }))
        assert.equal(unknown.status, 404)
        assert.match(message(await unknown.json()), /"nix"/)
        assert.equal((await fetch(`${fake.api}${path}`, { method: 'POST', body: JSON.stringify({ ...api.good, no_such_parameter: { a: [1] } }) })).status, 200)
        const busy = await send(path, JSON.stringify(api.say(script({ refuse: 'BUSY' }))))
        assert.deepEqual([busy.status, busy.headers.get('retry-after')], [429, '2'])
        const broken = await send(path, JSON.stringify({ ...api.say(script({ fail: 'ENGINE' })), stream: false }))
        assert.deepEqual([broken.status, broken.headers.get('x-should-retry')], [500, 'false'])
    })

    test(`${path}: a client that goes frees its sequence`, async () => {
        const states = { queued: { start_ms: 60000 }, prefilling: { prefill_ms: 60000 }, decoding: { pieces: ['x '], repeat: 1000, delay_ms: 60 } }
        for (const [state, what] of Object.entries(states)) {
            for (const stream of [false, true]) {
                const before = await fake.status(), counted = await counters(fake.api), gone = new AbortController()
                const pending = send(path, JSON.stringify({ ...api.say(script(what)), stream }), gone.signal).then((r) => r.text())
                pending.catch(() => {})
                await until(`${state}: it runs`, async () => {
                    const now = await fake.status()
                    return now.running === before.running + 1 && (state === 'queued' || now.started > before.started) && (state !== 'decoding' || now.tokens > before.tokens + 1)
                })
                gone.abort()
                await assert.rejects(pending)
                await until(`${state}: it is freed`, async () => (await fake.status()).running === before.running)
                const after = await fake.status(), used = (await counters(fake.api, counted))
                assert.equal(after.cancelled, before.cancelled + 1)
                assert.equal(after.calls, 0)
                assert.equal(used.caravan_requests_gone_total, 1)
                assert.equal(used.caravan_prompt_tokens_total > 0, state !== 'queued')
                assert.equal(used.caravan_completion_tokens_total, after.tokens - before.tokens)
                assert.equal(used.caravan_completion_tokens_total > 1, state === 'decoding')
            }
        }
    })
}

test('a client that goes while its chat is being rendered is forgotten', async () => {
    const before = await fake.status(), gone = new AbortController()
    const pending = send('/v1/chat/completions', JSON.stringify({ ...chat, model: 'hostile' }), gone.signal)
    pending.catch(() => {})
    await until('it runs', async () => (await fake.status()).calls === 1)
    gone.abort()
    await assert.rejects(pending)
    await until('it is forgotten', async () => (await fake.status()).calls === 0)
    assert.equal((await fake.status()).submitted, before.submitted)
    assert.equal((await send('/v1/chat/completions', JSON.stringify(chat))).status, 200)
})
