// SPDX-License-Identifier: MIT
// What the page's Connect view gives to paste (web/connect_settings.js), tried as it stands with the programs that npm has, against a real
// node that wants a key. The coding agents' are tried by agents.test.mjs.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAMS } from '../../web/connect_settings.js'
import { Node, demoModel, run, stopCluster } from './lib/cluster.mjs'
import { load, modules } from './lib/openai.mjs'

const key = 'key-of-the-test', model = 'caravan-demo'
const node = await new Node('served', [demoModel, '--ctx', '512', '--parallel', '2', '--api-key', key]).open()
await node.ready(key)
const dir = join(process.env.CARAVAN_TMP, 'pasted')
mkdirSync(dir)
symlinkSync(join(modules(), 'node_modules'), join(dir, 'node_modules'))
const parts = (id) => PROGRAMS.find((p) => p.id === id).make({ base: node.api, key, model })
const [text, wrongKey] = [(id) => parts(id)[0].text, (id) => PROGRAMS.find((p) => p.id === id).make({ base: node.api, key: 'guess', model })[0].text]

// Runs a program; resolves to its exit status and what it says.
function did(program, args, env = {}) {
    const child = spawn(program, args, { cwd: dir, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { out += data })
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, out })))
}
// A module, pasted into a file.
function pasted(id, script) {
    const file = join(dir, `${id}.mjs`)
    writeFileSync(file, script)
    return did(process.execPath, [file])
}

const modulesOfJavaScript = PROGRAMS.map((p) => p.id).filter((id) => /^npm install/.test(parts(id)[0].where))
const tests = {}
for (const id of modulesOfJavaScript)
    tests[`${id}: pasted into a file, it answers; with another key it is refused`] = async () => {
        const { code, out } = await pasted(id, text(id))
        assert.equal(code, 0, out)
        assert.match(out, /[A-Za-z]{3}/)
        const refused = await pasted(id, wrongKey(id))
        assert.notEqual(refused.code, 0, refused.out)
        assert.match(refused.out, /API key is not known/)
    }

await run({
    async 'the programs that npm has are there'() {
        assert.deepEqual(modulesOfJavaScript.sort(), ['ai-sdk', 'langchain-js', 'openai-js'])
    },
    ...tests,
    async 'curl: pasted into a shell'() {
        const { code, out } = await did('sh', ['-c', `${text('curl')} -fsS`])
        assert.equal(code, 0, out)
        assert.match(JSON.parse(out).choices[0].message.content, /[A-Za-z]{3}/)
    },
    async 'Ollama clients: the address of the environment'() {
        const [, host] = /^OLLAMA_HOST=(\S+)$/.exec(text('ollama'))
        const { Ollama } = await load('ollama')
        const client = new Ollama({ host, headers: { Authorization: `Bearer ${key}` } })
        assert.match((await client.chat({ model, messages: [{ role: 'user', content: 'Who are you?' }] })).message.content, /Caravan/)
    },
    async 'Python: the text is Python'() {
        if (spawnSync('python3', ['--version']).error) return console.log('# no python3 here')
        for (const id of PROGRAMS.map((p) => p.id).filter((id) => /^pip install/.test(parts(id)[0].where))) {
            const { code, out } = await did('python3', ['-c', 'import ast, sys; ast.parse(sys.argv[1])', text(id)])
            assert.equal(code, 0, out)
        }
    },
    async 'every row fills in the address, and the key and the model where the program takes them'() {
        for (const { id } of PROGRAMS) {
            const all = parts(id).map((part) => part.text).join('\n')
            assert(all.includes(node.api), id)
            if (id !== 'ollama') assert(all.includes(key), id)
            if (!['ollama', 'open-webui'].includes(id)) assert(all.includes(model), id)
            for (const part of parts(id)) assert(part.where.length > 0 && !/undefined|\n$/.test(part.text), id)
        }
    },
})
await stopCluster([node])
