// SPDX-License-Identifier: MIT
// What every command prints, in the ways that programs and people read it: with --json data and nothing else, through a pipe no escape
// sequences, on a terminal with NO_COLOR no colours. The list below must have each command of the table.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'
import { Hub } from './lib/hub.mjs'
import { Terminal } from './lib/terminal.mjs'

const tmp = process.env.CARAVAN_TMP
const models = join(tmp, 'models')
mkdirSync(models)
writeFileSync(join(tmp, 'text'), 'Llamas walk in a line, one behind the other, for days and days. '.repeat(40))
writeFileSync(join(tmp, 'in.jsonl'), `${JSON.stringify({ custom_id: 'a', body: { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 } })}\n`)
const hub = Object.assign(await new Hub().open(), { files: { 'owner/demo-GGUF@main/pulled-Q4_K_M.gguf': readFileSync(demoModel) } })
const node = await new Node('prints', ['--models-dir', models, '--ctx', '512', '--parallel', '2', '--batch', '64']).open()

const home = ['--state-dir', node.dir], at = ['--api', node.api.slice(7), ...home], away = ['--state-dir', join(tmp, 'away')]
const key = ['--key-file', join(tmp, 'cluster.key')]
// Each command that has a result, in an order in which they work; lines: an object a line; status: exit statuses that are fine; before: what
// must be done each time before it; again: its arguments the second time, where the same can't be done twice.
const results = [
    ['version', []],
    ['plan', ['llama-8b:q4_k_m', '--fleet', '2xmac-mini-m4-64', ...away]],
    ['plan', ['--fleet', '2xmac-mini-m4-64', ...away]],
    ['pull', ['hf:owner/demo-GGUF', '--models-dir', join(tmp, 'pulled'), '--hf-endpoint', hub.url]],
    ['load', ['demo', ...at]],
    ['models', at],
    ['nodes', [...at, ...key]],
    ['wake', ['all', ...at]],
    ['run', ['demo', 'Who are you?', '--max-tokens', '4', ...at]],
    ['top', at],
    ['logs', home, { lines: true }],
    ['doctor', ['--no-discovery', ...home, ...key], { status: [0, 1] }],
    ['routes', at],
    ['batch', [join(tmp, 'in.jsonl'), '--model', 'demo', '--output', join(tmp, 'out.jsonl'), '--force', ...at]],
    ['usage', at],
    ['invite', [...at, ...key]],
    ['key', [...home, ...key]],
    ['verify', [demoModel, '--tokens', '4', '--prompt-tokens', '16', '--threads', '1']],
    ['perplexity', [demoModel, join(tmp, 'text'), '--ctx', '128', '--threads', '1']],
    ['unload', ['demo', ...at], { before: () => cli(['load', 'demo', ...at]) }],
    ['rm', ['demo', '--yes', ...at], { before: putModel }],
    ['leave', away],
    ['keys', ['add', 'kitchen', ...at], { again: ['remove', 'kitchen', ...at] }],
]
const without = { up: 'its output is a log, for which there is --log-format json', help: 'its output is a text', join: 'needs another cluster: e2e_join_mjs' }

function cli(args) {
    const child = spawn(caravan, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = '', err = ''
    child.stdout.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}
async function putModel() {
    copyFileSync(demoModel, join(models, 'demo.gguf'))
    await until('the node knows its model', async () => /"demo"/.test((await cli(['models', '--json', ...at])).out))
}
const colour = /\x1b\[[0-9;]*m/

await putModel()
await run({
    async 'the list has every command'() {
        const table = readFileSync(join(process.env.CARAVAN_SOURCE, 'tables/commands.def'), 'utf8')
        const commands = [...table.matchAll(/^COMMAND\(\w+, +"([a-z]+)", +".*?", +\w+, +false/gm)].map((m) => m[1])
        assert.deepEqual([...new Set(results.map(([name]) => name)), ...Object.keys(without)].sort(), commands.sort())
    },
    async 'with --json: data on standard output, and nothing else; then the same for people, without an escape sequence'() {
        for (const [name, args, { lines, status = [0], before = () => {}, again = args } = {}] of results) {
            await before()
            const said = await cli([name, ...args, '--json'])
            assert(status.includes(said.code), `${name}: ${said.code} ${said.err}`)
            for (const text of lines ? said.out.trim().split('\n') : [said.out]) assert.equal(typeof JSON.parse(text), 'object', `${name}: ${text}`)
            assert.doesNotMatch(said.out + said.err, /\x1b/, name)
            await before()
            const words = await cli([name, ...again])
            assert(status.includes(words.code), `${name}: ${words.code} ${words.err}`)
            assert.doesNotMatch(words.out + words.err, /\x1b/, name)
            assert.doesNotMatch(words.out, /^[{[]"/, `${name} prints JSON only when asked to`)
        }
    },
    async 'on a terminal with NO_COLOR: no colours; long work shows how far it is'() {
        await putModel()
        const shown = { pull: /pulled-Q4_K_M\.gguf/, verify: /the slices \[/, perplexity: /perplexity \[#*\.*\] +\d+ %/, batch: /\] +\d+ %/ }
        for (const [name, args] of results) {
            if (['keys', 'rm', 'unload', 'leave', 'top'].includes(name)) continue
            const t = new Terminal([name, ...args], { columns: 120, env: { NO_COLOR: '1' } })
            await t.end()
            assert.doesNotMatch(t.text, colour, name)
            if (shown[name]) assert.match(t.text, shown[name], name)
        }
    },
    async 'help is plain, too'() {
        for (const args of [['help'], ['help', 'run'], ['--help'], ['run', '--nonsense']]) {
            const t = new Terminal(args, { env: { NO_COLOR: '1' } })
            await t.end()
            assert.doesNotMatch(t.text, colour)
        }
    },
})
hub.close()
await stopCluster([node])
