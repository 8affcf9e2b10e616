// SPDX-License-Identifier: MIT
// Many models on real nodes: loaded by name, on demand, unloaded, deleted, making room for each other, whichever node is asked.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, caravan, childrenOf, demoModel, isAlive, run, sleep, stopCluster, streamChat, until } from './lib/cluster.mjs'

const small = ['--ctx', '256', '--parallel', '2']

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
const state = async (node, name) => (await list(node))[name]?.state
const known = (node, name, state_ = 'not loaded') => until(`${node.name} knows ${name}`, async () => (await state(node, name)) === state_)
const memory = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024
// Memory of a node and its children, without that of files: pages of libraries count less while other programs use them.
function tree(node) {
    let sum = 0
    for (const pid of [node.process.pid, ...childrenOf(node.process.pid)])
        sum += Number(/^Pss_Anon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024
    return sum
}

await run({
    async 'models are listed, loaded by name, asked, unloaded with all their memory, and deleted'() {
        const dir = folder('m1', 'one', 'two')
        const node = await new Node('m1', ['--models-dir', dir, '--memory', '512M', '--no-load-on-demand', ...small]).open()
        await known(node, 'one')
        const { one } = await list(node)
        assert.equal(one.architecture, 'llama')
        assert.equal(one.layers, 8)
        assert(one.bytes > 1e6 && one.parameters > 1e6 && one.quantisation !== '')
        const refused = await ask(node.api, 'Who are you?', { model: 'one' })
        assert.equal(refused.status, 503)
        const loaded = await cli(node, 'load', 'one')
        assert.equal(loaded.code, 0, loaded.stderr)
        assert.match(loaded.stdout, /^one: ready/)
        assert.equal((await cli(node, 'load', 'two')).code, 0)
        assert.match((await ask(node.api, 'Who are you?', { model: 'one' })).text, /Caravan/)
        assert.match((await ask(node.api, 'Who are you?', { model: 'two' })).text, /Caravan/)
        assert.match((await cli(node, 'models')).stdout, /one .*ready.* on m1/)
        assert.match((await cli(node, 'rm', 'one', '--yes')).stderr, /is loaded; unload it first/)
        assert.match((await cli(node, 'rm', 'one')).stderr, /is loaded\nhint: unload it first/)
        // Kept sequences may use the offered memory that stages don't need: each stage gets the same share, less with each further stage.
        const rooms = () => [...node.logText().matchAll(/parked sequences may take (\d+) bytes/g)].map((m) => Number(m[1]))
        const taken = (await node.status()).nodes[0].stages.reduce((sum, s) => sum + s.bytes, 0)
        assert(2 * rooms().at(-1) + taken <= 512 * 2 ** 20 && rooms()[0] > 2 * rooms().at(-1), `${rooms()} beside ${taken}`)
        assert(rooms().at(-1) > 100 * 2 ** 20, `${rooms()}`)
        const pids = node.stages()
        assert.equal(pids.length, 2)
        pids.forEach((pid) => assert(memory(pid) > one.bytes / 2))
        for (const name of ['one', 'two']) assert.equal((await cli(node, 'unload', name)).code, 0)
        await until('the stages are gone', () => node.stages().length === 0 && !pids.some(isAlive))
        await until('all that it offers is free again', async () => (await node.status()).nodes[0].stages.length === 0)
        assert.match((await cli(node, 'unload', 'one')).stderr, /not loaded/)
        assert.match((await cli(node, 'rm', 'one')).stderr, /needs a yes/)
        assert.equal((await cli(node, 'rm', 'one', '--yes')).code, 0)
        assert(!existsSync(join(dir, 'one.gguf')))
        assert.equal(await state(node, 'one'), undefined)
        copyFileSync(demoModel, join(dir, 'three.gguf'))
        await known(node, 'three')
        assert.match((await cli(node, 'load', 'four')).stderr, /no file of a model "four"[^]*caravan pull/)
        await stopCluster([node])
    },

    async 'keep_alive 0 unloads what was loaded by hand, for those who may unload it'() {
        const open = await new Node('k1', [demoModel, '--no-load-on-demand', ...small]).open()
        await open.ready()
        const nothing = async (node, key) => (await (await fetch(`${node.api}/api/generate`, { method: 'POST', headers: key ? { authorization: `Bearer ${key}` } : {}, body: '{"model":"caravan-demo","keep_alive":0}' })).json()).done_reason
        assert.equal(await nothing(open), 'unload')
        await until('it is unloaded', async () => open.stages().length === 0)
        await stopCluster([open])
        const keys = await new Node('k2', [demoModel, '--api-key', 'guest', '--api-key', 'owner admin', '--no-load-on-demand', ...small]).open()
        const loaded = async () => (await (await fetch(`${keys.api}/caravan/v1/models`, { headers: { authorization: 'Bearer guest' } })).json()).models[0].state
        await until('it is ready', async () => await loaded() === 'ready')
        const answer = await fetch(`${keys.api}/api/chat`, { method: 'POST', headers: { authorization: 'Bearer guest' }, body: '{"model":"caravan-demo","keep_alive":0,"stream":false,"options":{"num_predict":4},"messages":[{"role":"user","content":"Hi"}]}' })
        assert.equal((await answer.json()).done, true)
        assert.equal(await nothing(keys, 'guest'), 'load')
        assert.match(keys.logText(), /keep_alive 0 leaves "caravan-demo" loaded: it was loaded by hand, and this client may not unload models/)
        assert.equal(await loaded(), 'ready')
        assert.equal(await nothing(keys, 'owner'), 'unload')
        await until('it is unloaded', async () => keys.stages().length === 0)
        await stopCluster([keys])
    },

    async 'loading and unloading again and again leaves no file open'() {
        const node = await new Node('m5', ['--models-dir', folder('m5', 'one'), '--no-load-on-demand', ...small]).open()
        await known(node, 'one')
        const open = () => readdirSync(`/proc/${node.process.pid}/fd`).length
        const before = open()
        for (let i = 0; i < 4; i++) {
            for (const verb of ['load', 'unload']) assert.equal((await cli(node, verb, 'one')).code, 0)
            await until('the stage is gone', () => node.stages().length === 0)
        }
        await until('as many files are open as before', () => open() <= before)
        await stopCluster([node])
    },

    async 'what a loaded model takes is given back: the children are gone, and the node is as large as before'() {
        const node = await new Node('u1', ['--models-dir', folder('u1', 'one'), '--memory', '512M', '--ctx', '4096', '--parallel', '8']).open()
        await known(node, 'one')
        const cycle = async () => {
            assert.equal((await cli(node, 'load', 'one')).code, 0)
            assert.equal((await ask(node.api, 'Tell me a story.', { model: 'one', max_tokens: 60 })).error, null)
            const most = tree(node)
            const pids = node.stages()
            assert.equal((await cli(node, 'unload', 'one')).code, 0)
            await until('the stage is gone', () => node.stages().length === 0 && !pids.some(isAlive))
            await until('nothing is held', async () => (await node.status()).nodes[0].stages.length === 0)
            return most
        }
        await cycle() /* memory that a node takes once, at its first model, and keeps */
        await until('the node has no child, not even the one that measures', () => childrenOf(node.process.pid).length === 0)
        const before = tree(node), loaded = await cycle(), after = tree(node)
        const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`
        console.log(`# memory of the node and its children: ${mb(before)}; loaded ${mb(loaded)}; unloaded ${mb(after)}`)
        assert(loaded > before + 30e6)
        const slack = process.env.CARAVAN_SANITIZE ? 20e6 : 0 /* a sanitizer keeps freed memory for a while */
        assert(after < before + 3e6 + slack)
        await stopCluster([node])
    },

    async 'a model that is asked for is loaded, and the one that was idle for longest makes room; a busy one does not'() {
        const dir = folder('m2', 'a', 'b', 'c')
        /* A model needs 34M: there is room for two, and no more. */
        const room = await new Node('m2', ['--models-dir', dir, '--memory', '84M', '--batch', '64', ...small]).open()
        for (const name of ['a', 'b', 'c']) await known(room, name)
        const who = (model) => ask(room.api, 'Who are you?', { model })
        assert.match((await who('a')).text, /Caravan/)
        assert.match((await who('b')).text, /Caravan/)
        assert.equal(room.stages().length, 2, 'there is room for two')
        assert.match((await who('a')).text, /Caravan/)
        assert.match((await who('c')).text, /Caravan/)
        assert.deepEqual([await state(room, 'a'), await state(room, 'b'), await state(room, 'c')], ['ready', 'not loaded', 'ready'])
        let late
        const long = (model) => streamChat(room.api, { model, messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 200, ignore_eos: true },
            () => { late ??= who('b') })
        const busy = await Promise.all([long('a'), long('c')])
        for (const answer of busy) {
            assert.equal(answer.error, null, 'nothing that runs is unloaded')
            assert(answer.done)
        }
        assert.match((await late).text, /Caravan/)
        assert.equal(room.stages().length, 2)
        assert.match((await ask(room.api, 'Hi', { model: 'd' })).error.message, /there is no "d" here/)
        await stopCluster([room])
    },

    async 'a model makes room for the model of another coordinator once it is idle'() {
        const only = ['--memory', '1M', '--batch', '64', ...small]
        const left = await new Node('e1', ['--models-dir', folder('e1', 'left'), ...only]).open()
        /* Room for one, and no more. */
        const room = await new Node('e2', ['--memory', '50M', '--batch', '64', '--peer', left.listen, ...small]).open()
        const right = await new Node('e3', ['--models-dir', folder('e3', 'right'), '--peer', left.listen, '--peer', room.listen, ...only]).open()
        for (const node of [left, room, right]) for (const name of ['left', 'right']) await known(node, name)
        const who = (node, model) => ask(node.api, 'Who are you?', { model })
        assert.match((await who(left, 'left')).text, /Caravan/)
        assert.equal((await list(right)).left.instances[0].coordinator, 'e1')
        assert.match((await who(right, 'right')).text, /Caravan/)
        assert.equal((await list(left)).right.instances[0].coordinator, 'e3')
        assert.deepEqual([await state(room, 'left'), await state(room, 'right')], ['not loaded', 'ready'])
        assert.match((await who(right, 'left')).text, /Caravan/, 'and the other way round')
        assert.equal(room.stages().length, 1)
        await stopCluster([left, room, right])
    },

    async 'whichever node is asked: one instance, of the node that has the file; its loss is made good by another that has it'() {
        const dir = folder('m3', 'shared')
        const first = await new Node('p1', ['--models-dir', dir, '--memory', '64M', ...small]).open()
        const other = ['--memory', '64M', '--peer', first.listen, ...small]
        const second = await new Node('p2', ['--models-dir', dir, ...other]).open()
        const third = await new Node('p3', ['--models-dir', folder('none'), ...other]).open()
        for (const node of [first, second, third]) await until('all see all', async () => (await list(node)).shared?.files.length === 2)
        const answers = await Promise.all([first, second, third, third].map((node) => ask(node.api, 'Who are you?', { model: 'shared' })))
        answers.forEach((a) => assert.match(a.text, /Caravan/))
        assert.equal((await list(third)).shared.instances.length, 1, 'two nodes that are asked at once do not load it twice')
        assert.equal((await cli(third, 'load', 'shared')).code, 0)
        const { coordinator } = (await list(third)).shared.instances[0]
        const [holder, spare] = coordinator === 'p1' ? [first, second] : [second, first]
        await until('it is known that somebody wants it', async () => (await list(spare)).shared.instances.length === 1)
        await holder.stop('SIGKILL')
        await until('the other one has taken it over', async () => (await list(third)).shared.instances[0]?.coordinator === spare.name)
        assert.match((await ask(third.api, 'Who are you?', { model: 'shared' })).text, /Caravan/)
        assert.equal((await cli(third, 'unload', 'shared')).code, 0)
        await until('its stage is gone', () => spare.stages().length + third.stages().length === 0)
        await stopCluster([spare, third])
    },

    async 'keep_alive: a model is unloaded when it has been idle for as long as the client says, whichever node it asks; what was loaded by hand stays, if a web page asks without a key'() {
        const first = await new Node('k1', ['--models-dir', folder('k1', 'one', 'two'), '--memory', '64M', ...small]).open()
        const other = await new Node('k2', ['--memory', '64M', '--peer', first.listen, ...small]).open()
        for (const node of [first, other]) await known(node, 'one')
        const post = async (body) => {
            const r = await fetch(`${other.api}/api/generate`, { method: 'POST', headers: { origin: 'http://localhost:3000' }, body: JSON.stringify({ stream: false, options: { num_predict: 8 }, ...body }) })
            assert.equal(r.status, 200)
            return r.json()
        }
        const left = async (name) => {
            const { models } = await (await fetch(`${other.api}/api/ps`)).json()
            return (new Date(models.find((m) => m.name === `${name}:latest`).expires_at) - Date.now()) / 1000
        }
        const gone = (name) => until(`${name} is unloaded`, async () => (await state(other, name)) === 'not loaded' && (await state(first, name)) === 'not loaded')
        assert.equal((await post({ model: 'one', prompt: 'Who are you?', keep_alive: '1h' })).done, true)
        await until('it is known how long it stays', async () => (await left('one')) < 3601)
        assert(await left('one') > 3500)
        assert.equal((await post({ model: 'one', prompt: 'Who are you?', keep_alive: -1 })).done, true)
        await until('it stays', async () => (await left('one')) > 1e9)
        assert.equal((await post({ model: 'one', prompt: 'Who are you?', keep_alive: 0 })).done, true)
        await gone('one')
        assert.equal((await post({ model: 'one', prompt: '', keep_alive: '1s' })).done_reason, 'load')
        await gone('one')
        assert.equal((await post({ model: 'one', prompt: '', keep_alive: 0 })).done_reason, 'unload')
        assert.equal(await state(first, 'one'), 'not loaded', 'it is not loaded to be unloaded')
        await until('no stage is left', () => first.stages().length + other.stages().length === 0)
        assert.equal((await cli(first, 'load', 'two')).code, 0)
        await until('the other one can ask it', async () => (await state(other, 'two')) === 'ready')
        assert.equal((await post({ model: 'two', prompt: 'Who are you?', keep_alive: 0 })).done, true)
        assert.equal((await post({ model: 'one', prompt: 'Who are you?', keep_alive: 0 })).done, true)
        await gone('one') /* in the time that this took, the other one would have gone as well */
        assert.equal(await state(first, 'two'), 'ready')
        assert(await left('two') > 1e9)
        await stopCluster([first, other])
    },

    async 'a model whose first layers are not with its coordinator is unloaded: its answer ends, however late that is heard there, and does not load it again'() {
        const long = ['--ctx', '4096', '--parallel', '1'] /* the answer must not come to its end before the model is unloaded, however slow that is */
        const first = await new Node('h1', ['--models-dir', folder('h1', 'far'), '--memory', '1M', ...long]).open()
        const nodes = [first]
        for (const name of ['h2', 'h3']) nodes.push(await new Node(name, ['--memory', '43M', '--peer', first.listen, ...long]).open())
        for (const node of nodes) await known(node, 'far')
        await until('all see all', async () => (await first.status()).nodes.length === 3)
        assert.equal((await cli(first, 'load', 'far', '--placement', 'memory')).code, 0)
        const placed = async () => (await first.status()).nodes.flatMap((n) => n.stages.map((s) => ({ node: nodes.find((k) => k.name === n.name), first: s.first_layer })))
        await until('it is known where its layers are', async () => (await placed()).length === 2)
        const stages = await placed()
        const head = stages.find((s) => s.first === 0).node, tail = stages.find((s) => s.first > 0).node
        assert(head !== first && tail !== first && head !== tail)
        let unloaded
        const answer = await streamChat(first.api, { model: 'far', messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 4000, ignore_eos: true }, async () => {
            if (unloaded) return
            head.process.kill('SIGSTOP')
            unloaded = await cli(first, 'unload', 'far')
            const end = Date.now() + 500 /* looking takes long where many processes run, and the head must not be away for two seconds */
            while (Date.now() < end && tail.stages().length > 0) await sleep(25) /* it must not be gone before the head's node knows */
            head.process.kill('SIGCONT')
        })
        assert.equal(unloaded.code, 0, unloaded.stderr)
        assert.match(answer.error?.message ?? 'the answer went on', /unloaded/)
        await until('all stages are gone', () => head.stages().length + tail.stages().length === 0)
        assert.equal(await state(first, 'far'), 'not loaded')
        await stopCluster(nodes)
    },

})
