// SPDX-License-Identifier: MIT
// `caravan nodes drain`: a machine's layers move to the others, it takes no more, and then it can leave without anybody noticing.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { Node, ask, caravan, demoModel, run, streamChat, until } from './lib/cluster.mjs'

const options = ['--memory', '41M', '--replan', 'never']
const metric = async (node, name) => Number((await (await fetch(`${node.api}/metrics`)).text()).match(new RegExp(`^${name} (\\d+)$`, 'm'))[1])

await run({
    async 'a drained machine ends what it does, gives its layers to another, and takes none after a new start'() {
        const a = await new Node('a', [demoModel, ...options]).open()
        let b = await new Node('b', ['--peer', a.listen, ...options]).open()
        const nodes = (...args) => spawnSync(caravan, ['nodes', ...args, '--state-dir', a.dir], { encoding: 'utf8' })
        const of = async (name) => (await a.status()).nodes.find((n) => n.name === name)
        await until('it is divided', async () => { const [m] = (await a.status()).models; return m?.ready && m.stages === 2 })
        const first = await ask(a.api, 'Count to 5', { max_tokens: 24 })

        // Nowhere to go: it stays, and says why.
        assert.equal(nodes('drain', 'b').status, 0)
        await until('it is told', async () => /the others have no room/.test((await a.status()).models[0].message))
        assert.ok((await of('b')).stages.length > 0)
        assert.match(nodes().stdout, /^b .*\bdraining\b/m)
        assert.match(nodes('undrain', 'b').stdout, /takes layers again/)
        await until('it is as before', async () => !(await of('b')).drained && !/no room/.test((await a.status()).models[0].message))

        // A third machine: while an answer runs, then without one.
        const c = await new Node('c', ['--peer', a.listen, ...options]).open()
        await until('c is there', async () => of('c'))
        let drained
        const long = await streamChat(a.api, { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 300, ignore_eos: true }, () => { drained ??= nodes('drain', 'b') })
        assert.match(drained.stdout, /takes no more layers/)
        assert.deepEqual([long.done, long.error], [true, null])
        await until('b is empty, and the model is ready elsewhere', async () => (await of('b')).stages.length === 0 && (await of('c')).stages.length > 0 && (await a.status()).models[0].ready)
        assert.match(nodes().stdout, /^b .*\bdrained\b/m)
        const again = await ask(a.api, 'Count to 5', { max_tokens: 24 })
        assert.deepEqual([again.text, again.error], [first.text, null])

        // It leaves, and nothing happens; it comes back, and takes nothing.
        const replays = await metric(a, 'caravan_replays_total'), running = ask(a.api, 'Count to 100', { max_tokens: 200, ignore_eos: true })
        await b.stop()
        const meanwhile = await running
        assert.deepEqual([meanwhile.done, meanwhile.error, await metric(a, 'caravan_replays_total')], [true, null, replays])
        b = await new Node('b', ['--peer', a.listen, ...options]).open()
        await until('it is back, and still drained', async () => (await of('b'))?.drained)
        await c.stop()
        await until('the model waits rather than to go to b', async () => { const [m] = (await a.status()).models; return m && !m.ready })
        assert.equal((await of('b')).stages.length, 0)
        assert.equal(nodes('undrain', 'b').status, 0)
        await until('b carries layers again', async () => (await of('b')).stages.length > 0 && (await a.status()).models[0].ready)

        const none = nodes('drain'), nobody = nodes('drain', 'nobody')
        assert.equal(none.status, 64)
        assert.match(none.stderr, /a name is missing/)
        assert.equal(nobody.status, 66)
        assert.match(nobody.stderr, /no node "nobody" is linked/)
        for (const node of [b, a]) await node.stop()
    },
})
