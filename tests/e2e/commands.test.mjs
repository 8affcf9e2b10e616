// SPDX-License-Identifier: MIT
// The command line with a node, without one, and with another program in its place: its output when it works and when it doesn't.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { Node, alone, caravan, childrenOf, demoModel, isAlive, measureAnew, run, sleep, stopCluster, streamChat, until } from './lib/cluster.mjs'
import { Hub } from './lib/hub.mjs'
import { Terminal, plain } from './lib/terminal.mjs'

measureAnew()
const tmp = process.env.CARAVAN_TMP
const small = ['--ctx', '512', '--parallel', '1']
let homes = 0

// Runs a command; input: a path, or text for a pipe; without it there is nothing to read. home: the state folder of a node; else of none.
function cli(args, { input, text, home: own, bare = false, stdout = 'pipe' } = {}) {
    const home = own ?? join(tmp, `home-${homes++}`), env = { ...process.env, XDG_STATE_HOME: home, ...(own ? {} : alone()) }
    const fd = input ? openSync(input, 'r') : 'ignore'
    const child = spawn(caravan, bare ? args : [...args, '--state-dir', home], { env, stdio: [text === undefined ? fd : 'pipe', stdout, 'pipe'] })
    let out = '', err = ''
    child.stdout?.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    if (text !== undefined) child.stdin.end(text)
    return new Promise((resolve) => child.on('close', (code, signal) => {
        if (input) closeSync(fd)
        resolve({ code, signal, out, err })
    }))
}
const at = (node) => ['--api', node.api.slice(7)]

