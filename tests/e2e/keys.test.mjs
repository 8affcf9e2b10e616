// SPDX-License-Identifier: MIT
// Permissions on a real node: keys that use models, keys that administer, the command line of the node's own user, and web pages.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP
const routesTable = readFileSync(join(process.env.CARAVAN_SOURCE, 'tables/routes.def'), 'utf8')

// The routes that need an admin key, as the table has them, each with a request that would do harm if it were let through.
const harm = {
    'POST /caravan/v1/models/load': { model: 'spare' },
    'POST /caravan/v1/models/unload': { model: 'spare' },
    'DELETE /caravan/v1/models/{}': undefined,
    'POST /lora-adapters': [{ id: 0, scale: 1 }],
    'POST /caravan/v1/nodes/remove': { name: 'other', grace: 0 },
    'POST /caravan/v1/nodes/allow': { name: 'other' },
    'POST /caravan/v1/nodes/forget': { name: 'other' },
    'POST /caravan/v1/nodes/drain': { name: 'other' },
    'POST /caravan/v1/nodes/undrain': { name: 'other' },
    'POST /caravan/v1/nodes/wake': { name: 'all' },
    'POST /caravan/v1/models/pull': { model: 'hf:owner/repo' },
    'POST /caravan/v1/models/unpull': { model: 'hf:owner/repo' },
    'GET /caravan/v1/logs': undefined,
    'POST /caravan/v1/key/rotate': { grace: 0 },
    'GET /caravan/v1/keys': undefined,
    'POST /caravan/v1/keys': { name: 'mine', admin: true },
    'DELETE /caravan/v1/keys/{}': undefined,
    'GET /caravan/v1/usage': undefined,
    'GET /caravan/v1/requests': undefined,
    'GET /caravan/v1/requests/{}': undefined,
    'GET /caravan/v1/routes': undefined,
    'POST /caravan/v1/invite': {},
    'PUT /caravan/v1/routes': { models: { spare: { targets: [{ model: 'other' }] } } },
}
const adminRoutes = [...routesTable.matchAll(/ROUTE\("(\w+)",\s*"([^"]+)",\s*\w+,\s*ADMIN,/g)].map((m) => `${m[1]} ${m[2]}`)
assert.deepEqual(adminRoutes.sort(), Object.keys(harm).sort(), 'a new admin route needs a row here')

function send(node, route, headers, body = harm[route]) {
    const [method, path] = route.split(' ')
    return fetch(node.api + path.replace('{}', 'spare'), { method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } })
}

async function start(name, ...options) {
    const home = join(tmp, name), models = join(home, 'models')
    mkdirSync(models, { recursive: true })
    copyFileSync(demoModel, join(models, 'spare.gguf'))
    const node = await new Node(name, ['--key-file', join(home, 'cluster.key'), '--memory', '64M', '--models-dir', models, '--ctx', '256', ...options]).open()
    node.home = home
    node.modelFile = join(models, 'spare.gguf')
    return node
}

