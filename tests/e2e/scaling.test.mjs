// SPDX-License-Identifier: MIT
// Copies that come and go with the load on three real nodes, and two models that take turns in a room for one of them.
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'
import { execFile, execFileSync } from 'node:child_process'

// A folder with copies of the demo model under these names.
function folder(name, ...models) {
    const dir = join(process.env.CARAVAN_TMP, name)
    mkdirSync(dir, { recursive: true })
    for (const model of models) copyFileSync(demoModel, join(dir, `${model}.gguf`))
    return dir
}
const cli = (node, ...args) => new Promise((resolve) => {
    execFile(caravan, [...args, '--api', node.api.slice(7)], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})
const list = async (node) => Object.fromEntries((await (await fetch(`${node.api}/caravan/v1/models`)).json()).models.map((m) => [m.name, m]))
const count = (text, pattern) => [...text.matchAll(pattern)].length

await run({
    async 'copies come while requests wait at any node, one by one, and leave when they are not needed'() {
        const dir = folder('m1', 'many')
        const options = ['--models-dir', dir, '--memory', '64M', '--ctx', '1024', '--parallel', '1', '--scale-up-wait', '0', '--scale-up-after', '1', '--scale-down-after', '4']
        const first = await new Node('r1', options).open()
        const nodes = [first]
        for (const name of ['r2', 'r3']) nodes.push(await new Node(name, [...options, '--peer', first.listen]).open())
        for (const node of nodes) { // a node that doesn't see who coordinates the model would load it, too
            await until(`${node.name} sees all`, async () => (await list(node)).many?.files.length === 3 &&
                (await node.status()).nodes.filter((n) => n.self || n.state === 'linked').length === 3)
        }
        assert.equal((await cli(first, 'load', 'many', '--replicas', 'auto')).code, 0)
        const log = () => nodes.map((node) => node.logText()).join('\n') // any of them may coordinate the model
        const copies = async () => (await list(first)).many.instances
        const ready = async () => (await copies()).filter((i) => i.state === 'ready').length
        assert.equal(await ready(), 1)
        let busy = true, answers = 0, most = 0
        // The clients ask the nodes that do not coordinate the model: their queues count too.
        const client = async (i) => {
            while (busy) {
                const answer = await ask(nodes[1 + i % 2].api, `Tell me the story number ${i} of ${answers}.`, { model: 'many', max_tokens: 300 })
                assert.equal(answer.error, null)
                answers++
            }
        }
        const clients = Array.from({ length: 8 }, (_, i) => client(i))
        await until('three copies', async () => {
            const all = await copies()
            most = Math.max(most, all.filter((i) => i.state !== 'ready').length)
            return all.filter((i) => i.state === 'ready').length === 3
        })
        assert(most <= 1, 'copies are loaded one at a time')
        for (const node of nodes) assert.equal(node.stages().length, 1)
        assert((await copies()).some((i) => /requests would wait/.test(i.message)), JSON.stringify(await copies()))
        assert.equal(count(log(), /"many" gets a further copy .*: requests would wait \d+\.\d s/g), 2)
        busy = false
        await Promise.all(clients)
        await until('one copy', async () => (await copies()).length === 1)
        assert.match(log(), /gets no further requests: 2 copies carry the load/)
        assert.match(log(), /gets no further requests: 1 copy carries the load/)
        assert.equal((await ask(nodes[2].api, 'Who are you?', { model: 'many', max_tokens: 20 })).error, null)
        assert.equal(await ready(), 1)
        await stopCluster(nodes)
    },

    async 'texts that become vectors bring copies, too'() {
        const dir = folder('m3')
        execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make_variant'), [demoModel, join(dir, 'mean.gguf'), 'mean'])
        const options = ['--models-dir', dir, '--memory', '64M', '--ctx', '256', '--parallel', '1', '--scale-up-wait', '0', '--scale-up-after', '1', '--scale-down-after', '600']
        const first = await new Node('v1', options).open()
        const nodes = [first, await new Node('v2', [...options, '--peer', first.listen]).open()]
        await until('both see both', async () => (await list(first)).mean?.files.length === 2)
        assert.equal((await cli(first, 'load', 'mean', '--replicas', 'auto')).code, 0)
        let busy = true
        const client = async (i) => {
            const body = JSON.stringify({ model: 'mean', input: Array.from({ length: 20 }, (_, k) => `Text ${k} of client ${i}: ${'the llamas walk in a line '.repeat(20)}`) })
            while (busy) {
                const answer = await fetch(`${nodes[i % 2].api}/v1/embeddings`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
                assert.deepEqual([answer.status, (await answer.json()).data?.length], [200, 20])
            }
        }
        const clients = Array.from({ length: 6 }, (_, i) => client(i))
        await until('two copies', async () => (await list(first)).mean.instances.filter((i) => i.state === 'ready').length === 2)
        busy = false
        await Promise.all(clients)
        await stopCluster(nodes)
    },

    // The room is that for one model, which needs 34M.
    async 'models that do not fit together take turns, and are not loaded for each request'() {
        const dir = folder('m2', 'one', 'two')
        const node = await new Node('t1', ['--models-dir', dir, '--memory', '50M', '--ctx', '256', '--parallel', '2', '--swap-wait', '60']).open()
        await until('the models are known', async () => Object.keys(await list(node)).length === 2)
        const loads = () => count(node.logText(), /"(one|two)" is ready/g)
        const client = async (model) => {
            for (let i = 0; i < 10; i++) assert.equal((await ask(node.api, `What is ${i} plus 1?`, { model, max_tokens: 10 })).error, null)
        }
        await Promise.all([client('one'), client('two')])
        assert(loads() >= 2 && loads() <= 10, `${loads()} loads for 20 requests`) // twice, but where a client is slow to ask again
        // A model that is never idle gives way after a while.
        const hasty = await new Node('t2', ['--models-dir', dir, '--memory', '50M', '--ctx', '256', '--parallel', '2', '--swap-wait', '2']).open()
        await until('the models are known', async () => Object.keys(await list(hasty)).length === 2)
        let busy = true
        const endless = async (i) => {
            for (let k = 0; busy; k++) assert.equal((await ask(hasty.api, `What is ${i} plus ${k}?`, { model: 'one', max_tokens: 40 })).error, null)
        }
        const clients = [endless(0), endless(1)]
        await until('"one" is busy', () => hasty.stages().length === 1)
        assert.equal((await ask(hasty.api, 'Who are you?', { model: 'two', max_tokens: 10 })).error, null)
        busy = false
        await Promise.all(clients)
        assert.match(hasty.logText(), /"one" is unloaded: (another model needs|others need) the room/)
        await stopCluster([node, hasty])
    },

    // The client asks a node without files: the one with the room hears from it how many requests wait.
    async 'a model is not swapped in for a client that has given up'() {
        const dir = folder('m4', 'one', 'two')
        const room = await new Node('g1', ['--models-dir', dir, '--memory', '50M', '--ctx', '256', '--parallel', '2', '--swap-wait', '600']).open()
        const gateway = await new Node('g2', ['--memory', '1M', '--peer', room.listen]).open()
        await until('the models are known', async () => Object.keys(await list(gateway)).length === 2)
        let busy = true
        const endless = async (i) => {
            for (let k = 0; busy; k++) assert.equal((await ask(room.api, `What is ${i} plus ${k}?`, { model: 'one', max_tokens: 40 })).error, null)
        }
        const clients = [endless(0), endless(1)]
        await until('"one" is busy', () => room.stages().length === 1)
        const gives = new AbortController()
        const given = fetch(`${gateway.api}/v1/chat/completions`, {
            method: 'POST', signal: gives.signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'two', messages: [{ role: 'user', content: 'Hi' }] }),
        })
        const copies = async () => (await list(gateway)).two.instances
        await until('"two" waits for room', async () => (await copies()).some((i) => /other models have the room/.test(i.message)))
        gives.abort()
        await assert.rejects(given, { name: 'AbortError' })
        await until('nobody waits for "two"', async () => (await copies()).length === 0)
        busy = false
        await Promise.all(clients)
        assert.match(room.logText(), /"two" is not loaded: no request waits for it any more/)
        assert.doesNotMatch(room.logText(), /"two" is ready|"one" is unloaded/)
        // Who asks again gets it.
        assert.equal((await ask(gateway.api, 'Who are you?', { model: 'two', max_tokens: 10 })).error, null)
        await stopCluster([room, gateway])
    },
})
