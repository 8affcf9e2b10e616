// SPDX-License-Identifier: MIT
// Models with a window or a state go back to marks: an answer asked for again, an edited end, a prompt with half of its answer, a shared
// beginning, a prompt whose place others have had. On tiny models of each kind, over two stages (and whole): the answers are those of a fresh start, and usage shows what was taken
// over. The models have no tokenizer, so prompts are tokens, and answers are told apart by their log probabilities.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCluster, stopCluster } from './lib/cluster.mjs'
import { makeZoo, noZoo } from './lib/zoo.mjs'

const NOISE = 0.02 // between batches of different shapes (tools/zoo-sequences.c)

const words = (n, seed) => Array.from({ length: n }, (_, i) => (seed * 37 + i * 11 + (i * i) % 17) % 100)
const text = words(270, 1) // a little more than the distance of two marks; such models take long for their tokens
const CASES = {
    'an answer asked for again': [text, text, 270],
    'an edited end': [[...text, ...words(40, 2)], [...text, ...words(40, 3)], 271],
    'more after the prompt': [text, [...text, ...words(30, 4)], 271],
    'a shared beginning': [[...text, ...words(60, 5)], [...text, ...words(90, 6)], 271],
}
// Asked last, when others have long had the places of this one.
const LATE = 'an answer asked for again', LATER = 'a prompt whose place others have had'

async function complete(api, prompt) {
    const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
    const response = await fetch(`${api}/v1/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, prompt, temperature: 0, seed: 1, max_tokens: 8, logprobs: 1, ignore_eos: true }),
    })
    const answer = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return { logprobs: answer.choices[0].logprobs.token_logprobs, cached: answer.usage.prompt_tokens_details.cached_tokens }
}

// The answers to the second prompts; before each comes the first prompt, if anything is to be taken over from it.
async function askAll(model, names, options, both = true) {
    const answers = {}
    const nodes = await startCluster(names, { memory: '256M', model, first: ['--ctx', '512', '--parallel', '2', ...options] })
    for (const [name, [first, second]] of Object.entries(CASES)) {
        if (both) await complete(nodes[0].api, [words(1, name.length)[0], ...first])
        answers[name] = await complete(nodes[0].api, [words(1, name.length)[0], ...second])
    }
    if (both) answers[LATER] = await complete(nodes[0].api, [words(1, LATE.length)[0], ...CASES[LATE][1]])
    await stopCluster(nodes)
    return answers
}

const models = {}
const modelOf = (arch) => (models[arch] ??= makeZoo(arch)[0])

for (const arch of ['gemma3', 'mamba', 'qwen35']) {
    test(`${arch}: back to marks`, { skip: noZoo }, async () => {
        const model = modelOf(arch)
        const fresh = await askAll(model, ['fresh'], ['--prefix-cache', 'off'], false)
        const rings = { two: await askAll(model, ['north', 'south'], ['--placement', 'even']) }
        if (arch === 'gemma3') rings.one = await askAll(model, ['one'], [])
        for (const [ring, answers] of Object.entries(rings)) {
            fresh[LATER] = fresh[LATE]
            for (const [name, [, , shared]] of [...Object.entries(CASES), [LATER, CASES[LATE]]]) {
                assert.equal(fresh[name].cached, 0)
                assert.ok(answers[name].cached >= 0.9 * shared, `${ring}, ${name}: ${answers[name].cached} of ${shared} tokens taken over`)
                assert.equal(answers[name].logprobs.length, fresh[name].logprobs.length)
                for (const [i, logprob] of answers[name].logprobs.entries())
                    assert.ok(Math.abs(logprob - fresh[name].logprobs[i]) < NOISE, `${ring}, ${name}: token ${i}`)
            }
            console.log(`${arch}, ${ring}: ${Object.keys(answers).map((name) => answers[name].cached)} tokens taken over`)
        }
    })
}

// What is reused under --exact changes no bit. The cells of a window move when they are copied, so there nothing is reused.
for (const arch of ['gemma3', 'qwen35']) {
    test(`${arch}: the same bits with --exact`, { skip: noZoo }, async () => {
        const model = modelOf(arch)
        const fresh = await askAll(model, ['fresh'], ['--exact', '--prefix-cache', 'off'], false)
        const answers = await askAll(model, ['one'], ['--exact'])
        for (const name of Object.keys(CASES)) assert.deepEqual(answers[name].logprobs, fresh[name].logprobs, `${name}, ${answers[name].cached} tokens taken over`)
        console.log(`${arch}, exact: ${Object.keys(CASES).map((name) => answers[name].cached)} tokens taken over`)
    })
}
