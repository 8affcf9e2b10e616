// SPDX-License-Identifier: MIT
// Prefixes on disk (--prefix-disk) outlive a restart of all nodes, and change no bit under --exact: the next turn of a talk takes over the
// earlier one. A damaged file is ignored, and said, and the answer is computed. Two stages, so both have to have their part.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startCluster, stopCluster, until } from './lib/cluster.mjs'

const SYSTEM = 'You are a careful narrator of short tales about animals. ' + 'Each tale has a beginning, a middle and an end, and is told in plain words. '.repeat(24)
const OPTIONS = ['--placement', '4,4', '--ctx', '1024', '--parallel', '2', '--exact']

async function chat(api, user) {
    const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
    const messages = [{ role: 'system', content: SYSTEM }, { role: 'user', content: user }]
    const response = await fetch(`${api}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, messages, temperature: 0, seed: 1, max_tokens: 16, logprobs: true, top_logprobs: 2 }),
    })
    const answer = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return { tokens: answer.choices[0].logprobs.content, prompt: answer.usage.prompt_tokens, cached: answer.usage.prompt_tokens_details.cached_tokens }
}

// Nodes of these names, with the state that they had before.
const start = (names, options) => startCluster(names, { memory: '256M', options, first: OPTIONS })
const files = (node) => {
    try {
        return readdirSync(join(node.dir, 'prefixes')).filter((name) => name.endsWith('.kv')).map((name) => join(node.dir, 'prefixes', name))
    } catch {
        return []
    }
}

test('a prefix outlives the nodes, bit for bit; a damaged one is ignored', async () => {
    const fresh = await start(['fresh', 'other'], [])
    const expected = await chat(fresh[0].api, 'Tell me about a llama in the desert.')
    await stopCluster(fresh)
    assert.equal(expected.cached, 0)

    const names = ['north', 'south'], disk = ['--prefix-disk', '100M']
    let nodes = await start(names, disk)
    assert.equal((await chat(nodes[0].api, 'Tell me about a fox.')).cached, 0)
    await stopCluster(nodes)
    for (const node of nodes) assert.equal(files(node).length, 1, `${node.name}: ${files(node)}`)

    nodes = await start(names, disk)
    const second = await chat(nodes[0].api, 'Tell me about a llama in the desert.')
    assert.ok(second.cached > 0.8 * second.prompt, `${second.cached} of ${second.prompt} tokens came from disk`)
    assert.deepEqual(second.tokens, expected.tokens)
    await until('the second talk is kept, too', () => nodes.every((node) => files(node).length === 2))
    await stopCluster(nodes)

    for (const path of files(nodes[1])) {
        const bytes = readFileSync(path)
        bytes[bytes.length >> 1] ^= 1
        writeFileSync(path, bytes)
    }
    nodes = await start(names, disk)
    const third = await chat(nodes[0].api, 'Tell me about a llama in the desert.')
    assert.equal(third.cached, 0)
    assert.deepEqual(third.tokens, expected.tokens)
    assert.match(nodes[1].logText(), /a kept prefix is ignored: ".*" is damaged: its hash is another one/)
    await stopCluster(nodes)
})
