// SPDX-License-Identifier: MIT
// Real nodes on loopback, real stages, real links: answers, the loss of a stage, of a node, of the head, of the client; orderly and disorderly ends.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Node, ask, demoModel, isAlive, measureAnew, run, sleep, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

measureAnew()
const story = { messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 200 }
const three = ['--placement', '3,2,3', '--ctx', '1024', '--parallel', '2']
const two = ['--placement', '4,4', '--ctx', '1024', '--parallel', '2']

// As long as the context holds: there has to be a middle to break it in.
const long = { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 950, ignore_eos: true }

// The answer that must be complete, although a part of the ring breaks: long enough to be in its middle when its first pieces have been read.
const tale = { ...long, max_tokens: 500 }

// The epoch of the n stages that this node sees, if all are ready, and the model too; a busy machine may have to load more than once. null: it isn't so.
const settled = (status, n) => {
    const stages = status.nodes.flatMap((node) => node.stages)
    const ready = status.models[0]?.ready && stages.length === n && stages.every((s) => s.epoch === stages[0].epoch && s.state === 'ready')
    return ready ? stages[0].epoch : null
}

async function idle(node) {
    await until('no request runs any more', async () => (await node.status()).requests === 0)
}

// An answer whose middle is broken by kill(), and how long the client saw nothing afterwards.
async function broken(api, body, what, kill) {
    let pieces = 0, at = 0, pause = 0
    const result = await streamChat(api, body, () => {
        if (++pieces === 20) {
            kill()
            at = Date.now()
        } else if (pieces > 20) {
            pause = Math.max(pause, Date.now() - at)
            at = Date.now()
        }
    })
    assert(pieces >= 20)
    if (what) console.log(`# lost: ${what}; the longest silence after it: ${pause} ms`)
    return result
}

function same(result, whole) {
    assert.equal(result.error, null)
    assert(result.done && whole.done)
    assert.equal(result.text, whole.text)
    assert.equal(result.finish, whole.finish)
}

