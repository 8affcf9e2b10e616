// SPDX-License-Identifier: MIT
// Conversations with models that are cut by injection, by constants written into the graph, or with rows that the table of quirks names in another
// way: three turns on two nodes with --exact, where a turn takes over what the turns before have left, guesses travel, and a stage is killed in the
// middle of an answer. Each turn's answer is that of a fresh start to the same tokens. CARAVAN_ZOO_TALKS=all (`make zoo`) takes all of these
// architectures instead of those that stand for the mechanisms; or it names some, with commas between them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCluster, stopCluster, until } from './lib/cluster.mjs'
import { makeZoo, noZoo } from './lib/zoo.mjs'

// Streams and real token ids; a row that is put back, with real ids; constants by layer, and a recurrent state; a second value, and no memory but a state.
const SOME = 'deepseek4,talkie,minimax-01,rwkv7'
const ALL = `${SOME},arwkv7,rwkv6,rwkv6qwen2,glm5-next,hy_v4,qwen4exp,cogvlm,bloom,muse-glimmer,maion-coder,minicpm3,gemma4`
const asked = process.env.CARAVAN_ZOO_TALKS ?? SOME
const architectures = (asked === 'all' ? ALL : asked).split(',')
const WINDOWS = ['gemma4', 'muse-glimmer', 'maion-coder'] // under --exact models with a window take nothing over, and guess nothing (docs/ARCHITECTURE.md, "Marks")
const COMPRESSED = ['deepseek4'] // nor do those take anything over that compress keys of a window
const ANSWER = 24, KILL_AT = 6, NEAR = 0.05
const OPENING = 'The caravan left before dawn, and the one who led it counted the animals: one, two, three, four, five; one, two, three, four, five; one, two, '
const SAID = ['three, ', '\nAnd then they counted again: one, two, ', '\nAt the well it was: one, two, three, ']

// One answer as a stream; onText for each piece.
async function complete(api, prompt, onText = () => {}) {
    const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
    const response = await fetch(`${api}/v1/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, prompt, temperature: 0, seed: 1, max_tokens: ANSWER, logprobs: 1, ignore_eos: true, stream: true, stream_options: { include_usage: true } }),
    })
    const body = response.status === 200 ? '' : await response.text()
    assert.equal(response.status, 200, body)
    const answer = { text: '', tokens: [], logprobs: [], usage: null }
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of response.body) {
        rest += decoder.decode(chunk, { stream: true })
        const lines = rest.split('\n')
        rest = lines.pop()
        for (const line of lines.filter((l) => l.startsWith('data: {'))) {
            const event = JSON.parse(line.slice(6))
            assert.equal(event.error, undefined, line)
            answer.usage = event.usage ?? answer.usage
            answer.text += event.choices?.[0]?.text ?? ''
            answer.tokens.push(...(event.choices?.[0]?.logprobs?.tokens ?? []))
            answer.logprobs.push(...(event.choices?.[0]?.logprobs?.token_logprobs ?? []))
            onText(answer)
        }
    }
    return answer
}

async function metric(api, name) {
    const text = await (await fetch(`${api}/metrics`)).text()
    return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? ([0-9.e+]+)$`, 'gm'))].reduce((sum, [, n]) => sum + Number(n), 0)
}

async function guessed(api) {
    return { guesses: await metric(api, 'caravan_draft_tokens_total'), right: await metric(api, 'caravan_draft_accepted_total') }
}

const isOneOf = (names, name) => names.some((one) => name.startsWith(one))

const ours = ['--exact', '--ctx', '1024', '--parallel', '2', '--placement', 'even']

