// SPDX-License-Identifier: MIT
// Files in a models folder, and paths given as models, may be of any kind: the node goes on, and names the fault.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'

const small = ['--ctx', '256', '--parallel', '2']
const tmp = process.env.CARAVAN_TMP

const cli = (...args) => new Promise((resolve) => {
    execFile(caravan, args, { timeout: 60000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})
const list = async (node) => Object.fromEntries((await (await fetch(`${node.api}/caravan/v1/models`)).json()).models.map((m) => [m.name, m]))

// A models folder with these files: copies of the demo model.
function folder(name, ...models) {
    const dir = join(tmp, name)
    mkdirSync(dir, { recursive: true })
    for (const model of models) copyFileSync(demoModel, join(dir, model))
    return dir
}

// The demo model with another name in its header, which makes it another model.
function otherModel(path) {
    const bytes = readFileSync(demoModel)
    bytes.write('Carovan demo', bytes.indexOf('Caravan demo'))
    writeFileSync(path, bytes)
}

const post = async (node, path, body) => {
    const response = await fetch(node.api + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: response.status, text: await response.text() }
}

await run({
    async 'a pipe instead of a model is refused by name, and freezes nobody'() {
        const dir = folder('pipes', 'good.gguf')
        const pipe = join(dir, 'pipe.gguf')
        execFileSync('mkfifo', [pipe])
        const node = await new Node('p1', ['--models-dir', dir, ...small]).open()
        const refused = await cli('load', pipe, '--api', node.api.slice(7))
        assert.notEqual(refused.code, 0)
        assert.match(refused.stderr, /pipe\.gguf": it is a pipe, not a file/)
        assert.match((await ask(node.api, 'Who are you?', { model: 'good' })).text, /Caravan/)
        assert.deepEqual(Object.keys(await list(node)), ['good'])
        await stopCluster([node])
        const up = ['--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--state-dir', join(tmp, 'p2')]
        for (const args of [['up', pipe, ...up], ['up', demoModel, '--draft', pipe, ...up], ['plan', pipe], ['verify', pipe], ['run', pipe, 'Hi']]) {
            const said = await cli(...args)
            assert.notEqual(said.code, 0, `${args}: ${said.stdout}`)
            assert.match(said.stderr, /pipe\.gguf": it is a pipe, not a file/, `${args}: ${said.stderr}`)
        }
    },

    async 'a file name that is no UTF-8 hides nothing'() {
        const dir = folder('bytes', 'plain.gguf')
        copyFileSync(demoModel, Buffer.concat([Buffer.from(join(dir, 'caf')), Buffer.from([0xe9]), Buffer.from('.gguf')]))
        const first = await new Node('b1', ['--models-dir', dir, ...small]).open()
        const second = await new Node('b2', ['--models-dir', folder('none'), '--peer', first.listen, ...small]).open()
        for (const node of [first, second]) {
            await until(`${node.name} sees both nodes and both models`, async () => {
                const names = (await (await fetch(`${node.api}/v1/models`)).json()).data.map((m) => m.id).sort()
                return (await node.status()).nodes.length === 2 && names.join() === 'caf_,plain'
            })
            assert.match((await ask(node.api, 'Who are you?', { model: 'caf_' })).text, /Caravan/)
        }
        await stopCluster([first, second])
    },

    async 'two models of one name are two, in a folder and in a cluster'() {
        const dir = folder('same', 'x.gguf')
        const inner = join(dir, 'sub')
        mkdirSync(inner)
        otherModel(join(inner, 'x.gguf'))
        const node = await new Node('s1', ['--models-dir', dir, '--no-load-on-demand', ...small]).open()
        const api = ['--api', node.api.slice(7)]
        const loaded = await cli('load', join(inner, 'x.gguf'), ...api)
        assert.equal(loaded.code, 0, loaded.stderr)
        const [, tagged] = /^(x:[0-9a-f]{8}): ready/.exec(loaded.stdout)
        const models = await list(node)
        assert.deepEqual(Object.keys(models).sort(), ['x', tagged])
        assert.equal(models[tagged].state, 'ready')
        assert.equal(models.x.state, 'not loaded')
        assert.equal((await ask(node.api, 'Who are you?', { model: 'x' })).status, 503)
        const answer = await post(node, '/v1/chat/completions', { model: tagged, messages: [{ role: 'user', content: 'Who are you?' }] })
        assert.equal(JSON.parse(answer.text).model, tagged)
        assert.match((await cli('unload', join(inner, 'x.gguf'), ...api)).stdout, /^x:[0-9a-f]{8}: unloaded/)
        assert.match((await cli('load', join(dir, 'x.gguf'), ...api)).stdout, /^x: ready/)
        assert.equal((await list(node))[tagged].state, 'not loaded')
        /* the other one, called "x" on a node of its own: it has to give the name up */
        const far = join(tmp, 'far')
        mkdirSync(far)
        otherModel(join(far, 'x.gguf'))
        const other = await new Node('s2', ['--models-dir', far, '--no-load-on-demand', '--peer', node.listen, ...small]).open()
        for (const n of [node, other])
            await until(`${n.name} knows both by their names`, async () => {
                const all = await list(n)
                return all.x?.state === 'ready' && all[tagged]?.files.includes('s2') && !all.x.files.includes('s2')
            })
        await stopCluster([node, other])
    },

    async 'names are found as clients write them, on every API'() {
        const long = 'n'.repeat(240)
        const node = await new Node('n1', ['--models-dir', folder('names', 'Demo.gguf', `${long}.gguf`, 'with space%.gguf'), ...small]).open()
        const tags = (await (await fetch(`${node.api}/api/tags`)).json()).models.map((m) => m.name).sort()
        assert.deepEqual(tags, ['Demo:latest', `${long}:latest`, 'with space%:latest'])
        const messages = [{ role: 'user', content: 'Who are you?' }]
        for (const model of ['Demo', 'Demo:latest', 'demo', 'DEMO:LATEST', long, 'with space%'])
            for (const [path, body] of [
                ['/v1/chat/completions', { messages, max_tokens: 4 }], ['/v1/completions', { prompt: 'A', max_tokens: 4 }], ['/v1/messages', { messages, max_tokens: 4 }],
                ['/v1/responses', { input: 'Hi', max_output_tokens: 4 }], ['/api/chat', { messages, stream: false, options: { num_predict: 4 } }],
                ['/api/generate', { prompt: 'A', stream: false, options: { num_predict: 4 } }], ['/api/show', {}], ['/tokenize', { content: 'A' }]]) {
                const answer = await post(node, path, { model, ...body })
                assert.equal(answer.status, 200, `${path} ${model}: ${answer.text}`)
            }
        for (const model of ['Demo', 'demo:latest', long, 'with space%'])
            assert.equal((await fetch(`${node.api}/v1/models/${encodeURIComponent(model)}`)).status, 200, model)
        const missing = await post(node, '/v1/chat/completions', { model: 'demo:8b', messages })
        assert.equal(missing.status, 404)
        const api = ['--api', node.api.slice(7)]
        assert.match((await cli('unload', 'demo:latest', ...api)).stdout, /^Demo: unloaded/)
        for (const model of ['with space%', long]) {
            assert.equal((await cli('unload', model, ...api)).code, 0)
            const removed = await cli('rm', model, '--yes', ...api)
            assert.equal(removed.stdout, `${model}: deleted\n`, removed.stderr)
        }
        assert.deepEqual(Object.keys(await list(node)), ['Demo'])
        await stopCluster([node])
    },

    async 'what cannot be used in the models folder is named'() {
        const dir = folder('broken', 'good.gguf')
        writeFileSync(join(dir, 'page.gguf'), '<html>not found</html>')
        writeFileSync(join(dir, 'empty.gguf'), '')
        const node = await new Node('k1', ['--models-dir', dir, ...small]).open()
        const shown = await until('both are named', async () => {
            const { stdout } = await cli('models', '--api', node.api.slice(7))
            return /unusable: .*page\.gguf/.test(stdout) && stdout
        })
        assert.match(shown, /unusable: .*empty\.gguf/)
        assert.match(shown, /^good /m)
        assert.match(node.logText(), /warn .*page\.gguf/)
        assert.equal(node.logText().match(/warn .*page\.gguf/g).length, 1)
        await stopCluster([node])
    },
})
