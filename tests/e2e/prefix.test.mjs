// SPDX-License-Identifier: MIT
// Reused prefixes change only the time: the same chats, greedily, with --prefix-cache on and off, over two stages. With
// --exact, bit by bit (every log probability is the same number); without it, except at near-ties, which are counted: there the two best
// tokens are closer than the effect of another batch shape (docs/ARCHITECTURE.md, "Prefixes"). That effect is small, on any processor, with
// the weights as f32.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { demoModel, startCluster, stopCluster } from './lib/cluster.mjs'

const SYSTEM = 'You are a careful narrator of short tales about animals. ' + 'Each tale has a beginning, a middle and an end, and is told in plain words. '.repeat(8)
const TALKS = ['Tell me about a fox.', 'Tell me about a llama in the desert.', 'Who walks with the caravan?']
const NEXT = ['And then?', 'What did the others say to that?']
const NEAR_TIE = 0.01

async function chat(api, model, messages) {
    const response = await fetch(`${api}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, messages, temperature: 0, seed: 1, max_tokens: 24, logprobs: true, top_logprobs: 2 }),
    })
    const answer = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return { text: answer.choices[0].message.content, tokens: answer.choices[0].logprobs.content, usage: answer.usage }
}

// The turns of the talks, as [talk][turn]; `told`: the answers of another run, which the later turns then contain. The talks of a turn come
// together or one by one.
async function talkAll(options, together, { model: file = demoModel, told = null } = {}) {
    const nodes = await startCluster(['north', 'south'], { model: file, memory: '256M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '3', ...options] })
    const model = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id
    const answers = TALKS.map(() => [])
    for (let turn = 0; turn <= NEXT.length; turn++) {
        const ask = (talk) => {
            const messages = [{ role: 'system', content: SYSTEM }, { role: 'user', content: TALKS[talk] }]
            for (let i = 0; i < turn; i++) messages.push({ role: 'assistant', content: (told ?? answers)[talk][i].text }, { role: 'user', content: NEXT[i] })
            return chat(nodes[0].api, model, messages)
        }
        if (together) {
            (await Promise.all(TALKS.map((_, talk) => ask(talk)))).forEach((answer, talk) => answers[talk].push(answer))
        } else {
            for (let talk = 0; talk < TALKS.length; talk++) answers[talk].push(await ask(talk))
        }
    }
    await stopCluster(nodes)
    return answers
}

const cached = (answers) => answers.flat().map((a) => a.usage.prompt_tokens_details.cached_tokens)
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0)

for (const together of [false, true]) {
    test(`--exact, talks ${together ? 'together' : 'one by one'}: the same bits`, async () => {
        const off = await talkAll(['--exact', '--prefix-cache', 'off'], false)
        const on = await talkAll(['--exact', '--prefix-cache', 'on'], together)
        assert.deepEqual(cached(off), cached(off).map(() => 0))
        const prompts = sum(on.flat().map((a) => a.usage.prompt_tokens))
        console.log(`${sum(cached(on))} of ${prompts} prompt tokens were taken over`)
        assert.ok(sum(cached(on)) > prompts / 2)
        for (const talk of TALKS.keys()) {
            for (const turn of off[talk].keys()) {
                assert.equal(on[talk][turn].text, off[talk][turn].text)
                assert.deepEqual(on[talk][turn].tokens, off[talk][turn].tokens)
            }
        }
    })
}

// Each beginning in turn, and all of them again.
async function askBeginnings(options) {
    const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--placement', '4,4', '--ctx', '512', '--parallel', '1', ...options] })
    const model = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id, answers = []
    for (const question of TALKS.slice(0, 2)) {
        for (const who of ['fox', 'llama', 'camel', 'stork', 'dog'])
            answers.push(await chat(nodes[0].api, model, [{ role: 'system', content: `You are a ${who}. ${SYSTEM}` }, { role: 'user', content: question }]))
    }
    await stopCluster(nodes)
    return answers
}

for (const options of [['--exact'], []]) {
    test(`more beginnings than --parallel are kept ${options}`, async () => {
        const on = await askBeginnings(options), later = on.slice(on.length / 2)
        for (const answer of later) assert.ok(answer.usage.prompt_tokens_details.cached_tokens > 0.7 * answer.usage.prompt_tokens, JSON.stringify(later.map((a) => a.usage)))
        if (options.length > 0) assert.deepEqual(on.map((a) => a.tokens), (await askBeginnings([...options, '--prefix-cache', 'off'])).map((a) => a.tokens))
    })
}

test('without --exact: the same but for near-ties', async () => {
    const model = join(process.env.CARAVAN_TMP, 'f32.gguf')
    execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-f32'), ['--model', demoModel, '--out', model])
    const off = await talkAll(['--prefix-cache', 'off'], false, { model })
    const on = await talkAll(['--prefix-cache', 'on'], true, { model, told: off })
    let ties = 0, apart = 0
    for (const talk of TALKS.keys()) {
        for (const turn of off[talk].keys()) {
            const a = off[talk][turn].tokens, b = on[talk][turn].tokens
            const at = a.findIndex((t, i) => t.token !== b[i]?.token)
            for (let i = 0; i < (at < 0 ? a.length : at); i++) apart = Math.max(apart, Math.abs(a[i].logprob - b[i].logprob))
            if (at < 0) continue
            const [best, second] = a[at].top_logprobs
            assert.ok(best.logprob - second.logprob < NEAR_TIE, `talk ${talk}, turn ${turn}, token ${at}: ${JSON.stringify(a[at])} became ${JSON.stringify(b[at])}`)
            ties++
        }
    }
    console.log(`${ties} of ${TALKS.length * (NEXT.length + 1)} answers parted at a near-tie; log probabilities differed by up to ${apart}; ` +
        `${sum(cached(on))} tokens were taken over`)
    assert.ok(apart < NEAR_TIE)
    assert.ok(sum(cached(on)) > sum(on.flat().map((a) => a.usage.prompt_tokens)) / 2)
})