async function otherProgram(status, body, type) {
    const server = http.createServer((_, response) => response.writeHead(status, { 'content-type': type }).end(body))
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { api: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

const commandsThatAsk = [['models'], ['nodes'], ['load', 'x'], ['unload', 'x'], ['rm', 'x', '--yes'], ['run', 'x', 'Hi'], ['nodes', 'remove', 'x'], ['key', 'rotate']]

await run({
    async 'nobody answers, another program answers, a key is missing, a key is wrong: each is said'() {
        for (const args of commandsThatAsk) {
            const said = await cli([...args, '--api', '127.0.0.1:1'])
            assert.equal(said.code, 69, `${args}: ${said.err}`)
            assert.match(said.err, /no node answers at http:\/\/127\.0\.0\.1:1\nhint: /, `${args}`)
        }
        for (const [status, body, type] of [[404, '<html>not here</html>', 'text/html'], [200, 'hello', 'text/plain'], [404, '{"error":{"message":"File Not Found","code":404}}', 'application/json']]) {
            const other = await otherProgram(status, body, type)
            for (const args of commandsThatAsk) {
                const said = await cli([...args, ...at(other)])
                assert.equal(said.code, 76, `${args}: ${said.err}`)
                assert.match(said.err, /what answers at http.* is no Caravan node \(HTTP status \d+\)\nhint: another program has this port/, `${args} ${status}`)
            }
            other.close()
        }
        const node = await new Node('locked', ['--api-key', 'secret admin', '--models-dir', join(tmp, 'none')]).open()
        for (const args of commandsThatAsk) {
            const none = await cli([...args, ...at(node)]), wrong = await cli([...args, ...at(node), '--api-key', 'guess'])
            assert.equal(none.code, 77, `${args}: ${none.err}`)
            assert.match(none.err, /hint: the node at http.* wants an API key: --api-key KEY/, `${args}`)
            assert.match(wrong.err, /hint: the node at http.* does not accept this key/, `${args}`)
        }
        await stopCluster([node])
    },

    async 'with --json refusals are JSON too, with the exit status that the table of errors gives'() {
        const table = (name) => readFileSync(join(process.env.CARAVAN_SOURCE, 'tables', name), 'utf8')
        const exits = Object.fromEntries([...table('errors.def').matchAll(/^ERR\((\w+),.*?(\d+)\)$/gm)].map((m) => [m[1], Number(m[2])]))
        const commands = [...table('commands.def').matchAll(/^COMMAND\(\w+, +"([a-z]+)", +"(.*?)", +\w+, +false/gm)].map((m) => ({ name: m[1], needs: m[2].split(' ').filter((word) => /^[A-Z]/.test(word)).length }))
        assert(commands.length > 15 && exits.USAGE === 64)
        const refused = async (args, code) => {
            const said = await cli(args, { bare: true })
            if (/unknown option "--json"/.test(said.err)) return false // the command has no result that is data
            const { error } = JSON.parse(said.out)
            assert.equal(error.code, code, `${args}: ${said.out}`)
            assert.equal(said.code, exits[error.code], `${args}`)
            assert.equal(error.exit_status, said.code)
            assert(said.err.startsWith('caravan: '), said.err)
            return true
        }
        let n = 0
        for (const { name, needs } of commands) {
            if (!await refused([name, '--json', ...Array(9).fill('x')], 'USAGE')) continue
            n++
            assert(await refused([name, '--nonsense', '-j', ...Array(needs).fill('x')], 'USAGE'))
            if (needs > 0) assert(await refused([name, '--json'], 'USAGE'))
        }
        assert(n >= 14, `${n} commands have --json`)
        const nobody = ['--json', '--api', '127.0.0.1:1']
        for (const args of [['models'], ['nodes'], ['nodes', 'remove', 'x'], ['load', 'x'], ['unload', 'x'], ['rm', 'x'], ['invite'], ['plan', 'x'], ['key', 'rotate']])
            assert(await refused([...args, ...nobody], 'UNAVAILABLE'), `${args}`)
        for (const [args, code] of [[['plan', 'x', '--fleet', '2xmac-mini-m4-64'], 'NOT_FOUND'], [['plan', 'llama-8b', '--fleet', 'x'], 'INVALID'], [['join', 'x'], 'INVALID'], [['key', 'x'], 'INVALID'], [['pull', 'x'], 'INVALID'], [['plan', 'llama-405b:f16', '--fleet', '1xpc-ddr5-64'], 'NO_ROOM'], [['invite'], 'NOT_FOUND']])
            assert(await refused([...args, '--json'], code), `${args}`)
        assert.deepEqual(Object.keys(JSON.parse((await cli(['version', '--json'], { bare: true })).out)), ['version'])
    },

    async 'the prompt and standard input are one question; a reader that goes away ends it'() {
        const node = await new Node('asked', [demoModel, ...small]).open()
        await node.ready()
        const file = join(tmp, 'question.txt')
        writeFileSync(file, 'you?\n')
        const seen = []
        const proxy = http.createServer((request, response) => { // the request for the model
            let body = ''
            request.on('data', (data) => { body += data })
            request.on('end', () => {
                if (body) seen.push(JSON.parse(body).messages)
                const on = http.request(node.api + request.url, { method: request.method, headers: request.headers }, (answer) => { response.writeHead(answer.statusCode, answer.headers); answer.pipe(response) })
                on.end(body)
            })
        })
        await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
        const through = ['--api', `127.0.0.1:${proxy.address().port}`]
        for (const how of [{ input: file }, {}]) {
            const said = await cli(['run', 'caravan-demo', 'Who are', ...through, '--max-tokens', '4'], how)
            assert.equal(said.code, 0, said.err)
            assert.match(said.err, /\[4 tokens, \d+\.\d tokens\/s, first after/)
        }
        assert.equal((await cli(['run', 'caravan-demo', ...through, '--max-tokens', '4'], { text: 'Who are\nyou?\n' })).code, 0)
        assert.deepEqual(seen.map((m) => m[0].content), ['Who are\n\nyou?', 'Who are', 'Who are\nyou?'])
        const piped = spawn('sh', ['-c', 'echo "you?" | "$0" "$@"', caravan, 'run', 'caravan-demo', 'Who are', '--max-tokens', '4', '--state-dir', join(tmp, 'p'), ...through], { stdio: 'ignore' })
        assert.equal(await new Promise((resolve) => piped.on('exit', resolve)), 0)
        assert.equal(seen.at(-1)[0].content, 'Who are\n\nyou?')
        assert.match((await cli(['run', 'caravan-demo', ...through])).err, /there is no prompt/)
        /* options for loading a model are not for a node that has loaded it, and it is said which were typed */
        const own = await cli(['run', 'caravan-demo', 'Who', ...through, '--max-tokens', '4', '--ctx', '128', '--lora', 'nothere.gguf'])
        assert.equal(own.code, 0, own.err)
        assert.match(own.err, /\[the running node answers, with its own options: without --ctx, --lora;/)
        assert.doesNotMatch((await cli(['run', 'caravan-demo', 'Who', ...through, '--max-tokens', '4', '--temperature', '0'])).err, /its own options/)
        /* nobody reads the answer, which has no end */
        const endless = http.createServer(async (request, response) => {
            if (request.method === 'GET') return response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"caravan-demo"}')
            request.resume()
            response.writeHead(200, { 'content-type': 'text/event-stream' })
            while (!response.destroyed) {
                response.write('data: {"choices":[{"delta":{"content":"word "}}]}\n\n')
                await sleep(5)
            }
        })
        await new Promise((resolve) => endless.listen(0, '127.0.0.1', resolve))
        const child = spawn(caravan, ['run', 'caravan-demo', 'Count', '--api', `127.0.0.1:${endless.address().port}`, '--state-dir', join(tmp, 'gone')], { stdio: ['ignore', 'pipe', 'ignore'] })
        child.stdout.once('data', () => child.stdout.destroy())
        const end = await new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })))
        assert.equal(end.code, 68, JSON.stringify(end))
        endless.close()
        for (const command of ['models', 'nodes']) {
            const watch = spawn(caravan, [command, '--watch', ...at(node), '--state-dir', join(tmp, 'gone')], { stdio: ['ignore', 'pipe', 'ignore'] })
            watch.stdout.once('data', () => watch.stdout.destroy())
            assert.equal((await new Promise((resolve) => watch.on('exit', (code) => resolve(code)))), 68, `${command} --watch`)
        }
        const full = openSync('/dev/full', 'w')
        assert.equal((await cli(['nodes', ...at(node)], { stdout: full })).code, 74)
        closeSync(full)
        proxy.close()
        await stopCluster([node])
    },

    async 'run pulls a model of a hub, and says nothing of it on standard output'() {
        const hub = Object.assign(await new Hub().open(), { files: { 'owner/demo-GGUF@main/demo-Q4_K_M.gguf': readFileSync(demoModel) } })
        const dir = join(tmp, 'pulled')
        const args = ['run', 'hf:owner/demo-GGUF', 'Who are you?', '--models-dir', dir, '--hf-endpoint', hub.url, ...small, '--threads', '1', '--temperature', '0']
        const first = await cli(args)
        assert.equal(first.code, 0, first.err)
        assert.match(first.err, /demo-Q4_K_M\.gguf: 7\.1 MB in /)
        assert.match(first.out, /^I am the Caravan demo.*\n$/)
        assert(existsSync(join(dir, 'demo-Q4_K_M.gguf')))
        assert.match((await cli(args)).err, /is there already/)
        assert.match((await cli(['run', 'hf:owner/nothing', 'Hi', '--models-dir', dir, '--hf-endpoint', hub.url])).err, /doesn't exist/)
        hub.close()
        /* by its name, with a tag, in other letters */
        for (const name of ['demo-Q4_K_M', 'DEMO-q4_k_m:latest', 'demo-q4_k_m.gguf'])
            assert.match((await cli(['run', name, 'Who are you?', '--models-dir', dir, ...small, '--threads', '1', '--temperature', '0'])).out, /Caravan/, name)
        const none = await cli(['run', 'demo', 'Hi', '--models-dir', dir])
        assert.equal(none.code, 66)
        assert.match(none.err, /there is no model "demo".*\nhint: the models folder has "demo-Q4_K_M"/)
        assert.match((await cli(['run', 'demo', 'Hi', '--models-dir', join(tmp, 'none')])).err, /hint: `caravan pull hf:OWNER\/REPO`/)
    },

    async 'a node without models says how to get one; files that are no models are named'() {
        const dir = join(tmp, 'folder')
        mkdirSync(dir)
        const node = await new Node('empty', ['--models-dir', dir]).open()
        assert.match(node.logText(), /there are none in ".*folder" yet: `caravan pull hf:OWNER\/REPO` fetches one/)
        assert.match(node.logText(), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info /m)
        assert.match((await cli(['models', ...at(node)])).out, /No node of the cluster has a model/)
        writeFileSync(join(dir, 'broken.gguf'), 'this is no model')
        await until('it is named', async () => /unusable: .*broken\.gguf": not a GGUF file/.test((await cli(['models', ...at(node)])).out))
        await stopCluster([node])
    },

    async 'rm asks only about what is there; doctor looks at the folder of the node that runs; invite takes --api'() {
        const dir = join(tmp, 'kept')
        mkdirSync(dir)
        copyFileSync(demoModel, join(dir, 'mine.gguf'))
        const node = await new Node('keeps', ['--models-dir', dir, '--no-load-on-demand', ...small]).open()
        await until('the node knows its model', async () => /mine/.test((await cli(['models', ...at(node)])).out))
        const t = new Terminal(['rm', 'nosuch', ...at(node)])
        assert.notEqual((await t.end()).code, 0)
        assert.match(t.text, /there is no file of a model "nosuch"/)
        assert.doesNotMatch(t.text, /y\/N/)
        const asks = new Terminal(['rm', 'MINE', ...at(node)])
        await asks.until(/delete the file of "mine" \(7\.1 MB\) from this machine\? \[y\/N\]/)
        asks.type('n\r')
        assert.equal((await asks.end()).code, 70)
        assert(existsSync(join(dir, 'mine.gguf')))
        const seen = JSON.parse((await cli(['doctor', '--no-discovery', '--json'], { home: node.dir })).out)
        assert.match(JSON.stringify(seen), /"models"[^}]*\/kept/)
        const code = await cli(['invite', ...at(node)]), own = await cli(['invite', '--key-file', join(tmp, 'cluster.key')], { home: node.dir })
        assert.match(own.out, /^caravan join [0-9A-Z-]+\n$/)
        assert.equal(code.out, own.out)
        assert.equal((await cli(['invite', '--api', '127.0.0.1:1'])).code, 69)
        await stopCluster([node])
    },

    async 'at every question Ctrl-C ends the command, Ctrl-D is no answer; a load that fails says why once'() {
        const dir = join(tmp, 'questions')
        mkdirSync(dir)
        copyFileSync(demoModel, join(dir, 'mine.gguf'))
        const node = await new Node('asks', ['--models-dir', dir, '--memory', '4M', '--no-load-on-demand', ...small]).open()
        await until('the node knows its model', async () => /mine/.test((await cli(['models', ...at(node)])).out))
        for (const [args, question, code, why] of [[['join'], /prints on a machine of the cluster\): $/, 65, /\ncaravan: no join code came\nhint: /], [['rm', 'mine', ...at(node)], /\[y\/N\] $/, 70, /\ncaravan: nothing was deleted/]]) {
            const broken = new Terminal([...args, '--state-dir', join(tmp, 'q')])
            await broken.until(question)
            broken.type('\x03')
            assert.deepEqual(await broken.end(), { code: null, signal: 'SIGINT' }, `${args}`)
            const ended = new Terminal([...args, '--state-dir', join(tmp, 'q')])
            await ended.until(question)
            ended.type('\x04')
            assert.equal((await ended.end()).code, code, `${args}`)
            assert.match(plain(ended.text), why)
        }
        assert(existsSync(join(dir, 'mine.gguf')))
        const load = new Terminal(['load', 'mine', ...at(node)], { columns: 60 })
        assert.equal((await load.end()).code, 71)
        const last = load.text.split('\x1b[J').at(-1) // what stays on the screen
        assert.match(plain(last), /^caravan: cannot load "mine": cannot place model "mine": it\n {2}needs/)
        await stopCluster([node])
    },

    async 'the rate that is shown was measured: by the node, or here if that took longer'() {
        const answers = []
        const node = http.createServer((request, response) => {
            if (request.method === 'GET') return response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"scripted"}')
            const { pieces, usage, caravan: stats } = answers.shift()
            request.resume()
            response.writeHead(200, { 'content-type': 'text/event-stream' })
            for (const content of pieces) response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
            response.end(`data: ${JSON.stringify({ choices: [], usage, caravan: stats })}\n\ndata: [DONE]\n\n`)
        })
        await new Promise((resolve) => node.listen(0, '127.0.0.1', resolve))
        const figures = async (answer) => {
            answers.push(answer)
            return (await cli(['run', 'scripted', 'Hi', '--api', `127.0.0.1:${node.address().port}`])).err
        }
        const usage = { prompt_tokens: 3, completion_tokens: 11 }
        assert.match(await figures({ pieces: ['eleven tokens in one piece'], usage, caravan: { decode_ms: 2000 } }), /\[11 tokens, 5\.0 tokens\/s, first after .*, prompt 3\]/)
        assert.match(await figures({ pieces: ['no', ' measurement'], usage, caravan: { decode_ms: 0 } }), /\[11 tokens, first after/)
        assert.match(await figures({ pieces: ['nothing of it'], usage }), /\[11 tokens, first after/)
        node.close()
    },

    async 'SIGTERM to all processes of a node, as systemd sends it, lets the answer finish'() {
        const alone = await new Node('drains', [demoModel, ...small]).open()
        await alone.ready()
        const stages = alone.stages()
        assert(stages.length > 0)
        assert.equal(alone.logText().match(/ plan: "caravan-demo" needs .* and fits on /g).length, 1, 'the plan is said once')
        let sent = false
        const answer = await streamChat(alone.api, { model: 'caravan-demo', messages: [{ role: 'user', content: 'Count to 50' }] }, () => {
            if (sent) return
            sent = true
            for (const pid of [alone.process.pid, ...childrenOf(alone.process.pid)]) {
                try {
                    process.kill(pid, 'SIGTERM')
                } catch { /* the child that measures the machine has ended by itself */ }
            }
        })
        assert.equal(answer.finish, 'stop', JSON.stringify(answer.error))
        assert.match(answer.text, /48, 49, 50/)
        assert.deepEqual(await alone.exited, { code: 0, signal: null })
        assert(!stages.some(isAlive))
    },

    async 'a node whose terminal is closed ends in order, and the join code shows on a terminal alone'() {
        const t = new Terminal(['up', demoModel, ...small, '--threads', '1', '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--state-dir', join(tmp, 'hung')])
        await t.until(/caravan join [0-9A-Z-]+/)
        await t.until(/is ready/)
        const pids = childrenOf(await t.pid)
        t.hangUp()
        assert.deepEqual(await t.end(), { code: 0, signal: null })
        await until('its processes are gone', () => !pids.some(isAlive)) /* one that measures dies with the node, not before it */
    },
})
