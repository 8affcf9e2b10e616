// SPDX-License-Identifier: MIT
// Adapters (--lora): an answer with one is another answer, the same on one, two and three machines; a request chooses its own, beside
// requests with others; what a request with other adapters has left in the KV cache is of no use; a machine without the file fetches its
// part (that is in e2e_weights); adapters are chosen when a model is loaded while nodes run, and their scales changed later; bad files are refused.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Node, caravan, demoModel, startCluster, stopCluster, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP, tools = dirname(caravan)
const one = join(tmp, 'one.gguf'), two = join(tmp, 'two.gguf')
for (const [file, seed] of [[one, 1], [two, 2]])
    execFileSync(join(tools, 'make-lora'), ['--model', demoModel, '--out', file, '--seed', `${seed}`, '--size', '0.5'])

const PROMPT = 'The desert was quiet, and the llamas walked in a line behind the old woman who knew the way.'
async function complete(node, body = {}, headers = {}) {
    const response = await fetch(`${node.api}/v1/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ prompt: PROMPT, temperature: 0, seed: 1, max_tokens: 16, logprobs: 1, ...body }),
    })
    const answer = await response.json()
    if (response.status !== 200) return { status: response.status, error: answer.error }
    return { text: answer.choices[0].text, logprobs: answer.choices[0].logprobs.token_logprobs, cached: answer.usage.prompt_tokens_details?.cached_tokens ?? 0 }
}
const only = ({ text, logprobs }) => ({ text, logprobs })
const exact = ['--exact', '--ctx', '256', '--parallel', '5']

const seen = {}
for (const [names, placement] of [[['alone'], '8'], [['left', 'right'], '4,4'], [['first', 'second', 'third'], '3,3,2']]) {
    test(`${names.length} machines: adapters of requests, one beside another`, async (t) => {
        const nodes = await startCluster(names, { memory: '256M', first: ['--placement', placement, '--lora', `${one},${two}:0`, ...exact] })
        t.after(() => stopCluster(nodes))
        const n = nodes.at(-1)
        const listed = await (await fetch(`${n.api}/lora-adapters`)).json()
        assert.deepEqual(listed, [{ id: 0, path: 'one.gguf', scale: 1 }, { id: 1, path: 'two.gguf', scale: 0 }])
        const wishes = { usual: {}, none: { lora: [] }, other: { lora: [{ id: 1, scale: 1 }] }, both: { lora: [{ id: 0, scale: 0.5 }, { id: 1, scale: -0.25 }] } }
        const alone = {}
        for (const [name, wish] of Object.entries(wishes)) alone[name] = await complete(n, wish)
        for (const [name, answer] of Object.entries(alone)) assert.equal(answer.cached, 0, `${name} took over another's tokens`)
        const texts = new Set(Object.values(alone).map((a) => JSON.stringify(a.logprobs)))
        assert.equal(texts.size, 4)
        // the same adapters as usual, said: they share what is kept
        const said = await complete(n, { lora: [{ id: 0, scale: 1 }] })
        assert.deepEqual(only(said), only(alone.usual))
        assert.ok(said.cached > 0)
        const beside = await Promise.all(Object.values(wishes).map((wish) => complete(n, wish)))
        assert.deepEqual(beside.map(only), Object.values(alone).map(only))
        for (const [name, answer] of Object.entries(alone)) {
            seen[name] ??= only(answer)
            assert.deepEqual(only(answer), seen[name], `${name} on ${names.length} machines`)
        }
        const wrong = await complete(n, { lora: [{ id: 2, scale: 1 }] })
        assert.equal(wrong.status, 400)
        assert.match(wrong.error.message, /there is no adapter 2: the model has 2/)
        assert.equal((await complete(n, { lora: [{ id: 0 }] })).status, 400)
        assert.equal((await complete(n, { lora: 'one' })).status, 400)
    })
}

