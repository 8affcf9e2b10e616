// SPDX-License-Identifier: MIT
// What the clients of the tests really send: a proxy in front of the gateway notes each request's endpoint, parameters and client, and
// docs/API.md is made of the notes. With CARAVAN_MATRIX=write the file is made anew, else it is compared.
import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const file = join(process.env.CARAVAN_SOURCE, 'docs/API.md')
const HEAD = `# APIs: what is exercised, by which client

Made by the tests themselves (tests/e2e/clients.test.mjs): every endpoint and parameter below was sent by that client, unmodified, in the
test run, and its answer was checked. The test run fails when this file is out of date; \`CARAVAN_MATRIX=write\` makes it anew.

`

// The names of a body's fields; those of a few containers one level down.
function parameters(body) {
    const inner = new Set(['options', 'stream_options', 'text', 'reasoning', 'thinking', 'tool_choice', 'response_format'])
    const names = []
    for (const [key, value] of Object.entries(body)) {
        names.push(key)
        if (inner.has(key) && value && typeof value === 'object') names.push(...Object.keys(value).map((k) => `${key}.${k}`))
    }
    return names
}

export class Matrix {
    constructor(target) {
        this.target = new URL(target)
        this.rows = new Map() // endpoint -> parameter -> set of clients
    }
    note(client, method, path, body) {
        const plain = path.split('?')[0].replace(/resp_\w+/, '{id}').replace(/(\/v1\/models)\/.+/, '$1/{id}')
        const endpoint = `${method} ${plain}`
        if (!this.rows.has(endpoint)) this.rows.set(endpoint, new Map())
        const row = this.rows.get(endpoint)
        for (const name of ['', ...(body ? parameters(body) : [])]) {
            if (!row.has(name)) row.set(name, new Set())
            row.get(name).add(client)
        }
    }
    // A server for one client; resolves to its address.
    async open(client) {
        const server = createServer((req, res) => {
            const chunks = []
            req.on('data', (c) => chunks.push(c))
            req.on('end', () => {
                const data = Buffer.concat(chunks)
                let body
                try { body = JSON.parse(data) } catch { body = undefined }
                this.note(client, req.method, req.url, body)
                const on = request({ host: this.target.hostname, port: this.target.port, method: req.method, path: req.url, headers: { ...req.headers, host: this.target.host } }, (answer) => {
                    res.writeHead(answer.statusCode, answer.headers)
                    answer.pipe(res)
                })
                on.on('error', () => res.destroy())
                res.on('close', () => on.destroy()) // a client that goes is gone behind the proxy, too
                on.end(data)
            })
        })
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
        server.unref()
        return `http://127.0.0.1:${server.address().port}`
    }
    text() {
        let out = HEAD
        for (const endpoint of [...this.rows.keys()].sort()) {
            const row = this.rows.get(endpoint)
            out += `## \`${endpoint}\`\n\n| parameter | clients |\n|---|---|\n`
            for (const name of [...row.keys()].sort()) out += `| ${name ? `\`${name}\`` : '(any)'} | ${[...row.get(name)].sort().join(', ')} |\n`
            out += '\n'
        }
        return out.trimEnd() + '\n'
    }
    check() {
        if (process.env.CARAVAN_MATRIX === 'write') writeFileSync(file, this.text())
        assert.equal(readFileSync(file, 'utf8'), this.text(), 'docs/API.md is out of date: CARAVAN_MATRIX=write makes it anew')
    }
}
