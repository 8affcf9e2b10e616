// SPDX-License-Identifier: MIT
// Measurements of nodes: links are measured, kept, shown and used for plans; a ring's pace is shown beside its prediction.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, caravan, measureAnew, run, startCluster, stopCluster, until } from './lib/cluster.mjs'

measureAnew()
const cli = (node, ...args) => execFileSync(caravan, [...args, '--api', node.api.replace('http://', '')], { encoding: 'utf8' })

await run({
    async 'links, pace and memory are measured, shown, and kept'() {
        const nodes = await startCluster(['north', 'south'], { memory: '64M', first: ['--placement', '4,4', '--ctx', '1024'] })
        for (const node of nodes)
            await until(`${node.name} has measured its link`, async () => {
                const self = (await node.status()).nodes.find((n) => n.self)
                return self.links.length === 1 && self.links[0].bytes_per_second > 0 && self.devices.length > 0
            })
        for (let i = 0; i < 2; i++) await ask(nodes[1].api, 'Why do llamas walk in a line?')
        const model = await until('the pace is known', async () => {
            const status = await nodes[1].status()
            const head = status.nodes.flatMap((n) => n.stages).find((s) => s.stage === 0 && s.tokens_per_second > 0)
            return head && status.models[0].predicted_tokens_per_second > 0 && { head, ...status.models[0] }
        })
        assert(model.head.tokens_per_second < 1e5)
        const table = cli(nodes[0], 'nodes')
        assert.match(table, /^NAME +ADDRESS +STATE +FREE +DEVICES +GB\/s +RTT +MBIT\/S +LAYERS\n/)
        assert.match(table, /\nsouth +127\.0\.0\.1:\d+ +linked +[\d.]+ \w?B +CPU +[\d.]+ +[\d.]+ \w+ +\d+ +caravan-demo 4-7\n/)
        assert.match(table, /\ncaravan-demo +ready +2 +[\d.]+ tok\/s +[\d.]+ tok\/s/)
        const plan = JSON.parse(cli(nodes[0], 'plan', 'tinyllama-1.1b:q2_k', '--json', '--ctx', '256', '--fleet', 'pi5-8'))
        assert.equal(plan.copies.length, 1)
        await stopCluster(nodes)
        const links = JSON.parse(readFileSync(join(nodes[0].dir, 'links.json'), 'utf8')).links
        assert(links.length === 1 && links[0].bytes_per_second > 0)
        const learnt = JSON.parse(readFileSync(join(nodes[0].dir, 'learnt.json'), 'utf8')).learnt
        assert(learnt.length === 2 && learnt.every((l) => l.arch === 'llama' && l.compute >= 0.5 && l.kv <= 2), JSON.stringify(learnt))
    },
    async 'a machine is measured with the threads that its stages use'() {
        for (const [name, options, words] of [['single', [], '1 thread'], ['several', ['--threads-batch', '3'], '1 and 3 threads']]) {
            const node = await new Node(name, ['--memory', '64M', '--models-dir', process.env.CARAVAN_TMP, ...options]).open()
            const { devices } = await until(`${name} is measured`, async () => (await node.status()).nodes.find((n) => n.self && n.devices.length > 0))
            assert.ok(devices[0].description.endsWith(`, ${words}`), devices[0].description)
            await stopCluster([node])
        }
    },
})
