// SPDX-License-Identifier: MIT
// The npm packages of the end-to-end tests (fetched into the build folder, as package-lock.json says), and the gateway on its scripted backend.
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = dirname(dirname(fileURLToPath(import.meta.url)))
const build = process.env.CARAVAN_BUILD
export { sleep, until } from './cluster.mjs'

const same = (a, b) => existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b))

// The folder whose node_modules holds what the lock file of a folder beside the tests names; "": of their own.
export function modules(what = '') {
    const from = join(here, what), lock = join(from, 'package-lock.json')
    const dir = join(build, what ? `npm-${what}` : 'npm')
    if (same(lock, join(dir, 'node_modules', '.lock-used'))) return dir
    if (spawnSync('npm', ['--version']).error) {
        console.log('skipped: no npm on this machine')
        process.exit(77)
    }
    mkdirSync(dir, { recursive: true })
    for (const file of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(from, file), join(dir, file))
    // Agents bring builds for all systems, of which a registry may lack some: npm ci takes their lock file for incomplete then.
    const how = what ? ['install', '--no-save'] : ['ci']
    // The test's own HOME is a fresh folder; npm needs the user's settings to find its registry.
    const done = spawnSync('npm', [...how, '--ignore-scripts', '--loglevel=error'], { cwd: dir, stdio: 'inherit', env: { ...process.env, HOME: userInfo().homedir } })
    if (done.status !== 0) throw new Error('npm ci failed (see above): the packages of these tests could not be fetched')
    copyFileSync(lock, join(dir, 'node_modules', '.lock-used'))
    return dir
}

// Imports a package of the lock file, wherever it was fetched to.
export function load(name) {
    return import(pathToFileURL(createRequire(join(modules(), 'package.json')).resolve(name)).href)
}

export class Fake {
    constructor({ key, env = {} } = {}) {
        this.process = spawn(join(build, 'bin/gateway_fake'), ['0', ...(key ? [key] : [])], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
        this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve({ code, signal })))
    }
    async open() {
        this.port = await new Promise((resolve, reject) => {
            this.process.stdout.on('data', (data) => resolve(Number(/port (\d+)/.exec(data)[1])))
            this.process.on('exit', () => reject(new Error('gateway_fake ended')))
        })
        this.api = `http://127.0.0.1:${this.port}`
        return this
    }
    status() { return fetch(`${this.api}/caravan/v1/status`).then((r) => r.json()) }
    stop(signal = 'SIGTERM') {
        this.process.kill(signal)
        return this.exited
    }
}

// A prompt that makes the scripted backend follow the script `what` (gateway_fake.c).
export const script = (what) => `@@${JSON.stringify(what)}@@`

// What GET /metrics counts; how much more than before, where that is given.
export async function counters(api, before) {
    const text = await (await fetch(`${api}/metrics`)).text()
    const now = Object.fromEntries([...text.matchAll(/^(\w+_total) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]))
    return before ? Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - before[name]])) : now
}
