// SPDX-License-Identifier: MIT
// --replicas on real nodes: a request runs in the copy of the machine that was asked, if that copy is idle; a copy that was killed is loaded
// again, and so is the copy of a machine that is gone, on another one; no answer is lost meanwhile.
import assert from 'node:assert/strict'
import { Node, demoModel, isAlive, run, streamChat, until } from './lib/cluster.mjs'

const tale = { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 800, ignore_eos: true }
const wishes = ['--ctx', '1024', '--parallel', '2', '--replicas', '3']
const common = ['--memory', '64M', '--exact']

const instances = async (node) => (await (await fetch(`${node.api}/caravan/v1/models`)).json()).models.flatMap((m) => m.instances)
const ready = async (node) => (await instances(node)).filter((i) => i.state === 'ready')
const nodeOf = (instance) => instance.stages[0].node
// Three copies that are ready, as this node sees them.
const three = (node, what) => until(`${node.name}: ${what}`, async () => {
    const list = await ready(node)
    return list.length === 3 && list.every((i) => i.stages.length === 1) && list
})

// The text of an answer; act() comes after its 20th piece, and is waited for.
async function disturbed(node, act) {
    let pieces = 0, acted
    const result = await streamChat(node.api, tale, () => { if (++pieces === 20) acted = act() })
    await acted
    assert.equal(result.error, null)
    assert(result.done && pieces > 20)
    return result.text
}

// It has heard that no copy has a request.
const allIdle = (node) => until(`${node.name}: all are idle`, async () => (await instances(node)).every((i) => i.requests === 0))

async function start() {
    const a = await new Node('a', [demoModel, ...wishes, ...common]).open()
    const others = []
    for (const name of ['b', 'c']) others.push(await new Node(name, ['--peer', a.listen, ...common]).open())
    return [a, ...others]
}

await run({
    async 'each of three nodes has a copy, and answers with it while it is idle; a copy that is killed is loaded again'() {
        const nodes = await start()
        for (const n of nodes) assert.deepEqual((await three(n, 'three copies')).map(nodeOf).sort(), ['a', 'b', 'c'])
        let whole
        for (const n of nodes) { /* one after another: the copies of the others are idle, too */
            await allIdle(n)
            const text = await disturbed(n, async () => {
                const busy = (await instances(n)).filter((i) => i.requests > 0)
                assert.deepEqual(busy.map(nodeOf), [n.name], 'the node that was asked answers')
            })
            whole ??= text
            assert.equal(text, whole)
        }
        for (const n of nodes) await allIdle(n)
        /* all at once: each has its own */
        await Promise.all(nodes.map(async (n) => assert.equal(await disturbed(n, async () => {
            assert.equal((await instances(n)).find((i) => nodeOf(i) === n.name).requests, 1)
        }), whole)))

        const b = nodes[1], [idle] = b.stages()
        process.kill(idle, 'SIGKILL')
        await until('it is noticed', async () => !isAlive(idle) && (await ready(nodes[0])).length < 3)
        await three(b, 'three copies again')
        const [busy] = b.stages()
        assert.notEqual(busy, idle)
        assert.equal(await disturbed(b, () => process.kill(busy, 'SIGKILL')), whole)
        const again = await three(b, 'three copies once more')
        assert.deepEqual(again.map(nodeOf).sort(), ['a', 'b', 'c'])
        assert.deepEqual(again.map((i) => [i.context, i.parallel]), [[1024, 2], [1024, 2], [1024, 2]])

        /* the machine of a copy goes, while its copy answers another machine's request or not; a fourth machine has the room */
        const d = await new Node('d', ['--peer', nodes[0].listen, ...common]).open()
        await until('it is there', async () => (await d.status()).nodes.filter((n) => n.state !== 'suspect').length === 4)
        assert.equal((await three(d, 'three copies, still')).length, 3)
        assert.equal(await disturbed(nodes[0], () => nodes[2].stop('SIGKILL')), whole)
        for (const n of [nodes[0], b, d]) {
            const list = await until(`${n.name}: the copy of the lost machine is on the fourth`, async () => {
                const l = await ready(n)
                return l.length === 3 && l.map(nodeOf).sort().join() === 'a,b,d' && l
            })
            assert.deepEqual(list.map((i) => [i.context, i.parallel]), [[1024, 2], [1024, 2], [1024, 2]])
        }
        assert.equal(await disturbed(d, () => {}), whole)
        for (const n of [nodes[0], b, d]) await n.stop()
    },
})
