// SPDX-License-Identifier: MIT
// One round after another (rounds.test.sh): a model is loaded by hand with settings that no node has by default; while answers are streamed, one
// of the faults below happens. Each answer must be byte for byte that of an undisturbed run; when the fault is over, every node must show one
// copy of the model with the settings that were asked for; and no node may be called gone that was not touched.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { caravan, childrenOf, commandOf, demoModel, isAlive, sleep, streamChat, until } from './cluster.mjs'

const tmp = process.env.CARAVAN_TMP, ns = process.env.CARAVAN_HOSTS, subnet = process.env.CARAVAN_SUBNET
const seed = Number(process.env.CARAVAN_SEED ?? 1), rounds = Number(process.env.CARAVAN_ROUNDS ?? 7)
const hosts = ['a', 'b', 'c', 'g']
const names = { withFile: ['a', 'b', 'c'], gateway: 'g' }
const own = { a: 700, b: 800, c: 900, g: 1000 } // the context of each node's own

// Numbers from the seed (mulberry32).
let state = seed >>> 0
const random = (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % below
}
const one = (list) => list[random(list.length)]

// ---- nodes ----

const models = join(tmp, 'models'), empty = join(tmp, 'empty'), keys = join(tmp, 'keys')
const nodes = {}
const inHost = (host, ...args) => spawnSync('ip', ['netns', 'exec', `${ns}-${host}`, ...args])
const address = (host) => `${subnet}.${hosts.indexOf(host) + 1}`
const key = 'sk-of-this-test', headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
const fetchOf = (host, path, init = {}) =>
    fetch(`http://${address(host)}:8080${path}`, { ...init, headers })
const json = async (host, path) => (await fetchOf(host, path)).json()
const logText = (host) => readFileSync(join(tmp, `${host}.log`), 'utf8')

function start(host) {
    const log = openSync(join(tmp, `${host}.log`), 'a')
    const options = ['--name', host, '--threads', '1', '--memory', '64M', '--exact', '--ctx', own[host], '--state-dir', join(tmp, `state-${host}`),
        '--models-dir', host === names.gateway ? empty : models, '--key-file', join(tmp, 'key'), '--api', `${address(host)}:8080`,
        '--api-key-file', keys, '--log-level', 'debug', '--replay-limit', '120',
        ...hosts.filter((h) => h !== host).flatMap((h) => ['--peer', address(h)])]
    const child = spawn('ip', ['netns', 'exec', `${ns}-${host}`, caravan, 'up', ...options.map(String)], { stdio: ['ignore', log, log] })
    const exited = new Promise((resolve) => child.on('exit', resolve))
    nodes[host] = { child, exited, stages: () => childrenOf(child.pid).filter((pid) => commandOf(pid) === 'stage') }
}
process.on('exit', () => Object.values(nodes).forEach((n) => n.child.exitCode === null && n.child.signalCode === null && n.child.kill('SIGKILL')))

async function kill(host) {
    nodes[host].child.kill('SIGKILL')
    await nodes[host].exited
}
const seen = async (host) => {
    try {
        return await json(host, '/caravan/v1/status')
    } catch {
        return null // it is not there yet
    }
}
const allLinked = () => until('all nodes see each other', async () => {
    for (const h of hosts) if ((await seen(h))?.nodes.filter((n) => n.state !== 'suspect').length !== hosts.length) return false
    return true
})
const instances = async (host) => (await json(host, '/caravan/v1/models')).models.flatMap((m) => m.instances)
const coordinator = async () => (await instances(names.gateway))[0]?.coordinator

// ---- links ----

const route = (host, verb, to) => inHost(host, 'ip', 'route', verb, 'blackhole', `${address(to)}/32`)
function cut(from, to) {
    route(from, 'add', to)
    return () => route(from, 'del', to)
}
const isolate = (host) => {
    const back = hosts.filter((h) => h !== host).flatMap((h) => [cut(host, h), cut(h, host)])
    return () => back.forEach((f) => f())
}