const withKey = (key) => ({ authorization: `Bearer ${key}` })
const cli = (...args) => new Promise((resolve) => {
    execFile(caravan, args, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})

// The state that the harmful requests would change.
async function unharmed(node, before) {
    const { models } = await (await fetch(`${node.api}/caravan/v1/models`, { headers: withKey('administers') })).json()
    assert.equal(models.find((m) => m.name === 'spare').state, 'not loaded')
    assert(existsSync(node.modelFile), 'the model is still there')
    assert.equal(readFileSync(join(node.home, 'cluster.key'), 'utf8'), before)
}

await run({
    async 'a key that asks changes nothing; an admin key does; the own command line needs neither'() {
        const keys = join(tmp, 'keys')
        writeFileSync(keys, '# of the office\nasks\nadministers admin # the owner\n')
        const node = await start('k1', '--api-key-file', keys)
        const before = readFileSync(join(node.home, 'cluster.key'), 'utf8')
        for (const route of adminRoutes) {
            assert.equal((await send(node, route, {})).status, 401, `${route} without a key`)
            assert.equal((await send(node, route, withKey('wrong'))).status, 401, `${route} with a wrong key`)
            const refused = await send(node, route, withKey('asks'))
            assert.equal(refused.status, 403, `${route} with a key that asks`)
            const { error } = await refused.json()
            assert.equal(error.code, 'insufficient_permissions')
            assert.match(error.message, /not marked "admin"/)
        }
        await unharmed(node, before)
        for (const key of ['asks', 'administers']) assert.equal((await fetch(`${node.api}/v1/models`, { headers: withKey(key) })).status, 200)

        const at = ['--api', node.api.slice(7)], home = ['--state-dir', node.home]
        const asks = await cli('load', 'spare', ...at, '--api-key', 'asks')
        assert.equal(asks.code, 77)
        assert.match(asks.stderr, /give an admin key/)
        assert.equal((await cli('load', 'spare', ...at, '--api-key', 'administers')).code, 0)
        assert.match((await cli('nodes', ...home)).stdout, /k1 /)
        const any = ['--api', `0.0.0.0:${new URL(node.api).port}`] // as a container's environment has it for node and commands
        for (const where of [home, [...home, ...at], [...home, ...any]]) {
            const unloaded = await cli('unload', 'spare', ...where)
            assert.equal(unloaded.code, 0, unloaded.stderr)
            assert.equal((await cli('load', 'spare', ...where)).code, 0)
        }
        const stranger = await cli('unload', 'spare', ...at) // another user: the folder is not theirs
        assert.equal(stranger.code, 77)
        assert.match(stranger.stderr, /an API key is needed/)
        assert.match((await cli('run', 'spare', 'Who are you?', ...home)).stdout, /Caravan/)

        const own = join(node.home, 'admin.key')
        assert.equal(statSync(own).mode & 0o777, 0o600)
        const first = readFileSync(own, 'utf8')
        assert.match(first, /^[0-9a-f]{64}$/)
        assert(!node.logText().includes(first))
        const rotated = await cli('key', 'rotate', ...home)
        assert.equal(rotated.code, 0, rotated.stderr)
        await until('the key has changed', () => readFileSync(join(node.home, 'cluster.key'), 'utf8') !== before)
        await stopCluster([node])
        assert(!existsSync(own), 'it ends with the node')
    },

    async 'without keys programs of this machine administer, and web pages do not'() {
        const node = await start('k2', '--cors-origin', '*')
        const before = readFileSync(join(node.home, 'cluster.key'), 'utf8')
        const pages = [{ origin: 'http://localhost:3000' }, { origin: 'https://evil.com' }, { origin: 'null' }, { origin: 'app://x' }, { 'sec-fetch-site': 'cross-site' }]
        for (const route of adminRoutes)
            for (const page of pages) assert.equal((await send(node, route, page)).status, 403, `${route} ${JSON.stringify(page)}`)
        await unharmed(node, before)
        assert.equal((await fetch(`${node.api}/v1/models`, { headers: { origin: 'http://localhost:3000' } })).status, 200)
        assert.equal((await send(node, 'DELETE /caravan/v1/models/{}', {})).status, 200)
        assert(!existsSync(node.modelFile))
        await stopCluster([node])
    },

    async 'the error for a file that is no model quotes nothing of it; a key file with a mistake is refused'() {
        const secret = join(tmp, 'secret'), keys = join(tmp, 'bad-keys')
        writeFileSync(secret, 'root:$6$salt:19000:0:99999:7:::\n'.repeat(9))
        const node = await start('k3')
        const answer = await (await send(node, 'POST /caravan/v1/models/load', {}, { model: secret })).text()
        assert.match(answer, /not a GGUF file/)
        assert.doesNotMatch(answer, /root|72 6f|\$6/)
        await stopCluster([node])
        writeFileSync(keys, 'asks\nsk-secret Admin\n')
        const { code, stderr } = await cli('up', '--api-key-file', keys, '--state-dir', join(tmp, 'k4'))
        assert.equal(code, 65)
        assert.match(stderr, /bad-keys" line 2: "Admin" after an API key is not known/)
        assert(!stderr.includes('sk-secret'))
    },
})
