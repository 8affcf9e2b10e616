// SPDX-License-Identifier: MIT
// `caravan run` on a real terminal: its ends, typed and pasted text, its output.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { alone, Node, childrenOf, demoModel, run, stopCluster, until } from './lib/cluster.mjs'
import { Terminal, plain } from './lib/terminal.mjs'

const tmp = process.env.CARAVAN_TMP
const small = ['--ctx', '512', '--parallel', '1', '--threads', '1']
let homes = 0

function chat({ options = [], ...terminal } = {}) {
    return new Terminal(['run', demoModel, ...small, '--temperature', '0', '--state-dir', join(tmp, `home-${homes++}`), ...options], { env: alone(), ...terminal })
}
const opened = async (t) => { await t.until(/\/bye or Ctrl-D ends/); return t }
// The processes of a chat: the private node and its stage.
const family = (pid) => childrenOf(pid).flatMap((child) => [child, ...childrenOf(child)])
const gone = (pids) => until('the processes of the chat are gone', () => pids.every((pid) => !readdirSync('/proc').includes(String(pid))))

const ways = {
    async 'a terminal that is closed'(t) { t.hangUp() },
    async 'SIGHUP'(t) { await t.signal('SIGHUP') },
    async 'SIGTERM'(t) { await t.signal('SIGTERM') },
}
const ends = {}
for (const [how, end] of Object.entries(ways)) {
    const signal = how === 'SIGTERM' ? 'SIGTERM' : 'SIGHUP'
    ends[`at the prompt ${how} ends the chat and its node`] = async () => {
        const t = await opened(chat())
        const pids = family(await t.pid)
        assert.equal(pids.length >= 2, true, 'a node and a stage')
        await end(t)
        assert.deepEqual(await t.end(), { code: null, signal })
        await gone(pids)
    }
    ends[`while an answer is written ${how} ends the chat and its node`] = async () => {
        const t = await opened(chat())
        const pids = family(await t.pid)
        t.type('Count to 100\r')
        await t.until(/1, 2, 3/)
        await end(t)
        assert.deepEqual(await t.end(), { code: null, signal })
        await gone(pids)
    }
}

