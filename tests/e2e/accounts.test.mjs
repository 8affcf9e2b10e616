// SPDX-License-Identifier: MIT
// Keys that `caravan keys` makes, on a real node: what they may ask, what they may use up with 32 clients at once, and what is counted.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP

function options(name) {
    const home = join(tmp, name), models = join(home, 'models')
    mkdirSync(models, { recursive: true })
    copyFileSync(demoModel, join(models, 'spare.gguf'))
    return [demoModel, '--key-file', join(home, 'cluster.key'), '--memory', '96M', '--models-dir', models, '--ctx', '256']
}
const start = (name, more = []) => new Node(name, [...options(name), ...more]).open()

const cli = (node, ...args) => new Promise((resolve) => {
    execFile(caravan, [...args, '--state-dir', join(tmp, node.name)], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }))
})

async function makeKey(node, name, ...wishes) {
    const made = await cli(node, 'keys', 'add', name, ...wishes)
    assert.equal(made.code, 0, made.stderr)
    assert.match(made.stdout, /^cv-[0-9a-f]{48}\n$/)
    return made.stdout.trim()
}

function ask(node, key, more = {}) {
    const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) }
    const body = { model: 'caravan-demo', messages: [{ role: 'user', content: 'Who are you?' }], max_tokens: 8, temperature: 0, ...more }
    return fetch(`${node.api}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
}

await run({
    async 'the first key closes the node, also on this machine; a key asks only its models'() {
        const node = await start('a1')
        assert.equal((await ask(node)).status, 200, 'without keys, programs of this machine may ask')
        const all = await makeKey(node, 'all'), some = await makeKey(node, 'kitchen', '--model', 'tiny*', '--model', 'SPARE')
        assert.equal((await ask(node)).status, 401)
        assert.equal((await ask(node, `${all}0`)).status, 401)
        assert.equal((await ask(node, all)).status, 200)
        const refused = await ask(node, some)
        assert.equal(refused.status, 403)
        assert.match((await refused.json()).error.message, /the key "kitchen" may not ask "caravan-demo"/)
        assert.equal((await ask(node, some, { model: 'spare' })).status, 200)
        const list = async (key) => (await (await fetch(`${node.api}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).json()).data.map((m) => m.id).sort()
        assert.deepEqual(await list(all), ['caravan-demo', 'spare'])
        assert.deepEqual(await list(some), ['spare'])
        assert.equal((await cli(node, 'routes', 'set', 'quick', 'caravan-demo')).code, 0)
        const aliased = await makeKey(node, 'aliased', '--model', 'quick')
        assert.equal((await ask(node, aliased, { model: 'quick' })).status, 200, 'who may ask an alias may ask its targets by that name,')
        assert.equal((await ask(node, aliased)).status, 403, 'and not by their own')
        assert.deepEqual(await list(aliased), ['quick'])
        const tags = await (await fetch(`${node.api}/api/tags`, { headers: { authorization: `Bearer ${aliased}` } })).json()
        assert.deepEqual(tags.models.map((m) => m.name), ['quick:latest'])
        assert.equal((await ask(node, all)).status, 200)
        const unnamed = await ask(node, some, { model: undefined })
        assert.equal((await unnamed.json()).model, 'spare', 'without a name it is the only model that the key may ask, loaded or not')
        const none = await ask(node, await makeKey(node, 'none', '--model', 'other'), { model: undefined })
        assert.match((await none.json()).error.message, /the key "none" may not ask any model that is here/)
        const told = (key, path, model) => fetch(node.api + path, {
            headers: { authorization: `Bearer ${key}` }, ...(model && { method: 'POST', body: JSON.stringify({ model }) }) })
        for (const name of ['caravan-demo', 'nobody']) {
            const answers = [await told(some, `/v1/models/${name}`), await told(some, `/props?model=${name}`), await told(some, '/api/show', name)]
            for (const r of answers) assert.equal(r.status, 403, `it is told nothing of "${name}"`)
        }
        for (const r of [await told(some, '/v1/models/spare'), await told(some, '/api/show', 'spare'), await told(some, '/props')]) assert.equal(r.status, 200)
        assert.equal((await told(aliased, '/v1/models/quick')).status, 200)
        const admin = await fetch(`${node.api}/caravan/v1/keys`, { headers: { authorization: `Bearer ${all}` } })
        assert.equal(admin.status, 403, 'it is no admin key')
        const boss = await makeKey(node, 'boss', '--admin')
        assert.equal((await fetch(`${node.api}/caravan/v1/keys`, { headers: { authorization: `Bearer ${boss}` } })).status, 200)

        const twice = await cli(node, 'keys', 'add', 'all')
        assert.notEqual(twice.code, 0)
        assert.match(twice.stderr, /there is a key "all" already/)
        const shown = await cli(node, 'keys', 'list')
        for (const word of ['all', 'kitchen', 'tiny*', 'boss', 'admin', all.slice(0, 9)]) assert(shown.stdout.includes(word), `${word} in ${shown.stdout}`)
        for (const secret of [all, some, boss]) {
            assert(!shown.stdout.includes(secret.slice(3)) && !node.logText().includes(secret.slice(3)))
            for (const file of ['state.db', 'state.db-wal']) assert(!readFileSync(join(tmp, 'a1', file)).includes(secret.slice(3)))
        }
        await stopCluster([node])

        const again = await start('a1')
        assert.equal((await ask(again)).status, 401, 'keys last from one start to the next')
        assert.equal((await ask(again, all)).status, 200)
        assert.equal((await cli(again, 'keys', 'remove', 'all')).code, 0)
        assert.equal((await ask(again, all)).status, 401)
        const gone = await cli(again, 'keys', 'remove', 'all')
        assert.notEqual(gone.code, 0)
        assert.match(gone.stderr, /there is no key "all" here/)
        await stopCluster([again])
    },

    async 'a node serves a network when a key was made, and only then'() {
        const closed = await cli({ name: 'a2' }, 'up', ...options('a2'), '--api', '0.0.0.0:0', '--no-discovery', '--listen', '127.0.0.1:0')
        assert.notEqual(closed.code, 0)
        assert.match(closed.stderr, /caravan keys add NAME/)
        const first = await start('a2')
        const key = await makeKey(first, 'first')
        await stopCluster([first])
        const node = await start('a2', ['--api', '0.0.0.0:0'])
        assert.equal((await ask(node, key)).status, 200)
        assert.equal((await cli(node, 'keys', 'remove', 'first')).code, 0)
        assert.equal((await ask(node)).status, 401, 'it is not open because its last key was removed')
        assert.match((await cli(node, 'keys')).stdout, /no keys; .*\n.*wants a key all the same/)
        await stopCluster([node])
    },

    async 'quotas hold for 32 clients at once, over a restart too, and everything is counted'() {
        const node = await start('a3', ['--parallel', '4'])
        const tokens = await makeKey(node, 'tokens', '--tokens-per-day', '300')
        const requests = await makeKey(node, 'requests', '--requests-per-day', '5')
        const used = async (key, least) => {
            const answers = await Promise.all(Array.from({ length: 32 }, () => ask(node, key)))
            const bodies = await Promise.all(answers.map((a) => a.json()))
            const good = bodies.filter((b, i) => answers[i].status === 200)
            assert(good.length >= least, `${good.length} were answered`)
            for (const a of answers.filter((r) => r.status !== 200)) {
                assert.equal(a.status, 429)
                assert(Number(a.headers.get('retry-after')) >= 1)
            }
            return good.map((b) => b.usage.total_tokens)
        }
        const first = await used(tokens, 1)
        let sum = first.reduce((a, b) => a + b, 0)
        for (let i = 0; i < 50; i++) {
            const more = await used(tokens, 0)
            if (more.length === 0) break
            sum += more.reduce((a, b) => a + b, 0)
        }
        const largest = Math.max(...first)
        assert(sum >= 300 && sum < 300 + largest, `${sum} tokens of 300, the largest request took ${largest}`)
        assert.equal((await used(requests, 5)).length, 5)
        const late = await ask(node, requests)
        assert.match((await late.json()).error.message, /"requests" may use 5 requests a day; 5 are used/)
        assert(Number(late.headers.get('retry-after')) > 1)
        await stopCluster([node])

        const again = await start('a3')
        assert.equal((await ask(again, requests)).status, 429)
        const kept = JSON.parse((await cli(again, 'keys', '--json')).stdout).keys
        assert.equal(kept.find((k) => k.name === 'requests').used.requests_per_day, 5, 'what was refused is not used')
        assert.equal(kept.find((k) => k.name === 'tokens').used.tokens_per_day, sum)
        assert.equal((await ask(again, tokens)).status, 429)
        const rows = JSON.parse((await cli(again, 'usage', '--json')).stdout).usage
        const row = (name) => rows.find((r) => r.name === name && r.model === 'caravan-demo')
        assert.equal(row('tokens').prompt_tokens + row('tokens').completion_tokens, sum)
        assert.equal(row('requests').requests - row('requests').failed, 5)
        const csv = (await cli(again, 'usage', '--csv')).stdout.split('\r\n')
        assert.equal(csv[0], 'day,key,name,model,requests,failed,prompt_tokens,cached_tokens,completion_tokens,money')
        assert(csv.some((line) => line.includes(',requests,caravan-demo,')))
        assert.match((await cli(again, 'usage')).stdout, /tokens +caravan-demo/)
        assert.equal(JSON.parse((await cli(again, 'usage', '--json', '--from', '2020-01-01', '--to', '2020-01-31')).stdout).usage.length, 0)
        assert.equal((await cli(again, 'keys', 'remove', 'tokens')).code, 0)
        assert.match((await cli(again, 'usage')).stdout, /tokens \(removed\) +caravan-demo/)
        const left = JSON.parse((await cli(again, 'usage', '--json')).stdout).usage.filter((r) => r.name === 'tokens')
        assert(left.length > 0 && left.every((r) => r.removed))
        const bad = await cli(again, 'usage', '--from', 'yesterday')
        assert.match(bad.stderr, /--from "yesterday" is no day/)
        await stopCluster([again])
    },

    async 'what a key cannot have is refused by name'() {
        const node = await start('a4')
        for (const [args, says] of [[['keys', 'add'], /which key\?/], [['keys', 'paint', 'x'], /"keys paint" is not known/], [['keys', 'add', 'x', '--priority', '101'], /--priority/]]) {
            const r = await cli(node, ...args)
            assert.notEqual(r.code, 0)
            assert.match(r.stderr, says)
        }
        const wish = await fetch(`${node.api}/caravan/v1/keys`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"x","token_per_day":5}' })
        assert.equal(wish.status, 400)
        assert.match((await wish.json()).error.message, /"token_per_day": a key has no such property/)
        for (const body of ['[]', '5', 'true', '', '{']) {
            const bad = await fetch(`${node.api}/caravan/v1/keys`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
            assert.equal(bad.status, 400, `${body} is no key`)
        }
        await stopCluster([node])
    },
})
