// SPDX-License-Identifier: MIT
// Real nodes on loopback, real stages, real links: answers, the loss of a stage, of a node, of the head, of the client; orderly and disorderly ends.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Node, ask, demoModel, isAlive, run, sleep, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

const story = { messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 200 }
const three = ['--placement', '3,2,3', '--ctx', '1024', '--parallel', '2']
const two = ['--placement', '4,4', '--ctx', '1024', '--parallel', '2']

// As long as the context holds: there has to be a middle to break it in.
const long = { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 950, ignore_eos: true }

// Does this node see n stages of that epoch, all ready, and the model too?
const settled = (status, n, epoch) => {
    const stages = status.nodes.flatMap((node) => node.stages)
    return status.models[0]?.ready && stages.length === n && stages.every((s) => s.epoch === epoch && s.state === 'ready')
}

async function idle(node) {
    await until('no request runs any more', async () => (await node.status()).requests === 0, 20)
}

await run({
    async 'three nodes that cannot hold the model alone answer together, from each endpoint alike'() {
        const nodes = await startCluster(['alpha', 'beta', 'gamma'], { memory: '64M', first: three })
        const status = await nodes[0].status()
        assert.equal(status.models[0].stages, 3)
        const layers = status.nodes.flatMap((n) => n.stages.map((s) => [s.first_layer, s.last_layer])).sort((a, b) => a[0] - b[0])
        assert.deepEqual(layers.map((l) => l[0]).slice(1), layers.map((l) => l[1] + 1).slice(0, -1), 'every layer is held once')
        const answers = []
        for (const node of nodes) answers.push(await ask(node.api, 'Why do llamas walk in a line?'))
        for (const a of answers) {
            assert.equal(a.error, null)
            assert.equal(a.text, answers[0].text)
            assert.equal(a.finish, 'stop')
            assert(a.done)
        }
        assert.match(answers[0].text, /llama/i)
        const many = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((i) => ask(nodes[i % 3].api, `What is ${i} plus 1?`)))
        many.forEach((a, i) => assert.match(a.text, new RegExp(`\\b${i + 1}\\b|${['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'][i]}`), a.text))
        await stopCluster(nodes)
        for (const node of nodes) assert.deepEqual(await node.exited, { code: 0, signal: null })
    },

    async 'a stage killed in mid-answer: an error in the stream, and the next request is answered'() {
        const nodes = await startCluster(['k1', 'k2', 'k3'], { memory: '64M', first: three })
        let epoch = 1
        for (const victim of [2, 1, 0]) {
            const [pid] = nodes[victim].stages()
            let killed = false
            const result = await streamChat(nodes[1].api, long, () => {
                if (killed) return
                killed = true
                process.kill(pid, 'SIGKILL')
            })
            assert(killed)
            assert(result.text.length > 0)
            assert.notEqual(result.error, null, 'the break shows in the stream')
            assert.match(result.error.message, /\S/)
            assert(!result.done)
            epoch++
            for (const node of nodes) await until('the model is loaded again', async () => settled(await node.status(), 3, epoch))
            const next = await ask(nodes[2].api, 'Who are you?')
            assert.equal(next.error, null)
            assert.match(next.text, /Caravan/)
        }
        await stopCluster(nodes)
    },

    async 'a node killed in mid-answer: the others notice, and serve again once it is back'() {
        const nodes = await startCluster(['n1', 'n2'], { memory: '64M', first: two })
        let killed = false
        const result = await streamChat(nodes[0].api, long, () => {
            if (killed) return
            killed = true
            nodes[1].process.kill('SIGKILL')
        })
        assert(result.error !== null || result.done)
        await until('stages die with their node', () => nodes[1].stages().length === 0, 5)
        await until('the loss is noticed', async () => (await nodes[0].status()).nodes.length === 1)
        const again = await new Node('n3', ['--peer', nodes[0].listen, '--memory', '64M']).open()
        await nodes[0].ready()
        assert.equal((await ask(again.api, 'Who are you?')).error, null)
        await stopCluster([nodes[0], again])
    },

    async 'a client that goes away frees its sequence in every state'() {
        const nodes = await startCluster(['c1', 'c2'], { memory: '64M', first: ['--placement', '4,4', '--ctx', '512', '--parallel', '1'] })
        for (const node of nodes) {
            const abort = new AbortController()
            const running = streamChat(node.api, long, () => abort.abort(), abort.signal).catch((e) => e.name)
            assert.equal(await running, 'AbortError')
            await idle(nodes[0])
            const first = new AbortController()
            const busy = streamChat(nodes[0].api, long, () => {}, first.signal).catch((e) => e.name)
            const second = new AbortController() /* waits for the only sequence */
            const queued = streamChat(node.api, story, () => {}, second.signal).catch((e) => e.name)
            await until('both run', async () => (await nodes[0].status()).requests === 2 || (await node.status()).requests === 2, 5).catch(() => {})
            second.abort()
            await queued
            first.abort()
            await busy
            await idle(nodes[0])
            await idle(node)
        }
        assert.equal((await ask(nodes[1].api, 'Who are you?')).error, null)
        await stopCluster(nodes)
    },

    async 'SIGTERM lets a running answer finish; kill -9 of a node leaves no stage behind'() {
        const nodes = await startCluster(['t1', 't2'], { memory: '64M', first: two })
        let stopping = null
        const result = await streamChat(nodes[0].api, story, () => { stopping ??= nodes[0].stop() })
        assert.equal(result.error, null)
        assert(result.done)
        assert.deepEqual(await stopping, { code: 0, signal: null })
        await until('the stages that the node had ordered are gone', () => nodes[1].stages().length === 0)
        const lone = await startCluster(['t3'], { memory: '64M', first: ['--ctx', '512'] })
        const pids = lone[0].stages()
        assert.equal(pids.length, 1)
        await lone[0].stop('SIGKILL')
        await until('its stage is gone too', () => !isAlive(pids[0]), 5)
        await stopCluster(nodes)
    },

    async 'another cluster key is refused, with the reason in the log'() {
        const [a] = await startCluster(['w1'], { memory: '64M', first: ['--ctx', '512'] })
        const b = await new Node('w2', ['--peer', a.listen, '--key-file', join(process.env.CARAVAN_TMP, 'other.key')]).open()
        await until('the refusal is logged', () => /cluster key/.test(b.logText()), 20)
        await sleep(300)
        assert.equal((await a.status()).nodes.length, 1)
        await stopCluster([a, b])
    },

    async 'a model that fits is not split, and the node says so'() {
        const nodes = await startCluster(['f1', 'f2'], { memory: '512M', first: ['--ctx', '512'] })
        assert.equal((await nodes[0].status()).models[0].stages, 1)
        assert.match(nodes[0].logText(), /runs whole/)
        await stopCluster(nodes)
    },

    async 'a model that fits nowhere: a clear error, and 503 with Retry-After'() {
        const node = await new Node('s1', [demoModel, '--memory', '1M']).open()
        await until('the plan says why', () => /cannot place model "caravan-demo": it needs/.test(node.logText()), 10)
        const response = await fetch(`${node.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(story) })
        assert.equal(response.status, 503)
        assert(response.headers.get('retry-after'))
        const { error } = await response.json()
        assert.match(error.message, /cannot place model/)
        await stopCluster([node])
    },
})