await run({
    ...ends,
    async 'Ctrl-D and /bye end it, Ctrl-C does not'() {
        const t = await opened(chat({ options: ['--ctx', '4096'] }))
        t.type('/set min-tokens 4000\r') // it is stopped in the middle, however fast it comes
        t.type('\x03')
        await t.until(/ends the chat/)
        t.type('half a mess')
        await t.until(/half a mess/)
        t.type('\x03')
        t.type('Count to 100\r')
        await t.until(/1, 2, 3/)
        t.type('\x03')
        await t.until(/\[stopped\]/)
        t.type('/set min-tokens 0\r')
        t.type('Who are you?\r')
        assert.match(await t.until(/tokens\/s/), /Caravan/)
        t.type('\x04')
        assert.deepEqual(await t.end(), { code: 0, signal: null })
        assert(!/half a mess\n.*tokens/s.test(plain(t.text).split('Count')[0]), 'what was dropped was not sent')
        const other = await opened(chat())
        other.type('/bye\r')
        assert.deepEqual(await other.end(), { code: 0, signal: null })
    },
    async 'a paste of several lines is one message, with marks and without'() {
        const t = await opened(chat())
        for (const paste of ['\x1b[200~Who\ris that?\x1b[201~', 'Who\ris that?', '\x1b[200~Who\nis that?\n\x1b[201~']) {
            t.type(paste)
            await t.until(/is that\?/)
            t.type('\r')
            const answer = await t.until(/\d+ tokens?,/)
            assert.equal(answer.match(/\d+ tokens?,/g).length, 1, `one answer to ${JSON.stringify(paste)}`)
            t.type('\x1b[A') // as it stands in the history
            await t.until(/> Who\r+\n {2}is that\?/)
            t.type('\x03')
        }
        t.type('/bye\r')
        await t.end()
    },
    async 'what is typed while an answer is written is kept'() {
        const t = await opened(chat())
        t.type('Count to 100\r')
        await t.until(/1, 2, 3/)
        t.type('Count to 20\r')
        await t.until(/> Count to 20/)
        t.type('Wh')
        await t.until(/19, 20/)
        await t.until(/> Wh/)
        t.type('o is that?\r')
        await t.until(/> Who is that\?/)
        await t.until(/tokens\/s/)
        t.type('Count to 100\r')
        await t.until(/\[cut short: the context is full/)
        t.type('/bye\r')
        await t.end()
    },
    async 'Ctrl-D while an answer is written waits for it, and for the messages before it'() {
        const t = await opened(chat())
        t.type('Count to 100\r')
        await t.until(/1, 2, 3/)
        t.type('Who is that?\r')
        await t.until(/5, 6, 7/)
        t.type('\x04')
        await t.until(/98, 99, 100/)
        await t.until(/> Who is that\?/)
        assert.match(await t.until(/\d+ tokens,/), /[A-Za-z]{3}/)
        assert.deepEqual(await t.end(), { code: 0, signal: null })
        assert.doesNotMatch(plain(t.text), /terminal is gone|\[stopped\]/)
    },
    async '/help, /set, /clear; a line is never wider than the terminal'() {
        for (const columns of [80, 60]) {
            const t = await opened(chat({ columns, options: ['--stats'] }))
            t.type('/help\r')
            assert.match(await t.until(/drops what is typed/), /\/clear .*\n.*\/set/)
            t.type('/set max-tokens 4\r/set temprature 1\r')
            await t.until(/did you mean "temperature"/)
            t.type('/set\r')
            assert.match(await t.until(/mirostat-eta/), /max-tokens +4\n/)
            t.type('/nonsense\r')
            await t.until(/there is no command "\/nonsense"/)
            t.type('Who are you?\r')
            const stats = await t.until(/hop to it .*\r+\n.*\r+\n/)
            assert.match(stats, /\[cut short by max-tokens\]/)
            assert.match(stats, /\[4 tokens, \d+\.\d tokens\/s, first after/)
            t.type('/clear\r')
            await t.until(/a new conversation/)
            t.type('/bye\r')
            await t.end()
            for (const line of plain(t.text).split('\n')) assert(line.length <= columns, `${line.length} characters: ${line}`)
        }
    },
    async 'history is there the next time'() {
        const home = ['--state-dir', join(tmp, 'history')]
        const t = await opened(new Terminal(['run', demoModel, ...small, ...home], { env: alone() }))
        t.type('/set seed 7\r')
        await t.until(/> /)
        t.type('/bye\r')
        await t.end()
        const again = await opened(new Terminal(['run', demoModel, ...small, ...home], { env: alone() }))
        again.type('\x1b[A\x1b[A')
        await again.until(/\/set seed 7/)
        again.type('\x03\x04')
        await again.end()
    },
    async 'loading shows, whoever asked for it, under the name that a client may write'() {
        const pipe = join(tmp, 'pipe'), models = join(tmp, 'models')
        execFileSync('mkfifo', [pipe])
        mkdirSync(models)
        copyFileSync(demoModel, join(models, 'Demo.gguf'))
        const env = { LD_PRELOAD: join(process.env.CARAVAN_BUILD, 'lib/waiting_llama.so'), GGML_LOAD_WAITS_FOR: pipe }
        const node = await new Node('slow', ['--models-dir', models, ...small.slice(0, 4)], env).open()
        const t = await opened(new Terminal(['run', 'DEMO:latest', '--api', node.api.slice(7), '--state-dir', join(tmp, 'h2'), '--temperature', '0']))
        t.type('Who are you?\r')
        await t.until(/loading Demo 0 %/)
        t.type('Count to 3\r') // typed meanwhile
        closeSync(openSync(pipe, 'w'))
        rmSync(pipe)
        assert.match(await t.until(/tokens\/s/), /Caravan/)
        await t.until(/> Count to 3[^]*1, 2, 3/)
        t.type('/bye\r')
        await t.end()
        assert(!plain(t.text).includes('loading'), 'the progress is gone')
        await stopCluster([node])
    },
    async 'why a model cannot be had is said'() {
        const node = await new Node('first', [demoModel, '--memory', '12M', ...small.slice(0, 4)]).open()
        const t = await opened(new Terminal(['run', 'caravan-demo', '--api', node.api.slice(7), '--state-dir', join(tmp, 'h3')]))
        t.type('Who are you?\r')
        await t.until(/(is not ready|cannot be loaded): cannot place model\s+"caravan-demo": it needs/)
        t.type('/bye\r')
        await t.end()
        await stopCluster([node])
    },
})
