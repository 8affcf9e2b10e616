// SPDX-License-Identifier: MIT
// A program on a real terminal (tests/e2e/pty.c), as a person sees it.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { caravan } from './cluster.mjs'

const pty = join(process.env.CARAVAN_BUILD, 'bin/pty')
const running = new Set()
process.on('exit', () => running.forEach((p) => p.kill('SIGKILL')))

export class Terminal {
    constructor(args, { program = caravan, columns = 80, rows = 24, env = {} } = {}) {
        this.text = '' // all that was written to the terminal
        this.read = 0 // the part that until() has seen
        this.process = spawn(pty, [columns, rows, program, ...args].map(String), { env: { ...process.env, TERM: 'xterm', ...env } })
        running.add(this.process)
        this.process.stdout.on('data', (data) => { this.text += data })
        this.process.stdin.on('error', () => {}) // it may have ended
        this.pid = new Promise((resolve) => this.process.stderr.once('data', (data) => resolve(Number(String(data).trim()))))
        this.exited = new Promise((resolve) => this.process.on('close', (code, signal) => {
            running.delete(this.process)
            resolve({ code, signal })
        }))
    }
    type(text) { this.process.stdin.write(text) }
    hangUp() { this.process.stdin.end() }
    async signal(name) { process.kill(await this.pid, name) }
    // Waits until this text shows, after the text of the earlier call; returns the output between the two, without escape sequences.
    async until(what, seconds = 120) {
        const end = Date.now() + seconds * 1000
        for (;;) {
            const found = what.exec(this.text.slice(this.read))
            if (found) {
                const seen = this.text.slice(this.read, this.read + found.index + found[0].length)
                this.read += seen.length
                return plain(seen)
            }
            const over = await Promise.race([this.exited.then(() => true), new Promise((resolve) => setTimeout(resolve, 25, false))])
            if ((over && !what.test(this.text.slice(this.read))) || Date.now() > end)
                throw new Error(`${over ? 'it ended' : 'gave up'} waiting for ${what}; on the terminal:\n${plain(this.text).slice(-3000)}`)
        }
    }
    // How it ends; fails if it does not.
    async end(seconds = 120) {
        let timer
        const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`it still runs; on the terminal:\n${plain(this.text).slice(-3000)}`)), seconds * 1000) })
        try {
            return await Promise.race([this.exited, late])
        } finally {
            clearTimeout(timer)
        }
    }
}

// As it stands on the screen: without escape sequences, and of a line that was written over its last text.
export const plain = (text) => text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replace(/\r+\n/g, '\n').split('\n').map((line) => line.split('\r').at(-1)).join('\n')
