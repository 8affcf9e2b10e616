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
async function askAll(model, names, options, { both = true, cases = CASES } = {}) {
    const answers = {}
    const nodes = await startCluster(names, { memory: '256M', model, first: ['--ctx', '512', '--parallel', '2', ...options] })
    try {
        for (const [name, [first, second]] of Object.entries(cases)) {
            if (both) await complete(nodes[0].api, [words(1, name.length)[0], ...first])
            answers[name] = await complete(nodes[0].api, [words(1, name.length)[0], ...second])
        }
        if (both && LATE in cases) answers[LATER] = await complete(nodes[0].api, [words(1, LATE.length)[0], ...cases[LATE][1]])
    } finally {
        await stopCluster(nodes)
    }
    return answers
}

const models = {}
const modelOf = (arch) => (models[arch] ??= makeZoo(arch)[0])

// What clients of a chat do to its prompts, in turns that end with a control token. A plain model says how much there is to take over.
const END_OF_TURN = 96, THINK = 97 // tools/zoo-deepen.c
const turn = (n, seed) => [...words(n, seed).map((t) => t % END_OF_TURN), END_OF_TURN]
const talk = [...turn(180, 1), ...turn(50, 2), ...turn(60, 3)] // the system's, the user's, the model's
const CHATS = {
    'regenerated': [[...talk, ...turn(30, 4)], [...talk, ...turn(30, 4)]],
    'an edited last message': [[...talk, ...turn(45, 5)], [...talk, ...turn(40, 6)]],
    'without the thoughts of the answer': [[...talk, ...turn(30, 4), THINK], [...talk, ...turn(30, 4), ...turn(20, 7), ...turn(25, 8)]],
    'another talk with this system prompt': [[...turn(180, 1), ...turn(70, 9)], [...turn(180, 1), ...turn(80, 10)]],
}
const chatModels = {}
const chatModelOf = (arch) => (chatModels[arch] ??= makeZoo(arch, { context: 512 })[0])
const plain = {} // by options: what is taken over
async function takenOver(arch, options) {
    const answers = await askAll(chatModelOf(arch), ['north', 'south'], ['--placement', 'even', ...options], { cases: CHATS })
    return Object.values(answers).map(({ cached }) => cached)
}

// Under --exact nothing is taken over of models with a window.
for (const [arch, options] of [['gemma3', []], ['gpt-oss', []], ['qwen35', []], ['mamba', []], ['qwen35', ['--exact']], ['mamba', ['--exact']]]) {
    test(`${arch} ${options}: chats take over nine tenths of what a plain model does`, { skip: noZoo }, async () => {
        const most = (plain[options] ??= await takenOver('llama', options)), got = await takenOver(arch, options)
        console.log(`${arch} ${options}: ${got} tokens taken over, by a plain model ${most}`)
        for (const [i, name] of Object.keys(CHATS).entries()) {
            assert.ok(most[i] >= 100, `${name}: a plain model takes over ${most[i]}`)
            assert.ok(got[i] >= 0.9 * most[i], `${name}: ${got[i]}, a plain model ${most[i]}`)
        }
    })
}

for (const arch of ['gemma3', 'mamba', 'qwen35']) {
    test(`${arch}: back to marks`, { skip: noZoo }, async () => {
        const model = modelOf(arch)
        const fresh = await askAll(model, ['fresh'], ['--prefix-cache', 'off'], { both: false })
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
        const fresh = await askAll(model, ['fresh'], ['--exact', '--prefix-cache', 'off'], { both: false })
        const answers = await askAll(model, ['one'], ['--exact'])
        for (const name of Object.keys(CASES)) assert.deepEqual(answers[name].logprobs, fresh[name].logprobs, `${name}, ${answers[name].cached} tokens taken over`)
        console.log(`${arch}, exact: ${Object.keys(CASES).map((name) => answers[name].cached)} tokens taken over`)
    })
}
