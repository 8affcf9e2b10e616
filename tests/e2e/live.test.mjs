// SPDX-License-Identifier: MIT
// `caravan top` and `caravan logs` beside a ring of two nodes: on a real terminal, in a pipe, while answers run, and when no node runs any more.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ask, caravan, run, startCluster, stopCluster, until } from './lib/cluster.mjs'
import { Terminal, plain } from './lib/terminal.mjs'

const tmp = process.env.CARAVAN_TMP
const count = (node) => ask(node.api, 'Count to 100', { model: 'caravan-demo' })

await run({
    async 'top shows the ring, its speed, the time of its hops, and what waits'() {
        const nodes = await startCluster(['a', 'b'], { memory: '64M', first: ['--placement', '4,4', '--ctx', '512', '--parallel', '1'] })
        const api = ['--api', nodes[0].api.slice(7)]
        for (const columns of [80, 60]) {
            const t = new Terminal(['top', ...api], { columns })
            await t.until(/caravan-demo +a +.* idle\r?\n/)
            const wide = columns > 60
            let seen = false // three clients ask until it is: on a fast machine an answer is over between two looks
            const clients = [0, 0, wide ? 1 : 0].map(async (through) => {
                do assert.equal((await count(nodes[through])).finish, 'stop')
                while (!seen)
            })
            await t.until(/[1-9]\d* requests?, [1-9]\d* wait, [1-9][0-9.]* tokens\/s/)
            if (wide) await t.until(/caravan-demo +a .* 1 run, 1 wait\r?\n/) // requests through both nodes
            seen = true
            await Promise.all(clients)
            const rows = await t.until(/caravan-demo +a .*\r?\n +b .*\d ms/)
            assert.match(rows, wide ? /a +0-\d +\d+\.\d\d ms.*\n +b +\d-7 +\d+\.\d\d ms +\d+\.\d\d ms/ : /b +.*\d+\.\d\d ms/)
            t.type('\x03')
            assert.deepEqual(await t.end(), { code: null, signal: 'SIGINT' })
            for (const line of plain(t.text).split('\n')) assert(line.length <= columns, `${line.length} characters: ${line}`)
        }
        const once = spawnSync(caravan, ['top', ...api], { encoding: 'utf8' })
        assert.equal(once.status, 0, once.stderr)
        assert.match(once.stdout, /^2 nodes; through this one: 0 requests, 0\.0 tokens\/s\n\nMODEL .*\ncaravan-demo +a +.*\n +b .*\n$/)
        const { rings, models } = JSON.parse(execFileSync(caravan, ['top', '--json', ...api], { encoding: 'utf8' }))
        assert.equal(rings.length, 1)
        assert.equal(rings[0].instance, models[0].instances[0].instance)
        assert(rings[0].tokens > 600 && rings[0].stages.length === 2 && rings[0].stages.every((s) => s.frames > 100 && s.compute_us > 0))
        assert(rings[0].stages[1].hop_us > 0)
        // each of the 600 tokens and more has crossed the link from a to b as a hidden state, and come back as a number
        const { there, back } = await until('both nodes have told what they sent', async () => {
            const state = await nodes[0].status(), [there, back] = [0, 1].map((i) => state.nodes.flatMap((n) => n.stages).find((x) => x.stage === i))
            return there.sent_frames > 600 && there.sent_bytes > 600 * state.models[0].n_embd && back.sent_frames > 600 && back.sent_bytes > 600 * 48 && { there, back }
        })
        assert(back.sent_bytes < there.sent_bytes, JSON.stringify({ there, back }))
        const metric = async (node) => Number(/^caravan_link_sent_bytes_total (\d+)$/m.exec(await (await fetch(`${node.api}/metrics`)).text())[1])
        assert(await metric(nodes[0]) >= there.sent_bytes && await metric(nodes[1]) >= back.sent_bytes)
        assert.deepEqual([there.threads, there.threads_batch, back.threads], [1, 1, 1]) // --threads 1
        const threads = async (node) => /^caravan_stage_threads (\d+)$/m.exec(await (await fetch(`${node.api}/metrics`)).text())[1]
        assert.deepEqual(await Promise.all(nodes.map(threads)), ['1', '1']) // each counts its own
        await stopCluster(nodes)
        assert.match(spawnSync(caravan, ['top', ...api], { encoding: 'utf8' }).stderr, /no node answers/)
    },
    async 'logs shows what the node and its stages wrote, follows, and outlives the node'() {
        const [node] = await startCluster(['alone'], { memory: '64M', first: ['--ctx', '512', '--parallel', '1'] })
        const home = ['--state-dir', node.dir]
        const t = new Terminal(['logs', '-f', '-n', '1', ...home], { columns: 200 })
        await t.until(/\n/)
        assert.equal(spawnSync(caravan, ['unload', 'caravan-demo', '--api', node.api.slice(7)]).status, 0)
        await t.until(/POST \/caravan\/v1\/models\/unload[^]*stage 0 has ended/)
        t.type('\x03')
        assert.deepEqual(await t.end(), { code: null, signal: 'SIGINT' })
        await stopCluster([node])
        const logs = (...args) => spawnSync(caravan, ['logs', ...home, ...args], { encoding: 'utf8' }).stdout
        const all = logs('--lines', 'all')
        const wrote = node.logText().split('\n').filter((line) => /^\d{4}-\d\d-\d\d /.test(line))
        assert(wrote.some((line) => /parked sequences may take/.test(line)), 'a stage wrote something')
        for (const line of wrote) assert(all.includes(line), line)
        assert.equal(logs('-n', '3'), all.split('\n').slice(-4).join('\n'))
        const none = spawnSync(caravan, ['logs', '--state-dir', join(tmp, 'nowhere')], { encoding: 'utf8' })
        assert.equal(none.status, 66)
        assert.match(none.stderr, /cannot read the log ".*nowhere\/node\.log".*\nhint: `caravan up` writes it/)
    },
})
