// SPDX-License-Identifier: MIT
// Starts and ends real nodes on loopback for end-to-end tests, and asks them things over HTTP. Every process is ended by its id; a node's log is
// in its folder.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, readdirSync, readlinkSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const tmp = process.env.CARAVAN_TMP
export const caravan = process.env.CARAVAN
export const demoModel = join(process.env.CARAVAN_SOURCE, 'models/caravan-demo.gguf')

// The environment of a command that is to find no node: none of this machine either, which may run at the usual port.
export function alone() {
    const config = join(tmp, 'alone')
    mkdirSync(join(config, 'caravan'), { recursive: true })
    writeFileSync(join(config, 'caravan/config'), 'api = 127.0.0.1:1\n')
    return { XDG_CONFIG_HOME: config }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// Until check() gives something true, which is returned. The limit is there to end a test that hangs, on the slowest of machines.
export async function until(what, check, seconds = 120) {
    const end = Date.now() + seconds * 1000
    for (;;) {
        const value = await check()
        if (value) return value
        if (Date.now() > end) throw new Error(`gave up waiting: ${what}`)
        await sleep(25)
    }
}

// Each new node would measure its machine: over a second of processor time, and 32 MB to the disk and back. The nodes of tests begin as a node
// does that is started again: with the figures of an earlier measurement, one for all tests (in the build folder). If they are of other hardware,
// the node measures. The tests that call measureAnew() have nodes that know nothing of their machine yet.
let figures = true
export const measureAnew = () => { figures = false }

function giveFigures(dir) {
    const kept = join(process.env.CARAVAN_BUILD, 'profile.json'), own = join(dir, 'profile.json')
    if (!figures || existsSync(own)) return
    if (!existsSync(kept)) {
        const made = join(tmp, 'measured.json'), passed = `${kept}.${process.pid}`
        const done = spawnSync(caravan, ['profile', made, '', '--gpu-layers=0', '--threads=1', '--threads-batch=1'], { encoding: 'utf8' })
        assert.equal(done.status, 0, done.stderr)
        writeFileSync(passed, JSON.stringify({ ...JSON.parse(readFileSync(made, 'utf8')), quiet: true })) // what was measured while other tests ran would not be kept
        renameSync(passed, kept)
    }
    writeFileSync(own, JSON.stringify({ ...JSON.parse(readFileSync(kept, 'utf8')), disk_at: `${own}.probe` }))
}

const started = []
process.on('exit', () => started.forEach((p) => p.exitCode === null && p.signalCode === null && p.kill('SIGKILL')))

export class Node {
    constructor(name, options, env = {}) {
        this.name = name
        this.dir = join(tmp, name)
        mkdirSync(this.dir, { recursive: true })
        giveFigures(this.dir)
        this.log = join(this.dir, 'log')
        const log = openSync(this.log, 'a')
        const args = ['up', ...options, '--name', name, '--threads', '1', ...(options.includes('--listen') ? [] : ['--listen', '127.0.0.1:0']), '--api', '127.0.0.1:0',
            '--state-dir', this.dir, '--ready-fd', '3', '--log-level', 'debug']
        if (!options.includes('--key-file')) args.push('--key-file', join(tmp, 'cluster.key'))
        this.process = spawn(caravan, args, { stdio: ['ignore', log, log, 'pipe'], env: { ...process.env, ...env } })
        started.push(this.process)
        this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve({ code, signal })))
        this.ports = new Promise((resolve, reject) => {
            let text = ''
            this.process.stdio[3].on('data', (data) => {
                text += data
                if (text.includes('\n')) resolve(JSON.parse(text))
            })
            this.exited.then((how) => reject(new Error(`node ${name} ended: ${JSON.stringify(how)}\n${this.logText()}`)))
        })
    }
    async open() {
        const { api, listen } = await this.ports
        this.api = `http://127.0.0.1:${api}`
        this.listen = `127.0.0.1:${listen}`
        return this
    }
    logText() { return readFileSync(this.log, 'utf8') }
    status(key) { return fetch(`${this.api}/caravan/v1/status`, key ? { headers: { authorization: `Bearer ${key}` } } : {}).then((r) => r.json()) }
    // The process ids of its stages; not the child that measures the machine.
    stages() { return childrenOf(this.process.pid).filter((pid) => commandOf(pid) === 'stage') }
    ready(key = undefined) {
        return until(`${this.name}: a model that is ready`, async () => (await this.status(key)).models.some((m) => m.ready))
    }
    async stop(signal = 'SIGTERM') {
        if (this.process.exitCode !== null || this.process.signalCode !== null) return this.exited
        this.process.kill(signal)
        return this.exited
    }
}

