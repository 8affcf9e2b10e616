// SPDX-License-Identifier: MIT
// The routes file on real nodes: aliases and what they change, what follows when a model fails, the file saved under load, the command line.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Node, ask, caravan, demoModel, run, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'

const small = ['--ctx', '512']

function folder(name, ...models) {
    const dir = join(process.env.CARAVAN_TMP, name)
    mkdirSync(dir, { recursive: true })
    for (const model of models) copyFileSync(demoModel, join(dir, `${model}.gguf`))
    return dir
}

// A node with the models, of which those in `loaded` are loaded; its routes file is `routes`.
async function open(name, models, loaded, routes, ...options) {
    const dir = folder(`${name}-models`, ...models), file = join(dir, 'routes.json')
    writeFileSync(file, typeof routes === 'string' ? routes : JSON.stringify(routes))
    const node = await new Node(name, ['--models-dir', dir, '--memory', '512M', '--routes', file, ...small, ...(options.length > 0 ? options : ['--parallel', '2'])]).open()
    node.routes = file
    for (const model of models) await until(`${name} knows ${model}`, async () => (await names(node)).includes(model))
    for (const model of loaded) assert.equal((await cli(node, 'load', model)).code, 0)
    return node
}

const cli = (node, ...args) => new Promise((resolve) => {
    execFile(caravan, [...args, '--api', node.api.slice(7)], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})
const models = async (node) => (await (await fetch(`${node.api}/v1/models`)).json()).data
const names = async (node) => (await models(node)).map((m) => m.id)
async function post(node, body, headers = {}, path = '/v1/chat/completions') {
    const response = await fetch(node.api + path, {
        method: 'POST', headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ messages: [{ role: 'user', content: 'Who are you?' }], temperature: 0, max_tokens: 8, ...body }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, by: response.headers.get('x-caravan-served-by') ?? '', text, json: text.startsWith('{') ? JSON.parse(text) : null }
}
// Saves as editors do: all at once.
function save(file, text, time = undefined) {
    writeFileSync(`${file}.new`, text)
    if (time !== undefined) utimesSync(`${file}.new`, time, time)
    renameSync(`${file}.new`, file)
}

await run({
    async 'an alias is a model for every API, and changes its requests'() {
        const node = await open('r1', ['one'], ['one'], `{ // for people
            "models": {
                "short": { "targets": [{ "model": "one" }], "set": { "max_tokens": 2 }, "strip": ["stop"], },
                "pirate": { "targets": [{ "model": "one" }], "system": "You are a pirate.", "default": { "max_tokens": 3 } },
                "nowhere": { "targets": [{ "model": "missing" }] },
            },
        }`)
        const listed = Object.fromEntries((await models(node)).map((m) => [m.id, m]))
        assert.equal(listed.short.ready, true)
        assert.equal(listed.short.context_length, listed.one.context_length)
        assert.equal(listed.nowhere, undefined)
        const tags = (await (await fetch(`${node.api}/api/tags`)).json()).models, tag = (name) => tags.find((m) => m.name === `${name}:latest`)
        assert.deepEqual(tags.map((m) => m.name).sort(), ['one:latest', 'pirate:latest', 'short:latest'])
        assert.deepEqual([tag('short').digest, tag('short').details], [tag('one').digest, tag('one').details])
        const shown = await post(node, { model: 'pirate:latest' }, {}, '/api/show')
        assert.equal(shown.json.model_info['general.basename'], 'one')
        assert.equal((await (await fetch(`${node.api}/v1/models/pirate`)).json()).id, 'pirate')
        const short = await post(node, { model: 'short', max_tokens: 50, stop: ['a', 'e', 'i', 'o'] })
        assert.equal(short.status, 200, short.text)
        assert.equal(short.json.model, 'short')
        assert.equal(short.json.usage.completion_tokens, 2)
        assert.match(short.by, /^r1\/\S+; model=one$/)
        const other = await post(node, { model: 'short:latest', stream: false, options: {} }, {}, '/api/chat')
        assert.equal(other.status, 200, other.text)
        assert.equal(other.json.model, 'short')
        assert.match(other.by, /^r1\/\S+; model=one$/)
        const plain = await post(node, { model: 'one' }), pirate = await post(node, { model: 'pirate', max_tokens: undefined })
        assert.equal(pirate.json.usage.completion_tokens, 3)
        assert(pirate.json.usage.prompt_tokens > plain.json.usage.prompt_tokens, 'the system prompt is there')
        assert.match(plain.by, /^r1\/\S+; model=one$/)
        const stream = await fetch(`${node.api}/v1/messages`, {
            method: 'POST', headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ model: 'short', max_tokens: 9, stream: true, messages: [{ role: 'user', content: 'Who are you?' }] }),
        })
        assert.match(stream.headers.get('x-caravan-served-by'), /^r1\/\S+; model=one$/)
        assert.match(await stream.text(), /message_stop/)
        const missing = await post(node, { model: 'nowhere' })
        assert.equal(missing.status, 404)
        assert.match((await post(node, { model: 'unknown' })).text, /known: \\"short\\"/)
        await stopCluster([node])
    },

    async 'a target that is absent or fails gives way to the next one'() {
        const node = await open('r2', ['one', 'two', 'three'], ['two'], {
            models: {
                chain: { targets: [{ model: 'missing' }, { model: 'one' }, { model: 'two' }] },
                cold: { targets: [{ model: 'missing' }, { model: 'three' }] },
            },
        })
        const first = await post(node, { model: 'chain' }), kept = node.stages()
        assert.match(first.by, /^r2\/\S+; model=two$/, 'the one that is loaded')
        assert.equal(first.json.model, 'chain')
        assert.equal((await cli(node, 'load', 'one')).code, 0)
        assert.match((await post(node, { model: 'chain' })).by, /^r2\/\S+; model=one$/)
        // The stage of "one" is killed again and again: whatever the client asks is answered, by "two" if need be.
        const answers = []
        let asking = true
        const askers = [1, 2].map(async () => { while (asking) answers.push(await post(node, { model: 'chain', max_tokens: 30 })) })
        for (let i = 0; i < 3; i++) {
            const ready = async () => (await models(node)).find((m) => m.id === 'one').ready && node.stages().find((pid) => !kept.includes(pid))
            const pid = await until('"one" is ready', ready), done = answers.length
            process.kill(pid, 'SIGKILL')
            await until('answers come all the same', () => answers.length > done + 2)
        }
        await until('both have answered', () => answers.length > 6)
        asking = false
        await Promise.all(askers)
        answers.forEach((a) => assert.equal(a.status, 200, a.text))
        assert(answers.some((a) => a.by.endsWith('model=two')), 'the next target has answered')
        // Nothing of it is loaded: the first one that can be is.
        const cold = await post(node, { model: 'cold' })
        assert.equal(cold.status, 200, cold.text)
        assert.match(cold.by, /^r2\/\S+; model=three$/)
        await stopCluster([node])
    },

    async 'a model that is not loaded is refused with a time, where that is wished, and loaded all the same'() {
        const node = await open('r3', ['one'], [], { models: { later: { targets: [{ model: 'one' }], on_absent: 'refuse' } } })
        const refused = await post(node, { model: 'later' })
        assert.equal(refused.status, 503, refused.text)
        assert(Number(refused.headers.get('retry-after')) >= 1)
        assert.match(refused.text, /is being loaded/)
        await until('it is loaded', async () => (await post(node, { model: 'later' })).status === 200)
        assert.equal((await cli(node, 'unload', 'one')).code, 0)
        assert.equal((await post(node, { model: 'one' }, { 'x-caravan-on-absent': 'refuse' })).status, 503)
        await stopCluster([node])
    },

    async 'the file is saved under load: nothing is lost, and a broken one changes nothing'() {
        const table = (model) => JSON.stringify({ models: { name: { targets: [{ model }] } } })
        const node = await open('r4', ['one', 'two'], ['one', 'two'], table('one'))
        const answers = []
        let asking = true
        const askers = [1, 2, 3].map(async () => { while (asking) answers.push(await post(node, { model: 'name' })) })
        const by = (model) => async () => (await post(node, { model: 'name' })).by.endsWith(`; model=${model}`)
        for (const model of ['two', 'one', 'two']) {
            save(node.routes, table(model))
            await until(`the table says ${model}`, by(model))
        }
        save(node.routes, '{\n"models": {\n"name": {"targets": [{"model": 3}]}}}')
        await until('the fault is logged', () => /the routes stay as they were: ".*routes\.json": line 3: field "models\.name\.targets\[0\]\.model": expected a text/.test(node.logText()))
        assert(await by('two')())
        assert.match((await cli(node, 'routes')).stdout, /can't be used[^]*line 3/)
        // A change that leaves the file's size, inode and time as they were shows by the signal alone.
        save(node.routes, table('two'), 1e9)
        await until('it is read', async () => !/can't be used/.test((await cli(node, 'routes')).stdout))
        node.process.kill('SIGSTOP')
        writeFileSync(node.routes, table('one'))
        utimesSync(node.routes, 1e9, 1e9)
        node.process.kill('SIGCONT')
        assert(await by('two')())
        node.process.kill('SIGHUP')
        await until('the signal is heard', by('one'))
        asking = false
        await Promise.all(askers)
        assert(answers.length > 10)
        answers.forEach((a) => assert.equal(a.status, 200, a.text))
        assert.equal((await (await fetch(`${node.api}/v1/models`)).json()).data.length, 3)
        await stopCluster([node])
    },

    async 'the command line shows, checks and changes the file'() {
        const node = await open('r5', ['one', 'two'], ['one'], '{}')
        assert.match((await cli(node, 'routes')).stdout, /no aliases: .*routes\.json/)
        assert.equal((await cli(node, 'routes', 'set', 'best', 'one=3', 'two=1')).code, 0)
        const shown = await cli(node, 'routes', 'list')
        assert.match(shown.stdout, /best +one \(weight 3, ready\), then two \(weight 1, not loaded\)/)
        assert.equal((await post(node, { model: 'best' })).status, 200)
        assert.deepEqual(JSON.parse(readFileSync(node.routes, 'utf8')), { models: { best: { targets: [{ model: 'one', weight: 3 }, { model: 'two', weight: 1 }] } } })
        const slip = await cli(node, 'routes', 'set', 'slip', 'nosuch', 'one')
        assert.deepEqual([slip.code, slip.stdout], [0, 'slip: set\nnote: no node of the cluster has a model "nosuch" now; `caravan models` lists what there is\n'])
        assert.equal((await cli(node, 'routes', 'rm', 'slip')).stdout, 'slip: removed\n')
        assert.match((await cli(node, 'routes', 'set', 'best', '@acme/x')).stderr, /there is no "acme" among the "upstreams"/)
        assert.match((await cli(node, 'routes', 'set', 'best')).stderr, /a target is missing/)
        assert.match((await cli(node, 'routes', 'check', node.routes)).stdout, /fine, 1 alias$/m)
        assert.equal((await cli(node, 'routes', 'rm', 'best')).code, 0)
        assert.match((await cli(node, 'routes', 'rm', 'best')).stderr, /there is no alias "best"/)
        assert.equal((await post(node, { model: 'best' })).status, 404)
        assert.match((await cli(node, 'routes', 'check')).stderr, /the file is missing/)
        // An edit is never lost: neither one that wasn't read yet, nor one with a fault. The file keeps its mode.
        const alias = { targets: [{ model: 'one' }] }
        for (const name of ['x', 'y', 'z']) {
            save(node.routes, JSON.stringify({ models: { [name]: alias } }))
            chmodSync(node.routes, 0o644)
            assert.equal((await cli(node, 'routes', 'set', 'b', 'one')).code, 0)
            assert.deepEqual(JSON.parse(readFileSync(node.routes, 'utf8')), { models: { [name]: alias, b: alias } })
            assert.equal(statSync(node.routes).mode & 0o777, 0o644)
        }
        const before = await (await fetch(`${node.api}/caravan/v1/routes`)).json()
        assert.equal((await cli(node, 'routes', 'rm', 'b')).code, 0)
        const late = (query) => fetch(`${node.api}/caravan/v1/routes${query}`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(before.routes) })
        assert.equal((await late(`?version=${before.version}`)).status, 429)
        assert.equal((await late('')).status, 200)
        for (const command of [['set', 'b', 'two'], ['rm', 'b']]) {
            const typo = '{"models": {\n"mine": {"targets": [}}}'
            save(node.routes, typo)
            const refused = await cli(node, 'routes', ...command)
            assert.notEqual(refused.code, 0)
            assert.match(refused.stderr, /routes\.json": line 2: /)
            assert.equal(readFileSync(node.routes, 'utf8'), typo)
        }
        save(node.routes, JSON.stringify({ models: { fast: { targets: [{ model: 'fast' }] } } }))
        await until('the alias of its own name is read', async () => /only an alias is \\"fast\\" here, no model/.test((await post(node, { model: 'fast' })).text))
        writeFileSync(node.routes, '{"models": {"x": {"targets": []}}}')
        const checked = await cli(node, 'routes', 'check', node.routes)
        assert.notEqual(checked.code, 0)
        assert.match(checked.stderr, /line 1: field "models\.x\.targets"/)
        const put = await fetch(`${node.api}/caravan/v1/routes`, { method: 'PUT', headers: { 'content-type': 'text/plain' }, body: '{}' })
        assert.equal(put.status, 400)
        const wrong = await fetch(`${node.api}/caravan/v1/routes`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"models": {"x": {"targets": [{"model": 5}]}}}' })
        assert.equal(wrong.status, 400)
        assert.equal((await wrong.json()).error.param, 'models.x.targets[0].model')
        await stopCluster([node])
        for (const [name, file, why] of [['r6', node.routes, /routes\.json": line 1: field "models\.x\.targets"/], ['r10', `${node.routes}.no`, /cannot read routes file ".*\.no"/]]) {
            const broken = new Node(name, ['--routes', file])
            broken.ports.catch(() => {})
            assert.notEqual((await broken.exited).code, 0)
            assert.match(broken.logText(), why)
            assert.doesNotMatch(broken.logText(), /another server/)
        }
        const here = process.cwd()
        process.chdir(dirname(node.routes))
        const near = new Node('r12', ['--routes', basename(node.routes)]) // people who read its log may be elsewhere
        near.ports.catch(() => {})
        await near.exited
        assert(near.logText().includes(`the routes file "${process.cwd()}/${basename(node.routes)}": line 1`), near.logText())
        process.chdir(here)
    },

    async 'the file of the state folder may come, go and come back'() {
        const node = await new Node('r11', ['--models-dir', folder('r11-models', 'one'), '--memory', '512M', ...small]).open()
        const file = join(node.dir, 'routes.json'), has = async () => (await names(node)).includes('best')
        for (let i = 0; i < 2; i++) {
            save(file, JSON.stringify({ models: { best: { targets: [{ model: 'one' }] } } }))
            await until('the alias is there', has)
            rmSync(file)
            await until('the alias is gone', async () => !await has())
        }
        assert.match((await cli(node, 'routes')).stdout, /no aliases/)
        assert.match(node.logText(), /the routes file ".*routes\.json" is gone, and so are its aliases/)
        assert.equal((await cli(node, 'routes', 'set', 'best', 'one')).code, 0)
        assert(await has())
        await stopCluster([node])
    },

    async 'requests wait for their turn: the more important one first, and no more than may'() {
        const node = await open('r9', ['one'], ['one'], { models: { urgent: { targets: [{ model: 'one' }], priority: 5 } } }, '--parallel', '1', '--queue', '2', '--ctx', '4096')
        const order = []
        const waiting = async (n) => /^caravan_requests_queued (\d+)$/m.exec(await (await fetch(`${node.api}/metrics`)).text())[1] === String(n)
        const send = async (name, body, headers) => {
            const answer = await post(node, { model: 'one', ...body }, headers)
            order.push(name)
            return answer
        }
        assert.equal((await send('first', { max_tokens: 20, ignore_eos: true })).status, 200) // its pace is known then
        const running = new AbortController()
        const long = streamChat(node.api, { model: 'one', messages: [{ role: 'user', content: 'Count.' }], max_tokens: 4000, ignore_eos: true }, () => {}, running.signal).catch(() => {})
        await until('it runs', async () => (await node.status()).models.length > 0 && /^caravan_requests_running 1$/m.test(await (await fetch(`${node.api}/metrics`)).text()))
        const usual = send('usual', {})
        await until('one waits', () => waiting(1))
        const urgent = send('urgent', { model: 'urgent' })
        await until('two wait', () => waiting(2))
        const refused = await post(node, { model: 'one' })
        assert.equal(refused.status, 429, refused.text)
        assert(Number(refused.headers.get('retry-after')) >= 1)
        assert.match(refused.text, /1 requests run and 2 wait already/)
        running.abort()
        for (const answer of await Promise.all([usual, urgent])) assert.equal(answer.status, 200, answer.text)
        await long
        assert.deepEqual(order, ['first', 'urgent', 'usual'])
        await stopCluster([node])
    },

    async 'the node that computes is named, whichever node is asked'() {
        const nodes = await startCluster(['r7', 'r8'], { memory: '64M', options: small, first: ['--placement', '8'] })
        for (const node of nodes) {
            const answer = await post(node, {})
            assert.equal(answer.status, 200, answer.text)
            assert.match(answer.by, /^r7\//)
        }
        await stopCluster(nodes)
    },
})
