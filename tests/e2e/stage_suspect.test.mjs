// SPDX-License-Identifier: MIT
// A request that crashes the process which computes it, beside others: after the second crash in a row it ends with an error that says so, and the
// others go on as if nothing had been. (tests/e2e/preload/aborting_llama.c makes libllama abort, in the stage's own process.)
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { run, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

const preload = { LD_PRELOAD: join(process.env.CARAVAN_BUILD, 'lib/aborting_llama.so') }
const tale = (text, seed) => ({ messages: [{ role: 'user', content: text }], max_tokens: 150, ignore_eos: true, seed })
const innocents = [tale('Count to 100', 1), tale('Tell me a story.', 2)]

const complete = async (api, body) => {
    const response = await fetch(`${api}/v1/completions`, { method: 'POST', body: JSON.stringify({ temperature: 0, max_tokens: 20, ...body }) })
    return { status: response.status, body: await response.json() }
}
const crashes = (nodes) => nodes.reduce((n, node) => n + (node.logText().match(/is gone: the stage process crashed: signal (6|11) /g) ?? []).length, 0)

// Two answers are under way when the third request comes, which crashes a stage.
async function besideOthers(nodes, asked, culprit) {
    const expected = []
    for (const body of innocents) expected.push(await streamChat(asked.api, body))
    let pieces = 0, crashed
    const running = innocents.map((body) => streamChat(asked.api, body, () => { if (++pieces === 20) crashed = complete(asked.api, culprit) }))
    const results = await Promise.all(running)
    const { status, body } = await crashed
    assert.equal(status, 400)
    assert.match(body.error.message, /cannot compute this request: its process crashed twice in a row with it/)
    results.forEach((result, i) => {
        assert.equal(result.error, null)
        assert(result.done)
        assert.equal(result.text, expected[i].text)
    })
    await until('both crashes are told', () => crashes(nodes) >= 2)
    assert.equal(crashes(nodes), 2)
    assert.equal((await complete(asked.api, { prompt: [1, 2, 3] })).status, 200)
}

await run({
    async 'a model in one process, which aborts, or writes where nothing is'() {
        const token = 777
        for (const [name, how] of [['o1', 'GGML_ABORT_TOKEN'], ['o2', 'GGML_FAULT_TOKEN']]) {
            const nodes = await startCluster([name], { memory: '512M', first: ['--ctx', '1024', '--parallel', '4', '--exact'], env: { ...preload, [how]: `${token}` } })
            await besideOthers(nodes, nodes[0], { prompt: [1, 2, token, 3] })
            assert.match(nodes[0].logText(), how === 'GGML_ABORT_TOKEN' ? /signal 6/ : /signal 11/)
            await stopCluster(nodes)
        }
    },

    async 'batches smaller than the number of requests at once: they are raised to that'() {
        const nodes = await startCluster(['b1'], { memory: '512M', first: ['--ctx', '256', '--parallel', '4', '--batch', '2'] })
        assert.match(nodes[0].logText(), /--batch 2 is raised to 4/)
        const answers = await Promise.all([1, 2, 3, 4].map(() => complete(nodes[0].api, { prompt: 'Once upon' })))
        answers.forEach((a) => assert.equal(a.status, 200))
        await stopCluster(nodes)
    },

    async 'a ring of two, whose tail crashes while the head is in a long step: it is known all the same who may be the cause'() {
        const nodes = await startCluster(['l1', 'l2'], { memory: '64M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '4'], options: ['--exact', '--batch', '64'], env: { ...preload, GGML_ABORT_POSITION: '600', GGML_SLOW_POSITION: '600' } })
        await besideOthers(nodes, nodes[1], { prompt: Array.from({ length: 700 }, (_, i) => 1 + (i % 200)) })
        assert.match(nodes[0].logText(), /another stage of the ring crashed/)
        await stopCluster(nodes)
    },

    async 'a ring of two, whose tail crashes; asked through the other node'() {
        const nodes = await startCluster(['t1', 't2'], { memory: '64M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '4'], options: ['--exact'], env: { ...preload, GGML_ABORT_POSITION: '600' } })
        await besideOthers(nodes, nodes[1], { prompt: Array.from({ length: 700 }, (_, i) => 1 + (i % 200)) })
        assert.match(nodes[0].logText(), /stage 1: the stage process crashed/)
        await stopCluster(nodes)
    },
})
