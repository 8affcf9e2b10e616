// SPDX-License-Identifier: MIT
// What the plan gives a stage is what it may take: the stages of a node with --memory stay within it while they answer, whole and in slices.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { Node, ask, run, startCluster, stopCluster, until } from './lib/cluster.mjs'

const model = join(process.env.CARAVAN_TMP, 'm.gguf')
const MB = 2 ** 20
const options = ['--ctx', '2048', '--parallel', '4']

// The proportional set size (pages that processes share count in parts), in bytes.
const memoryOf = (pid) => 1024 * Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1])

// What the whole model needs on this processor, in MB, as the plan says when there is too little.
async function needed() {
    const node = await new Node('asks', [model, '--memory', '1M', ...options]).open()
    const [, need] = await until('the plan says what it needs', () => /it needs ([\d.]+) MB/.exec(node.logText()))
    await stopCluster([node])
    return Math.ceil(Number(need))
}

// Nodes that offer so many MB each carry the model, and answer more long prompts than they have slots, so that sequences are parked, too.
async function within(names, memory, prompts) {
    const nodes = await startCluster(names, { memory: `${memory}M`, model, first: options })
    const texts = Array.from({ length: prompts }, (_, i) => `${i} llamas `.repeat(80))
    await Promise.all(texts.map((text) => ask(nodes[0].api, text, { max_tokens: 4, ignore_eos: true })))
    for (const node of nodes) {
        const [pid] = node.stages()
        const took = memoryOf(pid)
        console.log(`# ${node.name}: offers ${memory} MB, its stage has ${(took / MB).toFixed(1)} MB`)
        assert(took <= memory * MB, `${node.name} offers ${memory} MB, and its stage has ${took / MB} MB`)
    }
    await stopCluster(nodes)
}

execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-model'), ['--preset', '300m', '--layers', '4', '--type', 'q8_0', '--out', model])
await run({
    async 'a whole model on a node that offers little more than it needs'() {
        await within(['whole'], (await needed()) + 6, 20)
    },
    'slices on two nodes that offer little more than their halves'() {
        return within(['first', 'second'], 122, 6)
    },
    async '--memory that no machine has is said, and what is free is offered'() {
        const node = await new Node('boasts', ['--memory', '999999G', '--models-dir', join(process.env.CARAVAN_TMP, 'none')]).open()
        const { memory } = (await node.status()).nodes[0]
        assert(memory > 0 && memory < totalmem(), `${memory} of ${totalmem()}`)
        assert.match(node.logText(), /--memory 977 TB is more than the .* that this machine or its container has/)
        await stopCluster([node])
        const few = await new Node('few', ['--memory', '24', '--models-dir', join(process.env.CARAVAN_TMP, 'none')]).open()
        assert.match(few.logText(), /--memory 24 offers 24 bytes; sizes are written as 24G/)
        await stopCluster([few])
    },
})
