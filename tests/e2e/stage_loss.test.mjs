// SPDX-License-Identifier: MIT
// A stage that dies without a message, as when the kernel kills it for lack of memory, or that stops answering: it is noticed at once or in bounded time,
// the model is loaded again, and its requests go on.
import assert from 'node:assert/strict'
import { Node, ask, demoModel, isAlive, run, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

const alone = ['--ctx', '1024', '--parallel', '2', '--exact']
const tale = { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 600, ignore_eos: true }

// Another process holds the stage, and the model is ready.
const again = (node, old) => until(`${node.name}: another stage, ready`, async () => {
    const stages = node.stages()
    return stages.length === 1 && stages[0] !== old && (await node.status()).models[0]?.ready
})

function whole(result, expected) {
    assert.equal(result.error, null)
    assert(result.done)
    assert.equal(result.text, expected.text)
}

await run({
    async 'kill -9 of the one stage: while it is idle, while it answers, while it loads'() {
        const [node] = await startCluster(['s1'], { memory: '512M', first: alone })
        const expected = await streamChat(node.api, tale)
        let [pid] = node.stages()
        process.kill(pid, 'SIGKILL')
        whole(await streamChat(node.api, tale), expected) /* asked at once: it waits for the next one */
        await again(node, pid)
        ;[pid] = node.stages()
        let pieces = 0
        whole(await streamChat(node.api, tale, () => { if (++pieces === 20) process.kill(pid, 'SIGKILL') }), expected)
        assert(pieces >= 20)
        await again(node, pid)
        assert.match(node.logText(), /stage 0 of \S+ is gone: the stage process was ended by signal 9/)
        await stopCluster([node])

        const late = new Node('s2', [demoModel, '--memory', '512M', ...alone])
        const loading = await until('a stage that loads', () => late.stages()[0])
        process.kill(loading, 'SIGKILL')
        await late.open()
        await late.ready()
        assert(!isAlive(loading))
        assert.equal((await ask(late.api, 'Who are you?')).error, null)
        await stopCluster([late])
    },

    async 'a stage that stands still in mid-answer, alone and in a ring of three: given up, and the answer is whole'() {
        const three = ['--placement', '3,2,3', ...alone]
        const standStill = async (nodes, victim) => {
            const expected = await streamChat(nodes[0].api, tale)
            const [pid] = victim.stages()
            let pieces = 0
            const start = Date.now()
            whole(await streamChat(nodes[0].api, tale, () => { if (++pieces === 20) process.kill(pid, 'SIGSTOP') }), expected)
            assert(pieces >= 20)
            console.log(`# of ${nodes.length} stages one stood still: the answer went on, and ended after ${Date.now() - start} ms`)
            await until('it is gone', () => !isAlive(pid))
        }
        const [lone] = await startCluster(['f1'], { memory: '512M', first: alone })
        const ring = await startCluster(['r1', 'r2', 'r3'], { memory: '64M', first: three, options: ['--exact'] })
        await Promise.all([standStill([lone], lone), standStill(ring, ring[1])])
        assert.match(lone.logText(), /no sign of life for 20 s/)
        await stopCluster([lone, ...ring])
    },
})