test('without adapters: the answers of "lora": [], and a request for one is refused', async (t) => {
    const nodes = await startCluster(['plain'], { memory: '256M', first: exact })
    t.after(() => stopCluster(nodes))
    assert.deepEqual(only(await complete(nodes[0])), seen.none)
    assert.deepEqual(only(await complete(nodes[0], { lora: [] })), seen.none)
    assert.equal((await complete(nodes[0], { lora: [{ id: 0, scale: 1 }] })).status, 400)
    assert.deepEqual(await (await fetch(`${nodes[0].api}/lora-adapters`)).json(), [])
})

// Adapters of a model that is loaded while the nodes run: by the command line and by the admin API. Their scales change without a load, on all nodes,
// and the response cache doesn't give an answer of other scales.
test('load --lora, and other scales later', async (t) => {
    const folder = join(tmp, 'models')
    mkdirSync(folder, { recursive: true })
    copyFileSync(demoModel, join(folder, 'demo.gguf'))
    const options = ['--memory', '256M', '--models-dir', folder, '--ctx', '256', '--parallel', '5', '--exact', '--cache', 'on']
    const nodes = [await new Node('asked', options).open()]
    nodes.push(await new Node('helper', ['--memory', '256M', '--ctx', '256', '--cache', 'on', '--peer', nodes[0].listen, '--models-dir', join(tmp, 'empty')]).open())
    t.after(() => stopCluster(nodes))
    const at = ['--api', nodes[0].api.replace('http://', ''), '--state-dir', nodes[0].dir]
    const load = (...lora) => spawnSync(caravan, ['load', 'demo', '--placement', '4,4', ...lora, ...at], { encoding: 'utf8', timeout: 120000, cwd: tmp })
    const post = (node, path, body) => fetch(`${node.api}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const listed = async (node) => (await (await fetch(`${node.api}/lora-adapters?model=demo`)).json())
    await until('both nodes', async () => (await nodes[0].status()).nodes.length === 2)

    assert.match(load('--lora', 'missing.gguf').stderr, /--lora: cannot read adapter "missing\.gguf"/)
    const refused = await post(nodes[0], '/caravan/v1/models/load', { model: 'demo', lora: 'one.gguf' })
    assert.equal(refused.status, 400)
    assert.match((await refused.json()).error.message, /whole path/)
    const loaded = load('--lora', 'one.gguf,two.gguf:0') // relative to where the command runs
    assert.equal(loaded.status, 0, loaded.stderr)
    assert.deepEqual(await listed(nodes[1]), [{ id: 0, path: 'one.gguf', scale: 1 }, { id: 1, path: 'two.gguf', scale: 0 }])
    for (const node of nodes) assert.equal(node.stages().length, 1)
    for (const node of nodes) assert.deepEqual(only(await complete(node, { model: 'demo' })), seen.usual)

    // llama-server's way: an adapter that is not in the list gets 0. All nodes hear of it.
    const pids = nodes.map((node) => node.stages()[0])
    const changed = await post(nodes[1], '/lora-adapters?model=demo', [{ id: 1, scale: 1 }])
    assert.deepEqual([changed.status, await changed.json()], [200, { success: true }])
    for (const node of nodes) await until('the new scales', async () => (await listed(node))[1].scale === 1)
    assert.deepEqual(await listed(nodes[0]), [{ id: 0, path: 'one.gguf', scale: 0 }, { id: 1, path: 'two.gguf', scale: 1 }])
    for (const node of nodes) assert.deepEqual(only(await complete(node, { model: 'demo' })), seen.other)
    assert.deepEqual(only(await complete(nodes[0], { model: 'demo', lora: [{ id: 0, scale: 1 }] })), seen.usual) // what a request says counts
    for (const [body, why] of [[{ id: 0 }, /expected an array/], [[{ id: 2, scale: 1 }], /there is no adapter 2: the model has 2/], [[{ id: 0 }], /entry 0/], [[{ id: 0, scale: 1e9 }], /scale/]]) {
        const bad = await post(nodes[0], '/lora-adapters', body)
        assert.equal(bad.status, 400)
        assert.match((await bad.json()).error.message, why)
    }
    assert.equal((await post(nodes[0], '/lora-adapters?model=other', [])).status, 404)
    // `load` changes scales, too; other files need an unload.
    assert.equal(load('--lora', `${one}:0.5,${two}:-0.25`).status, 0)
    for (const node of nodes) await until('the new scales', async () => (await listed(node))[0].scale === 0.5)
    for (const node of nodes) assert.deepEqual(only(await complete(node, { model: 'demo' })), seen.both)
    assert.match(load('--lora', two).stderr, /is loaded already, with .*one\.gguf/)
    assert.deepEqual(nodes.map((node) => node.stages()[0]), pids, 'nothing was loaded again')

    // A stage is lost: what comes instead has the scales of now.
    process.kill(pids[1], 'SIGKILL')
    await until('a new stage', () => nodes[1].stages().some((pid) => pid !== pids[1]))
    for (const node of nodes) await node.ready()
    assert.deepEqual(only(await complete(nodes[1], { model: 'demo' }, { 'cache-control': 'no-cache' })), seen.both)
})

test('verify: with adapters the slices give the bits of the whole model', () => {
    for (const split of ['4,4', '3,1,4']) {
        const out = execFileSync(caravan, ['verify', demoModel, '--lora', `${one},${two}:0.3`, '--split', split, '--tokens', '8', '--json'], { encoding: 'utf8' })
        assert.equal(JSON.parse(out).verdict, 'identical')
    }
})

test('perplexity: as much of an adapter is added as is said, whole and split', () => {
    const text = join(tmp, 'text.txt')
    writeFileSync(text, PROMPT.repeat(4))
    const of = (...args) => JSON.parse(execFileSync(caravan, ['perplexity', demoModel, text, '--ctx', '64', '--json', ...args], { encoding: 'utf8' })).perplexity
    const figures = ['', ':0.3', ':0'].map((scale) => of('--stages', '1', '--lora', `${one}${scale}`))
    assert.equal(new Set(figures).size, 3)
    assert.equal(figures[2], of('--stages', '1'))
    assert.equal(figures[1], of('--stages', '2', '--lora', `${one}:0.3`))
})

test('files that do not fit are refused, with the reason', () => {
    const other = join(tmp, 'other.gguf'), model = join(tmp, 'other-model.gguf')
    execFileSync(join(tools, 'make-model'), ['--preset', 'tiny', '--type', 'f32', '--out', model])
    execFileSync(join(tools, 'make-lora'), ['--model', model, '--out', other])
    copyFileSync(demoModel, join(tmp, 'no-adapter.gguf'))
    const longer = join(tmp, 'longer.gguf') // for a model with more layers
    writeFileSync(longer, readFileSync(one, 'latin1').replaceAll('blk.7.', 'blk.9.'), 'latin1')
    for (const [file, status, why] of [
        ['nothere.gguf', 66, /cannot read (adapter|model) "nothere\.gguf"/], [join(tmp, 'no-adapter.gguf'), 69, /is no adapter/], [other, 65, /does not fit the model's/],
        [longer, 65, /the model has no tensor "blk\.9\./],
    ]) {
        for (const command of [['verify', demoModel, '--lora', file], ['up', demoModel, '--lora', file, '--api', '127.0.0.1:0', '--listen', '127.0.0.1:0', '--state-dir', join(tmp, 'refused'), '--key-file', join(tmp, 'refused.key')]]) {
            const { status: got, stderr } = spawnSync(caravan, command, { encoding: 'utf8', timeout: 60000 })
            assert.match(stderr, why)
            assert.equal(got, status, `${command[0]} ${file}`)
        }
    }
})
