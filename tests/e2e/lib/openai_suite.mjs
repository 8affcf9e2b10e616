// SPDX-License-Identifier: MIT
// Tests of the npm `openai` client that hold on every server: on the scripted backend, and on real nodes with a real model.
import assert from 'node:assert/strict'
import test from 'node:test'
import { load, until } from './openai.mjs'

const { default: OpenAI, BadRequestError, NotFoundError } = await load('openai')

// api: the server's address. model: its name. streams: how many at once. idle(): resolves to the count of requests that run.
export function suite({ api, model, apiKey = 'none', streams = 8, idle }) {
    const client = new OpenAI({ baseURL: `${api}/v1`, apiKey, maxRetries: 0 })
    const messages = [{ role: 'system', content: 'You are a llama.' }, { role: 'user', content: 'Tell me a story about a caravan.' }]
    const greedy = { model, messages, temperature: 0, seed: 1, max_tokens: 40 }
    const chat = (more = {}) => client.chat.completions.create({ ...greedy, ...more })
    const collect = async (stream) => {
        const chunks = []
        for await (const chunk of stream) chunks.push(chunk)
        return chunks
    }
    const textOf = (chunks, index = 0) => chunks.flatMap((c) => c.choices).filter((c) => c.index === index).map((c) => c.delta?.content ?? c.text ?? '').join('')
    const settled = () => until('no request runs any more', async () => (await idle()) === 0)

    test('models: listed, one by one, unknown', async () => {
        const list = (await client.models.list()).data
        assert(list.some((m) => m.id === model && m.object === 'model' && Number.isInteger(m.created)))
        assert.equal((await client.models.retrieve(model)).id, model)
        await assert.rejects(client.models.retrieve('no/such'), (e) => e instanceof NotFoundError && e.code === 'model_not_found' && e.message.includes(model))
    })

    test('chat in one piece', async () => {
        const r = await chat()
        assert.equal(r.object, 'chat.completion')
        assert.match(r.id, /^chatcmpl-\w+$/)
        assert.equal(r.model, model)
        assert.equal(r.choices.length, 1)
        assert.equal(r.choices[0].message.role, 'assistant')
        assert(r.choices[0].message.content.length > 0)
        assert(['stop', 'length'].includes(r.choices[0].finish_reason))
        assert(r.usage.prompt_tokens > 0 && r.usage.completion_tokens > 0 && r.usage.completion_tokens <= 40)
        assert.equal(r.usage.total_tokens, r.usage.prompt_tokens + r.usage.completion_tokens)
        assert.equal(typeof r.system_fingerprint, 'string')
    })

    test('chat streamed: role first, empty delta at the finish, usage after it, one id', async () => {
        const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }))
        assert.equal(chunks[0].choices[0].delta.role, 'assistant')
        assert.equal(chunks.filter((c) => c.choices[0]?.delta.role).length, 1)
        assert(textOf(chunks).length > 0)
        const usage = chunks.at(-1), finish = chunks.at(-2)
        assert.deepEqual(usage.choices, [])
        assert.equal(usage.usage.total_tokens, usage.usage.prompt_tokens + usage.usage.completion_tokens)
        assert.deepEqual(finish.choices[0].delta, {})
        assert(['stop', 'length'].includes(finish.choices[0].finish_reason))
        for (const c of chunks.slice(0, -2)) assert.equal(c.choices[0].finish_reason, null)
        for (const c of chunks.slice(0, -1)) assert.equal(c.usage, null)
        assert.equal(new Set(chunks.map((c) => c.id)).size, 1)
        assert(chunks.every((c) => c.object === 'chat.completion.chunk'))
        const without = await collect(await chat({ stream: true }))
        assert(without.every((c) => c.choices.length === 1 && !('usage' in c)))
    })

    test('the stream helper and the plain answer agree', async () => {
        const runner = client.chat.completions.stream(greedy)
        const final = await runner.finalChatCompletion()
        const plain = await chat()
        assert.equal(final.choices[0].message.content, plain.choices[0].message.content)
    })

    test('max_tokens and max_completion_tokens end with length', async () => {
        for (const limit of [{ max_tokens: 3 }, { max_completion_tokens: 3 }, { max_tokens: 30, max_completion_tokens: 3 }]) {
            const r = await chat(limit)
            assert.equal(r.choices[0].finish_reason, 'length')
            assert.equal(r.usage.completion_tokens, 3)
        }
    })

    test('stop: cut before it, however its letters fall on tokens', async () => {
        const whole = (await chat()).choices[0].message.content
        for (const [from, to] of [[3, 7], [8, 9], [11, 17]]) {
            const stop = whole.slice(from, to)
            const expected = whole.slice(0, whole.indexOf(stop))
            for (const stream of [false, true]) {
                const r = await chat({ stop: [stop, 'never in the text'], stream })
                const text = stream ? undefined : r.choices[0].message.content
                const chunks = stream ? await collect(r) : []
                assert.equal(stream ? textOf(chunks) : text, expected)
                assert.equal(stream ? chunks.at(-1).choices[0].finish_reason : r.choices[0].finish_reason, 'stop')
            }
        }
        await settled()
    })

    test('n: that many choices, each complete, prompt counted once', async () => {
        const one = await chat({ max_tokens: 4 })
        const r = await chat({ n: 3, max_tokens: 4, temperature: 1 })
        assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2])
        assert.equal(r.usage.prompt_tokens, one.usage.prompt_tokens)
        assert(r.usage.completion_tokens <= 12)
        const chunks = await collect(await chat({ n: 3, max_tokens: 4, temperature: 1, stream: true }))
        for (const index of [0, 1, 2]) {
            const mine = chunks.filter((c) => c.choices[0].index === index)
            assert.equal(mine[0].choices[0].delta.role, 'assistant')
            assert.deepEqual(mine.at(-1).choices[0].delta, {})
            assert(textOf(chunks, index).length > 0)
        }
    })

    test('seed: the same draws the same', async () => {
        const a = await chat({ temperature: 1, seed: 42, max_tokens: 12 }), b = await chat({ temperature: 1, seed: 42, max_tokens: 12 })
        assert.equal(a.choices[0].message.content, b.choices[0].message.content)
    })

    test('logprobs: one entry a token, whose bytes make the text', async () => {
        const r = await chat({ logprobs: true, top_logprobs: 3, max_tokens: 8 })
        const entries = r.choices[0].logprobs.content
        assert.equal(Buffer.from(entries.flatMap((t) => t.bytes)).toString(), r.choices[0].message.content)
        assert(entries.length <= r.usage.completion_tokens && entries.length >= r.usage.completion_tokens - 1)
        for (const t of entries) {
            assert(t.logprob <= 0 && t.top_logprobs.length === 3)
            assert(t.top_logprobs.every((x, i, all) => i === 0 || x.logprob <= all[i - 1].logprob))
        }
        const chunks = await collect(await chat({ logprobs: true, max_tokens: 8, stream: true }))
        const streamed = chunks.flatMap((c) => c.choices[0].logprobs?.content ?? [])
        assert.deepEqual(streamed.map((t) => t.token), entries.map((t) => t.token))
        assert(streamed.every((t) => t.top_logprobs.length === 0))
        assert.equal((await chat({ max_tokens: 2 })).choices[0].logprobs, null)
    })

    test('content in parts; parameters that are ignored', async () => {
        const parts = [{ role: 'user', content: [{ type: 'text', text: 'Tell me ' }, { type: 'text', text: 'a story.' }] }]
        const whole = [{ role: 'user', content: 'Tell me a story.' }]
        const a = await chat({ messages: parts, max_tokens: 5, user: 'u', metadata: { a: 'b' }, store: false, tools: [], parallel_tool_calls: true, response_format: { type: 'text' } })
        const b = await chat({ messages: whole, max_tokens: 5 })
        assert.equal(a.usage.prompt_tokens, b.usage.prompt_tokens)
    })

    test('logit_bias and the sampling extensions are taken', async () => {
        const r = await chat({ logit_bias: { 5: -100 }, top_k: 5, min_p: 0.1, repeat_penalty: 1.1, dry_multiplier: 0.5, presence_penalty: 0.5, frequency_penalty: 0.5, max_tokens: 4 })
        assert(r.choices[0].message.content.length > 0)
    })

    test('completions: text, several prompts, tokens, echo, logprobs', async () => {
        const complete = (more) => client.completions.create({ model, prompt: 'Once upon a time', temperature: 0, seed: 1, max_tokens: 6, ...more })
        const r = await complete()
        assert.equal(r.object, 'text_completion')
        assert(r.choices[0].text.length > 0)
        const chunks = await collect(await complete({ stream: true, stream_options: { include_usage: true } }))
        assert.equal(textOf(chunks), r.choices[0].text)
        assert.deepEqual(chunks.at(-1).choices, [])
        assert.equal((await complete({ echo: true })).choices[0].text, 'Once upon a time' + r.choices[0].text)
        const two = await complete({ prompt: ['Once upon a time', 'The llama'], n: 2 })
        assert.deepEqual(two.choices.map((c) => c.index), [0, 1, 2, 3])
        assert.equal(two.choices[0].text, r.choices[0].text)
        assert((await complete({ prompt: [40, 41, 42] })).usage.prompt_tokens >= 3)
        assert.equal((await complete({ prompt: [[40], [41, 42]] })).choices.length, 2)
        const lp = (await complete({ logprobs: 2 })).choices[0]
        assert.equal(lp.logprobs.tokens.join(''), lp.text)
        assert.equal(lp.logprobs.tokens.length, lp.logprobs.token_logprobs.length)
        assert.equal(lp.logprobs.text_offset[0], 0)
        assert.equal(lp.logprobs.text_offset[1], [...lp.logprobs.tokens[0]].length)
        assert.equal((await complete({ logprobs: 0 })).choices[0].logprobs.top_logprobs, null)
    })

    test('errors name the parameter', async () => {
        const refused = (param, more) => assert.rejects(chat(more), (e) => {
            assert(e instanceof BadRequestError, `${param}: ${e}`)
            assert.equal(e.param, param)
            assert.equal(typeof e.code, 'string')
            assert(e.message.includes(param))
            return true
        })
        await refused('temperature', { temperature: 'hot' })
        await refused('temperature', { temperature: -5 })
        await refused('messages', { messages: [] })
        await refused('messages[0].content[0].image_url', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] })
        await refused('response_format.type', { response_format: { type: 'yaml' } })
        await refused('n', { n: 0 })
        await refused('max_tokens', { max_tokens: 1e12 })
        await refused('stop', { stop: Array(17).fill('x') })
        await refused('top_logprobs', { logprobs: true, top_logprobs: 50 })
        await assert.rejects(client.completions.create({ model, prompt: 'x', suffix: 5 }), (e) => e.param === 'suffix')
        await assert.rejects(chat({ model: 'no-such-model' }), (e) => e instanceof NotFoundError && e.code === 'model_not_found' && e.message.includes(model))
    })

    test('abort: streamed and whole, the request is freed', async () => {
        const stream = await chat({ stream: true, max_tokens: 2000, n: 2, temperature: 1, ignore_eos: true, messages: [{ role: 'user', content: longPrompt }] })
        let seen = 0
        for await (const chunk of stream) {
            if (chunk.choices[0].delta.content && ++seen === 2) break // leaving the loop aborts
        }
        await settled()
        const controller = new AbortController()
        const pending = client.chat.completions.create({ ...greedy, max_tokens: 2000, temperature: 1, ignore_eos: true, messages: [{ role: 'user', content: longPrompt }] },
            { signal: controller.signal })
        pending.catch(() => {})
        await until('it runs', async () => (await idle()) > 0)
        controller.abort()
        await assert.rejects(pending, /aborted/i)
        await settled()
    })
    // The scripted backend makes this last; a model takes it as text.
    const longPrompt = '@@{"repeat":400,"delay_ms":5}@@'

    test(`${streams} streams at once`, async () => {
        const all = await Promise.all(Array.from({ length: streams }, async () => collect(await chat({ stream: true, max_tokens: 10 }))))
        for (const chunks of all) assert(textOf(chunks).length > 0 && chunks.at(-1).choices[0].finish_reason)
        await settled()
    })
}
