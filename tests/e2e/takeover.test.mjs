// SPDX-License-Identifier: MIT
// A model and its running answers when its coordinator is lost: another node loads the model in the same way; if none can, requests wait until
// the machine is back.
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, demoModel, run, streamChat, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP
const models = join(tmp, 'models')
mkdirSync(models)
copyFileSync(demoModel, join(models, 'caravan-demo.gguf'))
const empty = join(tmp, 'empty')
mkdirSync(empty)

const common = ['--memory', '64M', '--exact']
const tale = (n) => ({ messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: n, ignore_eos: true })
const instances = async (node) => (await (await fetch(`${node.api}/caravan/v1/models`)).json()).models.flatMap((m) => m.instances)

// The text of an answer; act() comes after its 20th piece.
async function disturbed(api, body, act) {
    let pieces = 0
    const result = await streamChat(api, body, () => { if (++pieces === 20) act() })
    assert.equal(result.error, null)
    assert(result.done && pieces > 20)
    return result.text
}

const admin = (node, what, wish = {}) => fetch(`${node.api}/caravan/v1/models/${what}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'caravan-demo', ...wish }),
})

// Nodes that all see each other.
async function meet(list) {
    const nodes = []
    for (const [name, options] of list) nodes.push(await new Node(name, [...options, ...common, ...(nodes.length ? ['--peer', nodes[0].listen] : [])]).open())
    for (const n of nodes) await until(`${n.name} sees all`, async () => (await n.status()).nodes.filter((x) => x.state !== 'suspect').length === list.length)
    return nodes
}

await run({
    async 'the coordinator is lost in mid-answer: the model is loaded with the same context, placement and types, and the answer is whole'() {
        const wishes = ['--placement', '3,2,3', '--ctx', '900', '--parallel', '2', '--cache-type-k', 'f32', '--wire-type', 'f16']
        const others = ['--models-dir', models]
        const [a, b, c, d] = await meet([['a', [join(models, 'caravan-demo.gguf'), ...others, ...wishes]], ['b', others], ['c', others], ['d', others]])
        for (const n of [a, b, c, d]) await n.ready()
        const whole = await disturbed(b.api, tale(800), () => {})
        const text = await disturbed(b.api, tale(800), () => a.process.kill('SIGKILL'))
        assert.equal(text, whole)
        const [now, ...more] = await until('all know the new one', async () => { const l = await instances(b); return l.length === 1 && l })
        assert.equal(more.length, 0)
        assert.deepEqual([now.context, now.n_stage, now.state], [900, 3, 'ready'])
        const heir = [b, c, d].find((n) => n.name === now.coordinator)
        assert.equal((heir.logText().match(/taking "caravan-demo" over/g) ?? []).length, 1)
        for (const n of [b, c, d]) assert.equal((await n.status()).models.find((m) => m.ready).wire_type, 'f16')
        for (const n of [b, c, d]) await n.stop()
    },

    async 'a model that a request had loaded is loaded again as it was, by the next request'() {
        const others = ['--models-dir', models]
        const [a, b, c] = await meet([['oa', [...others, '--ctx', '600']], ['ob', [...others, '--ctx', '700']], ['oc', [...others, '--ctx', '800']]])
        const nodes = [a, b, c]
        await disturbed(a.api, tale(30), () => {})
        const [first] = await until('it is known', async () => { const l = await instances(a); return l.length && l })
        const keeper = nodes.find((n) => n.name === first.coordinator)
        const left = nodes.filter((n) => n !== keeper)
        await keeper.stop('SIGKILL')
        await until('it is gone', async () => (await left[1].status()).nodes.length === 2)
        await disturbed(left[1].api, tale(30), () => {})
        const [again] = await until('it is known again', async () => { const l = await instances(left[0]); return l.length && l })
        assert.notEqual(again.coordinator, first.coordinator)
        assert.equal(again.context, first.context)
        for (const n of left) await n.stop()
    },

    async 'the only machine with the file dies and comes back much later: the answer waits as long as --replay-limit says'() {
        const named = [join(models, 'caravan-demo.gguf'), '--ctx', '512', '--models-dir', models]
        const [x, y] = await meet([['x', named], ['y', ['--models-dir', empty, '--replay-limit', '200']]])
        await y.ready()
        const whole = await disturbed(y.api, tale(450), () => {})
        let again
        const text = await disturbed(y.api, tale(450), () => {
            x.process.kill('SIGKILL')
            const back = setTimeout(() => { again = new Node('x', [...named, ...common, '--listen', x.listen]) }, 12000) // it is away for so long
            back.ref()
        })
        assert.equal(text, whole)
        const request = await fetch(`${y.api}/metrics`)
        assert.match(await request.text(), /^caravan_replays_total [1-9]/m)
        await again.open()
        await again.stop()
        await y.stop()
    },

    async 'asked for while its machine is away: 503 with the reason, not 404'() {
        const [x, y] = await meet([['p', [join(models, 'caravan-demo.gguf'), '--ctx', '512', '--models-dir', models]], ['q', ['--models-dir', empty]]])
        await y.ready()
        await x.stop('SIGKILL')
        await until('it is gone', async () => (await y.status()).nodes.length === 1)
        const response = await fetch(`${y.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'caravan-demo', ...tale(5) }) })
        assert.equal(response.status, 503)
        assert(response.headers.get('retry-after'))
        assert.match((await response.json()).error.message, /is gone/)
        await y.stop()
    },

    // A machine that stood still for a while, and a node that was asked by hand to load the model: either may have the smaller id.
    async 'a coordinator that was away comes back: one of the two copies goes, and unloading the model leaves none'() {
        const others = ['--models-dir', models, '--ctx', '512']
        const pair = await meet([['r0', others], ['r1', others]])
        const ids = (await pair[0].status()).nodes.map((n) => [n.name, n.id]).sort((a, b) => (a[1] < b[1] ? -1 : 1)).map((n) => n[0])
        for (const n of pair) await n.stop()
        for (const [name, pinned] of [[ids[0], true], [ids[1], true], [ids[1], false]]) {
            const other = ids.find((i) => i !== name)
            const keeper = await new Node(name, [...(pinned ? [join(models, 'caravan-demo.gguf')] : []), ...others, ...common]).open()
            const heir = await new Node(other, [...others, ...common, '--peer', keeper.listen]).open()
            await until('they see each other', async () => (await heir.status()).nodes.length === 2)
            if (!pinned) assert.equal((await admin(keeper, 'load')).status, 200)
            await keeper.ready()
            const by = (await instances(keeper))[0].coordinator // without a pin it is the heir of both, whose id is smaller
            const [first, second] = by === name ? [keeper, heir] : [heir, keeper]
            first.process.kill('SIGSTOP')
            await until('it is taken over', async () => (await instances(second)).some((i) => i.coordinator === second.name && i.state === 'ready'))
            first.process.kill('SIGCONT')
            for (const n of [first, second]) {
                const left = await until(`${n.name}: one of two`, async () => {
                    const l = await instances(n)
                    const both = (await n.status()).nodes.filter((x) => x.state !== 'suspect').length === 2
                    return both && l.length === 1 && l[0].state === 'ready' && l
                })
                if (pinned) assert.equal(left[0].coordinator, name)
            }
            const unloaded = await admin(second, 'unload')
            assert.equal(unloaded.status, 200)
            for (const n of [first, second]) await until('it is gone', async () => (await instances(n)).length === 0)
            for (const n of [first, second]) await n.stop()
        }
    },

    async 'all nodes are started anew: what was loaded by hand comes back as it was; what was unloaded while its node was away does not'() {
        const others = ['--models-dir', models, '--ctx', '512']
        let nodes = await meet([['s0', others], ['s1', others]])
        assert.equal((await admin(nodes[0], 'load', { ctx: 640, parallel: 2 })).status, 200)
        await nodes[0].ready()
        const [{ coordinator }] = await instances(nodes[0])
        for (const n of nodes) await n.stop('SIGKILL')
        nodes = await meet([['s0', others], ['s1', others]])
        for (const n of nodes) await n.ready()
        const again = await instances(nodes[0])
        assert.deepEqual(again.map((i) => [i.coordinator, i.context, i.state]), [[coordinator, 640, 'ready']])

        const keeper = nodes.find((n) => n.name === coordinator), heir = nodes.find((n) => n !== keeper)
        await keeper.stop('SIGKILL')
        await until('it is taken over', async () => (await instances(heir)).some((i) => i.coordinator === heir.name && i.context === 640))
        assert.equal((await admin(heir, 'unload')).status, 200)
        const back = await new Node(keeper.name, [...others, ...common, '--peer', heir.listen]).open()
        const kept = join(tmp, keeper.name, 'models.json')
        assert(JSON.parse(readFileSync(kept, 'utf8')).models.length === 1)
        await until('it has heard of that', () => JSON.parse(readFileSync(kept, 'utf8')).models.length === 0)
        assert.deepEqual(await instances(back), [])
        for (const n of [back, heir]) await n.stop()
    },

    async 'one of two copies is lost, or the node that looks after both: there are two again'() {
        const named = [join(models, 'caravan-demo.gguf'), '--ctx', '512', '--replicas', '2']
        const [a, b] = await meet([['u0', named], ['u1', ['--models-dir', empty]]])
        const ready = async (node) => (await instances(node)).filter((i) => i.state === 'ready').length
        for (const n of [a, b]) await until(`${n.name}: two copies`, async () => (await ready(n)) === 2)
        await b.stop('SIGKILL')
        await until('one is lost', async () => (await ready(a)) === 1)
        const back = await new Node('u1', ['--models-dir', empty, ...common, '--peer', a.listen]).open()
        await until('two again', async () => (await ready(a)) === 2)
        await a.stop('SIGKILL') // the coordinator of both; no other node has the file
        const again = await new Node('u0', [...named, ...common, '--listen', a.listen]).open()
        for (const n of [again, back]) await until(`${n.name}: two once more`, async () => (await ready(n)) === 2)
        for (const n of [again, back]) await n.stop()
    },
})
