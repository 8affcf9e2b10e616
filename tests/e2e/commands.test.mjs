// SPDX-License-Identifier: MIT
// The command line beside a node, without one, and beside something else: what is said when it works and when it doesn't.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { Node, caravan, childrenOf, demoModel, isAlive, run, stopCluster, streamChat, until } from './lib/cluster.mjs'
import { Hub } from './lib/hub.mjs'
import { Terminal } from './lib/terminal.mjs'

const tmp = process.env.CARAVAN_TMP
const small = ['--ctx', '512', '--parallel', '1']
let homes = 0

// Runs a command; input: a path, or text for a pipe; none: nothing is there to read.
function cli(args, { input, text, home = join(tmp, `home-${homes++}`), stdout = 'pipe' } = {}) {
    const fd = input ? openSync(input, 'r') : 'ignore'
    const child = spawn(caravan, [...args, '--state-dir', home], { stdio: [text === undefined ? fd : 'pipe', stdout, 'pipe'] })
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

    async 'the prompt and standard input are one question; a reader that goes away ends it'() {
        const node = await new Node('asked', [demoModel, ...small]).open()
        await node.ready()
        const file = join(tmp, 'question.txt')
        writeFileSync(file, 'you?\n')
        const seen = []
        const proxy = http.createServer((request, response) => { // what the model is asked
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
        /* nobody reads the answer */
        const child = spawn(caravan, ['run', 'caravan-demo', 'Count to 100', ...through, '--state-dir', join(tmp, 'gone')], { stdio: ['ignore', 'pipe', 'ignore'] })
        child.stdout.once('data', () => child.stdout.destroy())
        const end = await new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })))
        assert.equal(end.code, 68, JSON.stringify(end))
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
        await until('it is named', async () => /unusable: .*broken\.gguf": not a GGUF file/.test((await cli(['models', ...at(node)])).out), 60)
        await stopCluster([node])
    },

    async 'SIGTERM to all processes of a node, as systemd sends it, lets the answer finish'() {
        const alone = await new Node('drains', [demoModel, ...small]).open()
        await alone.ready()
        const stages = alone.stages()
        assert(stages.length > 0)
        let sent = false
        const answer = await streamChat(alone.api, { model: 'caravan-demo', messages: [{ role: 'user', content: 'Count to 50' }] }, () => {
            if (sent) return
            sent = true
            for (const pid of [alone.process.pid, ...childrenOf(alone.process.pid)]) process.kill(pid, 'SIGTERM')
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
        await until('its processes are gone', () => !pids.some(isAlive), 10) /* one that measures dies with the node, not before it */
    },
})
