// SPDX-License-Identifier: MIT
// A machine that comes later, on which the model would run whole: it is told, and with `--replan auto` the model moves there once no request
// runs; with `--replan never` it stays where it is. After a restart it goes where it was.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, demoModel, run, sleep, until } from './lib/cluster.mjs'

const model = async (node) => (await node.status()).models[0]

// Two machines of which neither has the room for all, and then a third one that has.
async function better(replan) {
    const key = ['--key-file', join(process.env.CARAVAN_TMP, `${replan}.key`)]
    const a = await new Node(`${replan}-a`, [demoModel, '--memory', '41M', '--placement', 'memory', '--replan', replan, ...key]).open()
    const b = await new Node(`${replan}-b`, ['--memory', '41M', '--peer', a.listen, ...key]).open()
    await until('it is divided', async () => { const m = await model(a); return m?.ready && m.stages === 2 })
    const whole = await ask(a.api, 'Count to 5', { max_tokens: 24 })
    const c = await new Node(`${replan}-c`, ['--memory', '64M', '--peer', a.listen, ...key]).open()
    await until('the better place is told', async () => new RegExp(`would run whole on ${replan}-c`).test((await model(a)).message))
    return { a, b, c, whole }
}

const metric = async (node, name) => Number((await (await fetch(`${node.api}/metrics`)).text()).match(new RegExp(`^${name} (\\d+)$`, 'm'))[1])

await run({
    async 'after a restart of all machines its layers are where they were'() {
        const start = async () => {
            const asked = await new Node('stays-a', [demoModel, '--memory', '1M', '--batch', '64', '--ctx', '1024', '--parallel', '1']).open()
            const others = []
            for (const name of ['stays-b', 'stays-c']) others.push(await new Node(name, ['--memory', '33M', '--peer', asked.listen, '--batch', '64']).open())
            await asked.ready()
            const { nodes } = await asked.status()
            return { asked, others, layers: others.map(({ name }) => nodes.find((n) => n.name === name).stages.map((x) => [x.first_layer, x.last_layer])) }
        }
        const before = await start(), files = before.others.map((n) => join(n.dir, 'held.json'))
        assert.equal(before.layers.flat().length, 2)
        for (const node of [before.asked, ...before.others]) await node.stop() // first the one that would plan anew
        const kept = files.map((file) => readFileSync(file, 'utf8'))
        files.forEach((file, i) => writeFileSync(file, kept[1 - i])) // each is told that it had the other's layers: so it is no chance
        for (const { dir } of [before.asked, ...before.others]) rmSync(join(dir, 'learnt.json'), { force: true }) // else one of them seems to be faster
        const after = await start()
        assert.deepEqual(after.layers, before.layers.toReversed())
        assert.match(after.asked.logText(), /They had these layers before\./)
        for (const node of [...after.others, after.asked]) await node.stop()
    },

    async 'auto: it is told first, and moves when it is idle'() {
        const { a, b, c, whole } = await better('auto')
        const first = (await model(a)).instance
        const long = await ask(a.api, 'Count to 100', { max_tokens: 400, ignore_eos: true })
        assert(long.done && long.error === null)
        const m = await until('it runs whole', async () => { const now = await model(a); return now?.ready && now.stages === 1 && now })
        assert.equal(m.instance, first) // moved, not another copy
        assert.equal(m.message.includes('would run'), false)
        const log = a.logText()
        assert(log.indexOf('would run whole on auto-c') < log.indexOf('is loaded anew: it would run whole on auto-c'))
        const again = await ask(b.api, 'Count to 5', { max_tokens: 24 })
        assert.deepEqual([again.text, again.error], [whole.text, null])
        assert.equal(await metric(a, 'caravan_replays_total'), 0)
        for (const n of [a, b, c]) assert.doesNotMatch(n.logText(), /^\S+ \S+ warn .*stage/m, 'a move is nothing to worry about')
        for (const n of [c, b, a]) await n.stop()
    },

    async 'never: it is told, and stays'() {
        const { a, b, c, whole } = await better('never')
        await sleep(15000) // longer than a model has to be idle before it moves
        const m = await model(a)
        assert.deepEqual([m.stages, m.ready], [2, true])
        assert.match(a.logText(), /would run whole on never-c.*; it stays, as --replan never says/)
        assert.doesNotMatch(a.logText(), /is loaded anew/)
        assert.equal((await ask(a.api, 'Count to 5', { max_tokens: 24 })).text, whole.text)
        for (const n of [c, b, a]) await n.stop()
    },
})
