// SPDX-License-Identifier: MIT
// Guesses by the model's own layers for multi-token prediction, on two nodes of which the second has such a layer (the demo model and the
// layer that was trained for it): the text is the same with and without, also of several streams at once, of one beside which another was
// cancelled, and of one whose stage was killed; and guesses come true.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { ask, demoModel, run, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

const model = join(process.env.CARAVAN_TMP, 'demo-mtp.gguf')
execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-mtp'),
    ['--model', demoModel, '--layer', join(process.env.CARAVAN_SOURCE, 'tests/data/demo-mtp.gguf'), '--out', model])

const questions = ['Tell me a story about a llama.', 'Write a few sentences about caravans!', 'Are llamas friendly?', 'How can a caravan cross the desert?']
const wishes = [{}, { temperature: 0.9, seed: 7 }]
const start = (...options) => startCluster(['north', 'south'], { memory: '64M', model,
    first: ['--placement', '4,4', '--exact', '--ctx', '512', '--parallel', '4', '--speculate', '2', ...options] })

async function counts(api) {
    const text = await (await fetch(`${api}/metrics`)).text()
    const count = (name) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)[1])
    return { sent: count('caravan_mtp_tokens_total'), right: count('caravan_mtp_accepted_total') }
}

// The same, as the metrics and the status say it for each model and each kind of guesses.
async function countsByKind(api) {
    const text = await (await fetch(`${api}/metrics`)).text(), sums = {}
    for (const [, right, kind, n] of text.matchAll(/^caravan_guesses_(right_)?total\{model="[^"]*demo-mtp[^"]*",kind="(\w+)"\} (\d+)$/gm))
        (sums[kind] ??= {})[right ? 'right' : 'made'] = Number(n)
    const { rings } = await (await fetch(`${api}/caravan/v1/status`)).json()
    assert.deepEqual(rings.map((ring) => ring.guesses), [sums])
    return sums
}

async function answers(api) {
    const texts = []
    for (const wish of wishes) for (const q of questions) texts.push((await ask(api, q, { max_tokens: 80, ...wish })).text)
    return texts
}

async function onTwoNodes() {
    let nodes = await start('--mtp', 'off')
    const plain = await answers(nodes[0].api)
    assert.deepEqual(await counts(nodes[0].api), { sent: 0, right: 0 })
    await stopCluster(nodes)

    nodes = await start()
    assert.deepEqual(await answers(nodes[0].api), plain)
    const { sent, right } = await counts(nodes[0].api)
    assert.ok(right > 50 && right <= sent, `${right} of ${sent} guesses were right`)
    const kinds = await countsByKind(nodes[0].api)
    assert.deepEqual(kinds.own, { made: sent, right })
    assert.deepEqual(kinds.small, { made: 0, right: 0 })

    // several at once, one of them cancelled in its middle
    const leaving = new AbortController()
    const left = streamChat(nodes[0].api, { messages: [{ role: 'user', content: questions[0] }], max_tokens: 200, ignore_eos: true },
        () => leaving.abort(), leaving.signal).catch(() => null)
    const together = await Promise.all(questions.map((q) => ask(nodes[0].api, q, { max_tokens: 80 })))
    await left
    assert.deepEqual(together.map((a) => a.text), plain.slice(0, questions.length))
    const before = await counts(nodes[0].api)
    assert.ok(before.right > right)

    // the stage with the layer is lost, and the answer goes on in another one
    let killed = false
    const answer = await streamChat(nodes[0].api, { messages: [{ role: 'user', content: questions[1] }], max_tokens: 80 }, () => {
        if (!killed) process.kill(nodes[1].stages()[0], 'SIGKILL')
        killed = true
    })
    assert.equal(answer.error, null)
    assert.equal(answer.text, plain[1])
    await until('the counts of the answer', async () => (await counts(nodes[0].api)).right > before.right)
    await stopCluster(nodes)
}

// What a plan for this machine counts is as many bytes as a stage takes: with the layer, if it is to guess.
function planned() {
    const needs = (...options) => JSON.parse(execFileSync(process.env.CARAVAN,
        ['plan', model, '--json', '--ctx', '512', '--state-dir', join(process.env.CARAVAN_TMP, 'nobody'), ...options], { encoding: 'utf8' })).whole_bytes
    assert.ok(needs() > needs('--mtp', 'off') + 400000, `${needs()} bytes, ${needs('--mtp', 'off')} without it`)
}

await run({ onTwoNodes, planned })
