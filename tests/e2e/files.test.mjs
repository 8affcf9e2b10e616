// SPDX-License-Identifier: MIT
// What lies in a models folder, and what is named as a model, may be anything: a node goes on, and says what is wrong with it.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, caravan, demoModel, run, stopCluster } from './lib/cluster.mjs'

const small = ['--ctx', '256', '--parallel', '2']
const tmp = process.env.CARAVAN_TMP

const cli = (...args) => new Promise((resolve) => {
    execFile(caravan, args, { timeout: 60000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})
const list = async (node) => Object.fromEntries((await (await fetch(`${node.api}/caravan/v1/models`)).json()).models.map((m) => [m.name, m]))

await run({
    async 'a pipe instead of a model is refused by name, and freezes nobody'() {
        const dir = join(tmp, 'pipes')
        mkdirSync(dir, { recursive: true })
        copyFileSync(demoModel, join(dir, 'good.gguf'))
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
})