// The prompts and answers of all turns, from nodes that keep nothing and guess nothing.
async function freshTalk(model, options = ours) {
    const nodes = await startCluster(['fresh-north', 'fresh-south'], { memory: '512M', model, first: [...options, '--prefix-cache', 'off', '--speculate', '0'] })
    const turns = []
    try {
        let prompt = OPENING
        for (const said of SAID) {
            prompt += said
            const answer = await complete(nodes[0].api, prompt)
            assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 0)
            turns.push({ prompt, answer })
            prompt += answer.text
        }
    } finally {
        await stopCluster(nodes)
    }
    return turns
}

function same(answer, expected, what) {
    assert.equal(answer.text, expected.text, what)
    assert.deepEqual(answer.logprobs, expected.logprobs, what)
}

async function talk(name, model) {
    const turns = await freshTalk(model)
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: [...ours, '--speculate', '2'] })
    try {
        const taken = []
        for (const [i, { prompt, answer }] of turns.entries()) {
            const again = await complete(nodes[0].api, prompt)
            same(again, answer, `${name}, turn ${i + 1}`)
            taken.push(again.usage.prompt_tokens_details.cached_tokens)
        }
        assert.equal(taken[2] > 0, !isOneOf([...WINDOWS, ...COMPRESSED], name), `${name}: ${taken} tokens were taken over`) // models with a state have marks where an earlier prompt parted
        const { guesses, right } = await guessed(nodes[0].api)
        if (isOneOf(WINDOWS, name)) assert.equal(guesses, 0, `${name}: nothing is guessed`)
        // The last turn once more, and a stage is killed in the middle of it: first the tail, then the head.
        for (const node of [nodes[1], nodes[0]]) {
            const stage = await until(`the stage of ${node.name}`, async () => node.stages()[0])
            let killed = false
            const broken = await complete(nodes[0].api, turns[2].prompt, (so_far) => {
                if (killed || so_far.logprobs.length < KILL_AT) return
                killed = true
                process.kill(stage, 'SIGKILL')
            })
            assert.ok(killed)
            same(broken, turns[2].answer, `${name}, after the loss of ${node.name}'s stage`)
            await until('both stages again', async () => nodes.every((n) => n.stages().length === 1))
        }
        console.log(`${name}: ${taken} tokens were taken over, ${right} of ${guesses} guesses were right`)
    } finally {
        await stopCluster(nodes)
    }
}

// Without --exact models with a window guess, too. Log probabilities then depend on the shapes of batches (those of gemma4.gguf by some 0.02), and
// are compared up to the token at which the answers part: there the two were as likely.
async function guessInWindow(name, model) {
    const options = ours.filter((o) => o !== '--exact'), turns = await freshTalk(model, options)
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: [...options, '--speculate', '2'] })
    try {
        for (const [i, { prompt, answer }] of turns.entries()) {
            const again = await complete(nodes[0].api, prompt)
            const parted = again.tokens.findIndex((token, at) => token !== answer.tokens[at])
            const shared = parted < 0 ? answer.tokens.length : parted + 1
            for (let at = 0; at < shared; at++) {
                const apart = Math.abs(again.logprobs[at] - answer.logprobs[at])
                assert.ok(apart < NEAR, `${name}, turn ${i + 1}, token ${at}: ${again.logprobs[at]}, ${answer.logprobs[at]}`)
            }
            if (parted >= 0) console.log(`${name}, turn ${i + 1}: the answers part at token ${parted}`)
        }
        const { guesses, right } = await guessed(nodes[0].api)
        console.log(`${name} without --exact: ${right} of ${guesses} guesses were right`)
        assert.ok(guesses > 0)
    } finally {
        await stopCluster(nodes)
    }
}

for (const architecture of architectures) {
    test(`${architecture}: three turns, with a loss, are those of a fresh start`, { skip: noZoo }, async () => {
        const models = makeZoo(architecture, { context: 2048 })
        assert.ok(models.length > 0, "llama.cpp's test writes no such model")
        for (const model of models) {
            const name = model.split('/').at(-1)
            await talk(name, model)
            if (isOneOf(WINDOWS, name)) await guessInWindow(name, model)
        }
    })
}