// ---- faults; each returns the nodes that may be called gone for it ----

const pause = () => sleep(500 + random(7000))
const until_gone = (pid) => until('it has ended', () => !isAlive(pid))

async function restart(host) {
    await pause()
    start(host)
}
async function taken(from) {
    return until('another node coordinates it', async () => {
        const now = await coordinator()
        return now && now !== from && now
    })
}
const holders = () => hosts.filter((h) => nodes[h].stages().length > 0)

const faults = {
    async 'a stage is killed'() {
        process.kill(one(nodes[one(holders())].stages()), 'SIGKILL')
        return []
    },
    async 'a stage stands still'() {
        const pid = one(nodes[one(holders())].stages())
        process.kill(pid, 'SIGSTOP')
        if (random(2)) {
            await sleep(3000)
            process.kill(pid, 'SIGCONT')
        } else await until_gone(pid)
        return []
    },
    async 'a node is killed'() {
        const host = one(names.withFile)
        await kill(host)
        await restart(host)
        return [host]
    },
    async 'the coordinator is killed'() {
        const host = await coordinator()
        await kill(host)
        await taken(host)
        await restart(host)
        return [host]
    },
    async 'the coordinator is killed while it loads'() {
        const host = await coordinator()
        process.kill(one(nodes[one(holders().filter((h) => h !== host)) ?? host].stages()), 'SIGKILL')
        await until('it loads', async () => (await instances(host))[0]?.state !== 'ready').catch(() => {})
        await kill(host)
        await restart(host)
        return [host]
    },
    async 'two coordinators in a row are killed'() {
        const first = await coordinator()
        await kill(first)
        const second = await taken(first)
        await sleep(random(1000))
        await kill(second)
        await restart(second)
        await restart(first)
        return [first, second]
    },
    async 'a node stands still'() {
        const host = one(names.withFile), pid = nodes[host].child.pid
        process.kill(pid, 'SIGSTOP')
        await pause()
        process.kill(pid, 'SIGCONT')
        return hosts // to this node all others are silent, too
    },
    async 'one direction of one link is cut'() {
        const from = one(hosts), to = one(hosts.filter((h) => h !== from))
        const heal = cut(from, to)
        await sleep(5000 + random(15000))
        heal()
        return [] // others hear both
    },
    async 'one link is cut'() {
        const from = one(hosts), to = one(hosts.filter((h) => h !== from))
        const heals = [cut(from, to), cut(to, from)]
        await sleep(5000 + random(15000))
        heals.forEach((f) => f())
        return []
    },
    async 'the coordinator is heard by one other node only'() {
        const host = await coordinator(), still = one(names.withFile.filter((h) => h !== host))
        const heals = hosts.filter((h) => h !== host && h !== still).flatMap((h) => [cut(host, h), cut(h, host)])
        await sleep(12000 + random(8000))
        heals.forEach((f) => f())
        return []
    },
    async 'a node is cut off'() {
        const heal = isolate(one(names.withFile))
        await sleep(5000 + random(10000))
        heal()
        return hosts
    },
    async 'the gateway is cut off'() {
        const heal = isolate(names.gateway)
        await sleep(5000 + random(10000))
        heal()
        return hosts
    },
}

// ---- rounds ----

const tales = [['Count to 100', 240], ['Who are you?', 180], ['Tell me of the sea', 200], ['Count down from 50', 220]]
const stream = ([text, max], on) =>
    streamChat(`http://${address(names.gateway)}:8080`, { model: 'caravan-demo', messages: [{ role: 'user', content: text }], max_tokens: max, ignore_eos: true }, on, undefined, headers)
const whole = {}

async function wholeOf(tale) {
    const r = await stream(tale)
    assert.equal(r.error, null)
    assert(r.done)
    return r.text
}

async function post(what, body) {
    const r = await fetchOf(one(hosts), `/caravan/v1/models/${what}`, { method: 'POST', body: JSON.stringify({ model: 'caravan-demo', ...body }) })
    assert.equal(r.status, 200, `${what}: ${await r.clone().text()}`)
}

