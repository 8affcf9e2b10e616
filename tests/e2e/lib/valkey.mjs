// SPDX-License-Identifier: MIT
// A real Valkey (or Redis) server for tests: Debian's package in the test sysroot (make sysroot-test), else one of this machine. Ended by its id.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import net from 'node:net'
import { delimiter, join } from 'node:path'
import { freePort } from './port.mjs'

const tmp = process.env.CARAVAN_TMP
const root = join(process.env.CARAVAN_SYSROOT_DIR ?? join(process.env.CARAVAN_SOURCE, 'build'), 'sysroot-test')

// The command line of a server: through the sysroot's own loader, as its libraries are not this machine's.
function command() {
    const program = join(root, 'usr/bin/valkey-server'), lib = join(root, 'usr/lib')
    const libraries = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith('-linux-gnu')).map((name) => join(lib, name))[0] : undefined
    const loader = libraries && readdirSync(libraries).find((name) => name.startsWith('ld-linux'))
    if (loader && existsSync(program)) return [join(libraries, loader), '--library-path', libraries, program]
    for (const name of ['valkey-server', 'redis-server'])
        for (const dir of (process.env.PATH ?? '').split(delimiter)) if (existsSync(join(dir, name))) return [join(dir, name)]
    return null
}

export const available = command() !== null

const running = new Set()
process.on('exit', () => running.forEach((p) => p.kill('SIGKILL')))

export class Valkey {
    constructor(options = []) {
        this.options = options
    }
    async start() {
        this.port ??= await freePort()
        const dir = join(tmp, `valkey-${this.port}`)
        mkdirSync(dir, { recursive: true })
        const [program, ...words] = command()
        const args = [...words, '--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--daemonize', 'no', ...this.options]
        this.process = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
        running.add(this.process)
        this.exited = new Promise((resolve) => this.process.on('exit', resolve))
        await new Promise((resolve, reject) => {
            let text = ''
            this.process.stdout.on('data', (data) => {
                text += data
                if (/Ready to accept connections/.test(text)) resolve()
            })
            this.exited.then(() => reject(new Error(`the cache server ended:\n${text}`)))
        })
        return this
    }
    // Starts it with a port for TLS besides, which is returned.
    async startTls(cert, key) {
        const port = await freePort()
        this.options.push('--tls-port', `${port}`, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert, '--tls-auth-clients', 'no')
        await this.start()
        return port
    }
    get url() {
        return `redis://127.0.0.1:${this.port}`
    }
    async stop(signal = 'SIGKILL') {
        this.process.kill(signal)
        running.delete(this.process)
        await this.exited
    }
    freeze() {
        this.process.kill('SIGSTOP')
    }
    thaw() {
        this.process.kill('SIGCONT')
    }
    // One command and its reply, as text.
    ask(...words) {
        return new Promise((resolve, reject) => {
            const socket = net.connect(this.port, '127.0.0.1', () => {
                socket.write(`*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`)
            })
            socket.on('data', (data) => {
                resolve(data.toString('latin1'))
                socket.destroy()
            })
            socket.on('error', reject)
        })
    }
}
