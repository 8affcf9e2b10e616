// SPDX-License-Identifier: MIT
// The requests that clients of the tests really send: a proxy in front of the server notes the endpoint, the parameters and the client of each
// request that is not refused, and docs/API.md is made of the notes of all test files. Each test file has its own part of the page: with
// CARAVAN_MATRIX=write the part is replaced, else it is compared.
import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const file = join(process.env.CARAVAN_SOURCE, 'docs/API.md')
const HEAD = `# APIs: what is exercised, by which client

Made by the tests themselves: every endpoint and parameter below was sent in the test run by that client, unmodified, and was not refused;
after the client stand the files in tests/e2e that check the answers. "plain request" is a request of the test's own. Files that end in
\`_node\`, \`batch\` and \`embeddings\` ask real nodes with a real model, the others a scripted backend. The run of a test file fails when what
stands here under its name is not what it sent; \`CARAVAN_MATRIX=write\` makes it anew.
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

// Notes are strings, endpoint, parameter, client and test file with tabs between them.
function read() {
    const notes = []
    let endpoint
    for (const line of readFileSync(file, 'utf8').split('\n')) {
        endpoint = /^## `(.*)`$/.exec(line)?.[1] ?? endpoint
        const [, parameter, clients] = /^\| (?:`(.+)`|\(any\)) \| (.+: .+) \|$/.exec(line) ?? []
        for (const [client, tests] of (clients ?? '').split('; ').map((c) => c.split(': ')))
            for (const test of tests?.split(', ') ?? []) notes.push([endpoint, parameter ?? '', client, test].join('\t'))
    }
    return notes
}

const groupBy = (list, key) => [...list.reduce((map, item) => map.set(key(item), [...(map.get(key(item)) ?? []), item]), new Map())]

function write(notes) {
    let out = HEAD
    for (const [endpoint, rows] of groupBy(notes.sort().map((n) => n.split('\t')), (n) => n[0])) {
        out += `\n## \`${endpoint}\`\n\n| parameter | clients: test files |\n|---|---|\n`
        for (const [parameter, of] of groupBy(rows, (n) => n[1])) {
            const clients = groupBy(of, (n) => n[2]).map(([client, tests]) => `${client}: ${tests.map((n) => n[3]).join(', ')}`)
            out += `| ${parameter ? `\`${parameter}\`` : '(any)'} | ${clients.join('; ')} |\n`
        }
    }
    writeFileSync(file, out)
}

export class Matrix {
    constructor() {
        this.test = basename(process.argv[1], '.test.mjs')
        this.notes = new Set()
    }
    note(client, method, path, body) {
        const endpoint = `${method} ${path.split('?')[0].replace(/resp_\w+/, '{id}').replace(/(\/v1\/models)\/.+/, '$1/{id}').replace(/(\/v1\/(files|batches))\/[^/]+/, '$1/{id}')}`
        for (const name of ['', ...(body ? parameters(body) : [])]) this.notes.add([endpoint, name, client, this.test].join('\t'))
    }
    // A server for one client of the one at `target`; resolves to its address.
    async open(client, target) {
        const { hostname, port, host } = new URL(target)
        const server = createServer((req, res) => {
            const chunks = []
            req.on('data', (c) => chunks.push(c))
            req.on('end', () => {
                const data = Buffer.concat(chunks)
                let body
                try { body = JSON.parse(data) } catch { body = undefined }
                const on = request({ hostname, port, method: req.method, path: req.url, headers: { ...req.headers, host } }, (answer) => {
                    if (answer.statusCode < 400) this.note(client, req.method, req.url, body)
                    res.writeHead(answer.statusCode, answer.headers)
                    answer.pipe(res)
                    answer.on('error', () => res.destroy())
                })
                on.on('error', () => res.destroy())
                res.on('close', () => on.destroy()) // when a client goes, the proxy goes, too
                on.end(data)
            })
        })
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
        server.unref()
        return `http://127.0.0.1:${server.address().port}`
    }
    check() {
        const others = read().filter((n) => !n.endsWith(`\t${this.test}`))
        if (process.env.CARAVAN_MATRIX === 'write') write([...others, ...this.notes])
        const mine = read().filter((n) => n.endsWith(`\t${this.test}`))
        assert.deepEqual(mine.sort(), [...this.notes].sort(), 'docs/API.md is out of date: CARAVAN_MATRIX=write makes it anew')
    }
}