const asIs = (list) => list.map((i) => [i.context, i.parallel, i.n_stage, i.state])

async function settled(wish) {
    const want = [[wish.ctx, wish.parallel, wish.stages, 'ready']]
    for (const h of hosts) {
        let last
        await until(`${h} shows one copy as it was asked for`, async () => {
            last = asIs(await instances(h))
            return JSON.stringify(last) === JSON.stringify(want)
        }).catch((e) => { throw new Error(`${e.message}: ${JSON.stringify(last)}, asked for: ${JSON.stringify(want)}`) })
    }
}

// The other nodes that this one has called gone since its log was `from` long.
const calledGone = (host, from) => [...logText(host).slice(from).matchAll(/node +(\S+) is gone: no node hears it/g)].map((m) => m[1])

async function round(number, name, fault) {
    const placement = one(['3,2,3', '4,4', '8'])
    const wish = { ctx: 520 + random(100), parallel: 2 + random(2), placement }
    await post('load', wish)
    const stages = placement.split(',').length
    await settled({ ...wish, stages })
    const marks = Object.fromEntries(hosts.map((h) => [h, logText(h).length]))
    let begun
    const begins = new Promise((resolve) => { begun = resolve })
    const after = 5 + random(40)
    let pieces = 0
    const streams = [0, 1, 2].map((i) => tales[(number + i) % tales.length]).map((tale) => stream(tale, () => { if (++pieces === after) begun() }))
    await begins
    const began = Date.now()
    const may = await fault()
    const results = await Promise.all(streams)
    const took = Date.now() - began
    results.forEach((r, i) => {
        const tale = tales[(number + i) % tales.length]
        assert.equal(r.error, null, `${tale[0]}: ${JSON.stringify(r.error)}`)
        assert(r.done)
        assert.equal(r.text, whole[tale[0]], tale[0])
    })
    await allLinked()
    await settled({ ...wish, stages })
    for (const h of hosts.filter((x) => !may.includes(x)))
        for (const other of calledGone(h, marks[h])) assert(may.includes(other), `${h} called ${other} gone, which was not touched`)
    await post('unload', {})
    for (const h of hosts) await until(`${h}: it is unloaded`, async () => (await instances(h)).length === 0)
    console.log(`ok - round ${number} (${name}; ${placement}, context ${wish.ctx}): answers whole after ${took} ms`)
}

mkdirSync(models)
mkdirSync(empty)
copyFileSync(demoModel, join(models, 'caravan-demo.gguf'))
writeFileSync(keys, `${key} admin\n`, { mode: 0o600 })
console.log(`# seed ${seed}, ${rounds} rounds`)
start('a')
await until('there is a key', () => { try { return readFileSync(join(tmp, 'key')).length > 0 } catch { return false } })
for (const h of hosts.slice(1)) start(h)
await allLinked()
await post('load', { ctx: 512, parallel: 2, placement: '8' })
await settled({ ctx: 512, parallel: 2, stages: 1 })
for (const tale of tales) whole[tale[0]] = await wholeOf(tale)
await post('unload', {})
for (const h of hosts) await until(`${h}: it is unloaded`, async () => (await instances(h)).length === 0)

let failed = 0, bag = []
for (let n = 1; n <= rounds; n++) {
    if (bag.length === 0) bag = Object.keys(faults) // each kind once before any comes again
    const [name] = bag.splice(random(bag.length), 1)
    if (process.env.CARAVAN_TEST && !name.includes(process.env.CARAVAN_TEST)) continue
    console.log(`# round ${n}: ${name}`)
    try {
        await round(n, name, faults[name])
    } catch (error) {
        console.log(`not ok - round ${n} (${name}), seed ${seed}: ${error.stack}`)
        failed++
        break
    }
}
for (const h of hosts) nodes[h].child.kill('SIGTERM')
await Promise.all(hosts.map((h) => nodes[h].exited))
process.exit(failed ? 1 : 0)