export function commandOf(pid) {
    try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1]
    } catch {
        return '' /* it has ended meanwhile */
    }
}

export function childrenOf(pid) {
    const found = []
    for (const entry of readdirSync('/proc')) {
        if (!/^\d+$/.test(entry)) continue
        try {
            const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
            const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
            if (Number(fields[1]) === pid && fields[0] !== 'Z' && readlinkSync(`/proc/${entry}/exe`).includes('caravan')) found.push(Number(entry))
        } catch { /* it has ended meanwhile */ }
    }
    return found
}

export const isAlive = (pid) => {
    try {
        return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
    } catch {
        return false
    }
}

// Nodes that together hold the model: the first serves it, the others join it.
export async function startCluster(names, { memory = '12M', model = demoModel, options = [], first = [], env = {} } = {}) {
    const nodes = []
    try {
        for (const name of names) {
            const own = nodes.length === 0 ? [model, ...first] : ['--peer', nodes[0].listen]
            nodes.push(await new Node(name, [...own, '--memory', memory, ...options], env).open())
        }
        await nodes[0].ready()
        for (const node of nodes) await node.ready()
    } catch (error) {
        for (const node of nodes) {
            console.error(`---- ${node.name}\n${node.logText()}`)
            await node.stop('SIGKILL')
        }
        throw error
    }
    return nodes
}

export async function stopCluster(nodes) {
    for (const node of nodes) await node.stop()
}

// One streamed chat; calls onText for each piece. Resolves to the answer: text, finish reason, error, whether [DONE] stood at the end.
export async function streamChat(api, body, onText = () => {}, signal = undefined, headers = {}) {
    const response = await fetch(`${api}/v1/chat/completions`, {
        method: 'POST', signal, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ stream: true, temperature: 0, ...body }),
    })
    const result = { status: response.status, text: '', finish: null, error: null, done: false, usage: null }
    if (response.status !== 200) {
        result.error = (await response.json()).error
        return result
    }
    let rest = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body) {
        rest += decoder.decode(chunk, { stream: true })
        const lines = rest.split('\n')
        rest = lines.pop()
        for (const line of lines) {
            if (!line.startsWith('data: ')) continue
            const data = line.slice(6)
            if (data === '[DONE]') {
                result.done = true
                continue
            }
            const event = JSON.parse(data)
            if (event.error) result.error = event.error
            if (event.usage) result.usage = event.usage
            const choice = event.choices?.[0]
            if (choice?.delta?.content) {
                result.text += choice.delta.content
                await onText(choice.delta.content)
            }
            if (choice?.finish_reason) result.finish = choice.finish_reason
        }
    }
    return result
}

export const ask = (api, text, body = {}) => streamChat(api, { messages: [{ role: 'user', content: text }], ...body })

// Tests of one file, one after another; the first failure ends the process with status 1.
export async function run(tests) {
    let passed = 0
    for (const [name, test] of Object.entries(tests)) {
        const only = process.env.CARAVAN_TEST
        if (only && !name.includes(only)) continue
        const start = Date.now()
        try {
            await test()
            passed++
            console.log(`ok - ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
        } catch (error) {
            console.log(`not ok - ${name}\n${error.stack}`)
            console.log(`${passed} passed, 1 failed`)
            process.exit(1)
        }
    }
    console.log(`${passed} passed, 0 failed`)
    assert(passed > 0, 'no test of that name')
}
