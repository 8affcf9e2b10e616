// SPDX-License-Identifier: MIT
// Prefixes on disk (--prefix-disk) outlive a restart of all nodes, and change no bit under --exact: the next turn of a talk takes over the
// earlier one. A damaged file is ignored, and said, and the answer is computed. Two stages, so both have to have their part. The same with
// pictures, whose rows enter like tokens (llava), in a grid (qwen2.5vl), or in a model with a window, which goes back to marks (gemma3).
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startCluster, stopCluster, until } from './lib/cluster.mjs'
import { dataUrl, makeModel, stripes } from './lib/pictures.mjs'

const SYSTEM = 'You are a careful narrator of short tales about animals. ' + 'Each tale has a beginning, a middle and an end, and is told in plain words. '.repeat(24)
const OPTIONS = ['--placement', '4,4', '--ctx', '1024', '--parallel', '2', '--exact']

async function chat(api, user, system = SYSTEM) {
    const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
    const messages = [{ role: 'system', content: system }, { role: 'user', content: user }].filter((m) => m.content)
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
const damage = (path) => {
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] ^= 1
    writeFileSync(path, bytes)
}
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

    files(nodes[1]).forEach(damage)
    nodes = await start(names, disk)
    const third = await chat(nodes[0].api, 'Tell me about a llama in the desert.')
    assert.equal(third.cached, 0)
    assert.deepEqual(third.tokens, expected.tokens)
    assert.match(nodes[1].logText(), /a kept prefix is ignored: ".*" is damaged: its hash is another one/)
    await stopCluster(nodes)

    // Without the option nothing stays of what was said.
    assert.ok(files(nodes[0]).length > 0)
    nodes = await start(names, [])
    for (const node of nodes) assert.deepEqual(files(node), [])
    assert.match(nodes[0].logText(), /kept prefixes of \d+\.\d MB are deleted from the disk: --prefix-disk is off/)
    await stopCluster(nodes)
})

const LONG = 'The picture belongs to a tale about animals, which is told in plain words. '.repeat(20)
const CUTS = { llava: '3,5', 'qwen2.5vl': '5,3', gemma3: '6,6' }
const about = (picture, question) => [{ type: 'image_url', image_url: { url: dataUrl(picture) } }, { type: 'text', text: `${LONG}${question}` }]

for (const like of Object.keys(CUTS)) {
    test(`${like}: a prefix with a picture outlives the nodes; another picture takes nothing over`, async () => {
        const { model } = makeModel(like), exact = like === 'gemma3' ? [] : ['--exact']
        const first = ['--placement', CUTS[like], '--ctx', '2048', '--parallel', '2', '--speculate', '0', ...exact]
        const during = async (names, use) => {
            const nodes = await startCluster(names.map((name) => `${like}-${name}`), { memory: '512M', model, options: ['--prefix-disk', '100M'], first })
            try {
                return await use(nodes)
            } finally {
                await stopCluster(nodes)
            }
        }
        const names = ['north', 'south'], seen = stripes(150, 300, 7, 2), other = stripes(150, 300, 7, 3)
        const question = about(seen, 'Who walks there?'), log = (nodes) => nodes.map((node) => node.logText()).join('')
        const expected = await during(['fresh', 'there'], ([{ api }]) => chat(api, question, ''))
        const most = 0.2 * expected.prompt, least = (exact.length > 0 ? 0.8 : 0.7) * expected.prompt // marks in a long text are 256 tokens apart
        const same = (answer) => exact.length === 0 || assert.deepEqual(answer.tokens, expected.tokens)

        const before = await during(names, async (nodes) => {
            assert.equal((await chat(nodes[0].api, about(seen, 'What is it?'), '')).cached, 0)
            return nodes
        })
        for (const node of before) assert.ok(files(node).length > 0, node.name)
        await during(names, async (nodes) => {
            assert.ok((await chat(nodes[0].api, about(other, 'What is it?'), '')).cached < most)
            const again = await chat(nodes[0].api, question, '')
            assert.ok(again.cached > least, `${again.cached} of ${expected.prompt} tokens came from disk`)
            same(again)
            assert.doesNotMatch(log(nodes), /a kept prefix is ignored/)
        })
        files(before[0]).forEach(damage)
        await during(names, async (nodes) => {
            const damaged = await chat(nodes[0].api, question, '')
            assert.ok(damaged.cached < most)
            same(damaged)
            assert.match(log(nodes), /a kept prefix is ignored: ".*" is damaged: its hash is another one/)
        })
    })
}