const metric = async (node, name) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await (await fetch(`${node.api}/metrics`)).text())[1])
// How often a request to this node was sent again.
const replays = (node) => metric(node, 'caravan_replays_total')

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

    async 'a stage killed in mid-answer: the answer is whole, and the one that would have come undisturbed'() {
        const nodes = await startCluster(['k1', 'k2', 'k3'], { memory: '64M', first: three, options: ['--exact'] })
        const drawn = { ...tale, temperature: 2, top_p: 1, min_p: 0, top_k: 0, seed: 7 }
        const whole = { greedy: await streamChat(nodes[1].api, tale), drawn: await streamChat(nodes[1].api, drawn) }
        assert.notEqual(whole.drawn.text, whole.greedy.text)
        assert.notEqual(whole.drawn.text, (await streamChat(nodes[1].api, { ...drawn, seed: 8 })).text, 'the seed matters')
        let epoch = 1
        for (const [victim, kind, body] of [[2, 'greedy', tale], [1, 'drawn', drawn], [0, 'greedy', tale]]) {
            const [pid] = nodes[victim].stages()
            const result = await broken(nodes[1].api, body, `stage ${victim} of three`, () => process.kill(pid, 'SIGKILL'))
            same(result, whole[kind])
            for (const node of nodes) await until('the model is loaded again', async () => settled(await node.status(), 3) > epoch)
            epoch = settled(await nodes[1].status(), 3) ?? epoch
        }
        assert(await replays(nodes[1]) >= 3)
        await stopCluster(nodes)
    },

    async 'an answer in one piece and one under a grammar survive the same loss'() {
        const nodes = await startCluster(['g1', 'g2'], { memory: '64M', first: two, options: ['--exact'] })
        const schema = { type: 'array', items: { type: 'integer', minimum: 0, maximum: 99 }, minItems: 50, maxItems: 50 }
        const json = { messages: long.messages, max_tokens: 400, response_format: { type: 'json_schema', json_schema: { name: 'n', strict: true, schema } } }
        const whole = await streamChat(nodes[0].api, json)
        assert.equal(JSON.parse(whole.text).length, 50)
        const piece = async () => (await fetch(`${nodes[1].api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ ...tale, temperature: 0 }) })).json()
        const plain = await piece()
        const again = piece()
        const result = await broken(nodes[0].api, json, 'the second stage of two, with a grammar', () => process.kill(nodes[1].stages()[0], 'SIGKILL'))
        same(result, whole)
        const { choices, usage } = await again
        assert.equal(choices[0].message.content, plain.choices[0].message.content)
        assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [plain.usage.prompt_tokens, tale.max_tokens])
        assert(await replays(nodes[1]) >= 1, 'it was lost in its middle, too')
        await stopCluster(nodes)
    },

    async 'a machine lost in mid-answer: the answer goes on once there is another'() {
        const nodes = await startCluster(['n1', 'n2', 'n3', 'n4'], { memory: '64M', first: three, options: ['--exact'] })
        const holders = (status) => status.nodes.filter((n) => n.stages.length > 0).sort((a, b) => a.stages[0].first_layer - b.stages[0].first_layer).map((n) => n.name)
        const asked = nodes[0]
        const whole = await streamChat(asked.api, tale)
        const [, name] = holders(await asked.status())
        const middle = nodes.find((n) => n.name === name)
        assert.notEqual(middle, asked)
        const result = await broken(asked.api, tale, 'the node with the middle layers, of three and a spare one', () => middle.process.kill('SIGKILL'))
        same(result, whole)
        await until('stages die with their node', () => middle.stages().length === 0)
        const left = nodes.filter((n) => n !== middle)
        await until('the lost one is gone from what is told', async () => holders(await asked.status()).length === 3) /* later than the answer, at times */
        const last = left.find((n) => n !== asked)
        let again
        const waited = await broken(asked.api, tale, 'a node, the others being too few, until another had been started', () => {
            last.process.kill('SIGKILL')
            again = new Node('n5', ['--peer', asked.listen, '--memory', '64M', '--exact'])
        })
        same(waited, whole)
        await again.open()
        await stopCluster([...left, again])
    },

    async 'one of two copies killed in mid-answer: its answers go on in the other, those of the other never stop'() {
        const nodes = await startCluster(['d1', 'd2'], { memory: '64M', first: ['--ctx', '1024', '--parallel', '2', '--replicas', '2'], options: ['--exact'] })
        await until('both copies are ready', async () => (await nodes[0].status()).models.filter((m) => m.ready).length === 2)
        const whole = await streamChat(nodes[0].api, tale)
        const other = streamChat(nodes[0].api, tale)
        const result = await broken(nodes[0].api, tale, 'one of two copies', () => nodes[1].process.kill('SIGKILL'))
        same(result, whole)
        same(await other, whole)
        assert(await replays(nodes[0]) >= 1)
        await stopCluster([nodes[0]])
    },

    async 'nothing is left that could serve it: an error in the stream; --replay-limit 0: at once'() {
        const nodes = await startCluster(['l1', 'l2'], { memory: '64M', first: two, options: ['--replay-limit', '0'] })
        const fails = await broken(nodes[0].api, tale, '', () => process.kill(nodes[1].stages()[0], 'SIGKILL'))
        assert.notEqual(fails.error, null, 'the break shows in the stream')
        assert.match(fails.error.message, /\S/)
        assert(fails.text.length > 0 && !fails.done)
        for (const node of nodes) await until('the model is loaded again', async () => settled(await node.status(), 2) > 1)
        const ends = await broken(nodes[1].api, tale, '', () => nodes[0].process.kill('SIGKILL'))
        assert.notEqual(ends.error, null)
        assert(!ends.done)
        await until('the loss is noticed', async () => (await nodes[1].status()).nodes.length === 1)
        await stopCluster([nodes[1]])
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
            await until('one runs and one waits', async () => (await nodes[0].status()).requests === 2 || (await metric(node, 'caravan_requests_queued')) === 1) // at the head, or in the gateway
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
        await until('its stage is gone too', () => !isAlive(pids[0]))
        await stopCluster(nodes)
    },

    async 'another cluster key is refused, with the reason in the log'() {
        const [a] = await startCluster(['w1'], { memory: '64M', first: ['--ctx', '512'] })
        const b = await new Node('w2', ['--peer', a.listen, '--key-file', join(process.env.CARAVAN_TMP, 'other.key')]).open()
        await until('the refusal is logged', () => /cluster key/.test(b.logText()))
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
        await until('the plan says why', () => /cannot place model "caravan-demo": it needs/.test(node.logText()))
        const response = await fetch(`${node.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(story) })
        assert.equal(response.status, 503)
        assert(response.headers.get('retry-after'))
        const { error } = await response.json()
        assert.match(error.message, /cannot place model/)
        await stopCluster([node])
    },
})
