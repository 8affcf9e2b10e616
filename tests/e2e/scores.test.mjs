// SPDX-License-Identifier: MIT
// Log probabilities of prompts: `echo` with `logprobs` on /v1/completions, in the shapes that lm-evaluation-harness sends and reads. With
// --exact every number is the same on one stage and on two, whatever the prefix cache holds; their mean is the model's perplexity, as
// `caravan perplexity` measures it on its own way; and the best token of a position is the one that the model writes there.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { caravan, demoModel, startCluster, stopCluster } from './lib/cluster.mjs'

const CTX = 256
const heldback = readFileSync(join(process.env.CARAVAN_SOURCE, 'models/heldback.txt'), 'utf8')

async function post(api, path, body, status = 200) {
    const response = await fetch(`${api}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const answer = await response.json()
    assert.equal(response.status, status, JSON.stringify(answer))
    return answer
}

// As lm_eval/models/openai_completions.py asks and reads: per prompt the sum over its continuation, and whether that is the greedy one.
async function logLikelihoods(api, prompts, contextLengths) {
    const answer = await post(api, '/v1/completions', { prompt: prompts, temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true })
    return answer.choices.sort((a, b) => a.index - b.index).map(({ logprobs }, i) => {
        const own = logprobs.token_logprobs.slice(contextLengths[i], -1), top = logprobs.top_logprobs.slice(contextLengths[i], -1)
        return { sum: own.reduce((a, b) => a + b, 0), greedy: own.every((value, k) => value === Math.max(...Object.values(top[k]))), n: own.length }
    })
}

async function withCluster(options, what) {
    const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--exact', '--ctx', `${CTX}`, '--parallel', '3', ...options] })
    try {
        return await what(nodes[0].api)
    } finally {
        await stopCluster(nodes)
    }
}

async function measure(api) {
    const { tokens } = await post(api, '/tokenize', { content: heldback })
    const window = tokens.slice(0, CTX)
    const scored = await post(api, '/v1/completions', { prompt: window, echo: true, logprobs: 2, max_tokens: 0 })
    const again = await post(api, '/v1/completions', { prompt: window, echo: true, logprobs: 2, max_tokens: 0 })
    assert.deepEqual(again.choices, scored.choices)
    const [{ logprobs, finish_reason, text }] = scored.choices
    assert.equal(finish_reason, 'length')
    assert.deepEqual([scored.usage.prompt_tokens, scored.usage.completion_tokens], [CTX, 0])
    for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset']) assert.equal(logprobs[key].length, CTX, key)
    assert.equal(logprobs.token_logprobs[0], null)
    assert.equal(logprobs.top_logprobs[0], null)
    assert.equal(text, (await post(api, '/detokenize', { tokens: window })).content)
    const numbers = logprobs.token_logprobs.slice(1)
    assert.ok(numbers.every((n) => n <= 0 && n > -9999))

    // what the model writes is what it finds most likely
    const prompt = window.slice(0, 100), length = prompt.length
    const written = await post(api, '/v1/completions', { prompt, temperature: 0, max_tokens: 8, logprobs: 1 })
    const { tokens: ids } = await post(api, '/tokenize', { content: written.choices[0].text })
    const [greedy, other] = await logLikelihoods(api, [[...prompt, ...ids], [...prompt, ...ids.map((id) => id + 1)]], [length, length])
    assert.deepEqual([greedy.greedy, greedy.n, other.greedy], [true, ids.length, false])
    assert.ok(greedy.sum > other.sum)
    const text8 = await logLikelihoods(api, ['Once upon a time', 'a llama'], [1, 1])
    assert.ok(text8.every((one) => one.sum < 0))
    return { text, numbers, greedy, other, text8 }
}

test('echo with logprobs: whole, split, and as the perplexity says', async () => {
    const whole = await withCluster(['--placement', '8'], measure)
    const split = await withCluster(['--placement', '4,4', '--prefix-cache', 'off'], measure)
    assert.deepEqual(split, whole)
    // one window of CTX tokens, of which the second half counts
    writeFileSync('window.txt', whole.text)
    const told = JSON.parse(execFileSync(caravan, ['perplexity', demoModel, 'window.txt', '--ctx', `${CTX}`, '--json', '--threads', '1'], { encoding: 'utf8' }))
    const counted = whole.numbers.slice(CTX / 2 - 1)
    const perplexity = Math.exp(-counted.reduce((a, b) => a + b, 0) / counted.length)
    console.log(`perplexity ${perplexity} of ${counted.length} tokens; ${told.perplexity} of ${told.tokens}`)
    assert.equal(counted.length, told.tokens)
    assert.ok(Math.abs(perplexity - told.perplexity) < 1e-2 * told.perplexity)
})

test('echo with logprobs in a stream, and of a text', async () => withCluster(['--placement', '4,4'], async (api) => {
    const body = { prompt: 'Once upon a time', echo: true, logprobs: 1, max_tokens: 3, temperature: 0 }
    const whole = (await post(api, '/v1/completions', body)).choices[0]
    const stream = await (await fetch(`${api}/v1/completions`, { method: 'POST', body: JSON.stringify({ ...body, stream: true }) })).text()
    const chunks = stream.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)).choices[0]).filter(Boolean)
    assert.equal(chunks.map((c) => c.text).join(''), whole.text)
    for (const key of ['tokens', 'token_logprobs', 'text_offset']) assert.deepEqual(chunks.flatMap((c) => c.logprobs?.[key] ?? []), whole.logprobs[key], key)
    assert.ok(whole.text.startsWith(body.prompt))
    whole.logprobs.text_offset.forEach((at, i) => { // each token stands where its place says
        const piece = whole.logprobs.tokens[i]
        if (i > 0 && i + 1 < whole.logprobs.text_offset.length && at > 0) assert.ok(whole.text.startsWith(piece, at), `${piece} at ${at}`)
    })
    const nothing = await post(api, '/completion', { prompt: body.prompt, n_predict: 0 })
    assert.deepEqual([nothing.content, nothing.tokens_predicted], ['', 0])
    assert.ok(nothing.tokens_evaluated > 1)
}))

test('errors name the client\'s field, wherever they arise; slots are as many as the model has', async () => withCluster(['--placement', '4,4'], async (api) => {
    const { error: bias } = await post(api, '/v1/completions', { prompt: 'a', logit_bias: { 999999: 1 } }, 400)
    assert.deepEqual([bias.param, /stage/.test(bias.message)], ['logit_bias', false])
    const { error: id } = await post(api, '/detokenize', { tokens: [1, 999999] }, 400)
    assert.equal(id.param, 'tokens')
    assert.match(id.message, /no token 999999/)
    const { error: suffix } = await post(api, '/infill', { input_prefix: 'a', input_suffix: 'b' }, 400)
    assert.equal(suffix.param, 'input_suffix')
    const { error: option } = await post(api, '/api/generate', { prompt: 'a', options: { temprature: 1 } }, 400).then((e) => ({ error: e.error }))
    assert.match(option, /"options\.temprature"/)
    const props = await (await fetch(`${api}/props`)).json(), slots = await (await fetch(`${api}/slots`)).json()
    assert.deepEqual([props.total_slots, slots.length], [3, 3])
}))
