// SPDX-License-Identifier: MIT
// A cluster made, joined, left, its key changed, and a node shut out: real nodes on loopback, and the commands as people type them.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP
const home = (name) => join(tmp, name)
const keyFile = (name) => join(home(name), 'cluster.key')

// Runs a command to its end.
const cli = (args, input = '') => command(caravan, args, input)
async function command(program, args, input = '') {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let out = '', err = ''
    child.stdout.on('data', (d) => { out += d })
    child.stderr.on('data', (d) => { err += d })
    child.stdin.on('error', () => {}) // a command that reads nothing may have ended already
    child.stdin.end(input)
    const status = await new Promise((resolve) => child.on('close', resolve))
    return { status, out, err }
}
const on = (name, ...args) => cli([...args, '--state-dir', home(name)])

// A node with a folder, and so a key and an identity, of its own. It listens at 127.0.0.1, so its join code has that address.
async function start(name, ...options) {
    mkdirSync(home(name), { recursive: true })
    return new Node(name, ['--key-file', keyFile(name), '--memory', '64M', ...options]).open()
}
const nodes = async (node) => (await node.status()).nodes.length
const linked = (list) => until(`${list.length} nodes are linked`, async () => {
    for (const node of list) if (await nodes(node) !== list.length) return false
    return true
})
const codeOf = (text) => text.match(/caravan join ([0-9A-Z-]+)/)?.[1]

await run({
    async 'the first up makes a key and prints a join code; another machine joins by it; both remember each other'() {
        const a = await start('a1')
        assert.equal(statSync(keyFile('a1')).mode & 0o777, 0o600)
        assert.equal(statSync(join(home('a1'), 'identity')).mode & 0o777, 0o600)
        const invite = await on('a1', 'invite')
        const code = codeOf(invite.out)
        assert(code, 'invite prints the code')
        assert(!codeOf(a.logText()), 'no log has it')
        assert.match(a.logText(), /`caravan invite` prints/)
        const key = readFileSync(keyFile('a1'), 'utf8').trim()
        assert(!a.logText().includes(key) && !invite.out.includes(key))

        const wrong = code.slice(0, 15) + (code[15] === '7' ? '8' : '7') + code.slice(16)
        const typo = await on('b1', 'join', wrong)
        assert.equal(typo.status, 65)
        assert.match(typo.err, /mistyped: group 3/)
        assert.match((await on('b1', 'join', code.slice(0, 40))).err, /not complete/)
        const joined = await on('b1', 'join', code.toLowerCase())
        assert.equal(joined.status, 0, joined.err)
        assert.match(joined.out, /Next: caravan up/)
        assert.equal(readFileSync(keyFile('b1'), 'utf8').trim(), key)
        const b = await start('b1')
        await linked([a, b])

        const ids = (await a.status()).nodes.map((n) => n.id).sort()
        const peers = join(home('a1'), 'peers.json')
        await until('the peer is remembered', () => { try { return readFileSync(peers, 'utf8').includes('"b1"') } catch { return false } })
        await a.stop()
        await b.stop()
        const a2 = await start('a1'), b2 = await start('b1', '--listen', b.listen) /* b has its old address; no option names it */
        await linked([a2, b2])
        assert.deepEqual((await a2.status()).nodes.map((n) => n.id).sort(), ids, 'ids are stable')
        assert.equal(a2.logText().match(/has made a new cluster/g).length, 1, 'said once')
        await stopCluster([a2, b2])
    },

    async 'another cluster\'s key is not overwritten before leave'() {
        const a = await start('a2')
        const code = codeOf((await on('a2', 'invite')).out)
        const c = await start('c2')
        const own = readFileSync(keyFile('c2'), 'utf8')
        const refused = await on('c2', 'join', code)
        assert.equal(refused.status, 65)
        assert.match(refused.err, /another cluster/)
        assert.match(refused.err, /caravan leave/)
        assert.equal(readFileSync(keyFile('c2'), 'utf8'), own)
        assert.match((await on('c2', 'leave')).err, /a node runs/)
        await c.stop()
        const left = await on('c2', 'leave')
        assert.equal(left.status, 0, left.err)
        assert.throws(() => statSync(keyFile('c2')))
        const stdin = await cli(['join', '--state-dir', home('c2')], `  caravan join ${code}\n`)
        assert.equal(stdin.status, 0, stdin.err)
        const again = await start('c2')
        await linked([a, again])
        await stopCluster([a, again])
    },

    async 'the key is changed everywhere; who was away gets it in the time of grace, and is told what to do after it'() {
        const a = await start('a3')
        const code = codeOf((await on('a3', 'invite')).out)
        for (const name of ['b3', 'c3', 'd3']) assert.equal((await on(name, 'join', code)).status, 0)
        let b = await start('b3'), c = await start('c3'), d = await start('d3')
        await linked([a, b, c, d])
        const before = readFileSync(keyFile('a3'), 'utf8').trim()
        await c.stop()
        await d.stop()
        const rotated = await on('b3', 'key', 'rotate', '--grace', '40')
        assert.equal(rotated.status, 0, rotated.err)
        assert.match(rotated.out, /1 other node has/)
        const first = (name) => readFileSync(keyFile(name), 'utf8').split('\n')[0]
        await until('a has the new key', () => first('a3') === first('b3') && first('a3') !== before)
        assert.equal(statSync(keyFile('a3')).mode & 0o777, 0o600)
        await linked([a, b])
        c = await start('c3')
        await until('c has it too', () => first('c3') === first('a3'))
        await linked([a, b, c])

        /* A machine that was never a member cannot use the old key, in the time of grace either. */
        mkdirSync(home('x3'), { recursive: true })
        writeFileSync(keyFile('x3'), `${before}\n`, { mode: 0o600 })
        const x = await start('x3', '--peer', a.listen)
        await until('it is refused, and told why', () => /the cluster's key was changed/.test(x.logText()))
        const fetch = (name, key) => command(join(dirname(caravan), 'intruder'), [key, join(home(name), 'identity'), a.listen, demoModel])
        const old = join(tmp, 'old.key')
        writeFileSync(old, `${before}\n`, { mode: 0o600 })
        assert.match((await fetch('x3', old)).out, /^AUTH: .*only serves nodes that were members before/, 'and gets no weights with it')
        assert.match((await fetch('b3', old)).out, /^NOT_FOUND/, 'a member of old may: only the model is not here')
        assert.equal(await nodes(a), 3)
        await x.stop()

        for (const node of [a, b, c]) await until('the old key is at its end', () => /old cluster key is no longer accepted/.test(node.logText()))
        assert(!readFileSync(keyFile('a3'), 'utf8').includes(before), 'and forgotten')
        d = await start('d3')
        await until('d is told', () => /different cluster key.*caravan leave/.test(d.logText()))
        assert.equal(await nodes(d), 1)
        await d.stop()
        await on('d3', 'leave')
        assert.equal((await on('d3', 'join', codeOf((await on('a3', 'invite')).out))).status, 0)
        d = await start('d3')
        await linked([a, b, c, d])
        await stopCluster([a, b, c, d])
    },

    async 'a node that is shut out is refused by all, is told why, stays out after restarts, and can be let in again'() {
        const a = await start('a4', '--ctx', '256', '--parallel', '1', demoModel)
        const code = codeOf((await on('a4', 'invite')).out)
        for (const name of ['b4', 'c4']) assert.equal((await on(name, 'join', code)).status, 0)
        const b = await start('b4')
        let c = await start('c4')
        await linked([a, b, c])
        await a.ready()
        // Its key and identity, used by hand, as another program could use them.
        const asks = (node) => command(join(dirname(caravan), 'intruder'), [keyFile('c4'), join(home('c4'), 'identity'), node.listen, demoModel])
        assert.equal((await asks(a)).out.trim(), 'taken')
        assert.match((await on('a4', 'nodes', 'remove', 'nobody')).err, /no node called "nobody"/)
        const removed = await on('a4', 'nodes', 'remove', 'c4')
        assert.equal(removed.status, 0, removed.err)
        assert.match(removed.out, /the cluster's key, so that was changed; 1 other node has/)
        await until('it is out', async () => await nodes(a) === 2 && await nodes(b) === 2 && await nodes(c) === 1)
        for (const node of [a, b]) assert.match((await asks(node)).out, /^AUTH: .*shut out of the cluster/, 'no weights for it either')
        await until('and knows why', () => /shut out of the cluster/.test(c.logText()))
        const first = (name) => readFileSync(keyFile(name), 'utf8').split('\n')[0]
        await until('the others have a new key', () => first('a4') === first('b4') && first('a4') !== first('c4'))
        // With its old key and a new identity it can't come back, also in the time of grace.
        mkdirSync(home('y4'), { recursive: true })
        writeFileSync(keyFile('y4'), `${first('c4')}\n`, { mode: 0o600 })
        const y = await start('y4', '--peer', a.listen, '--peer', b.listen)
        await until('a new identity is refused', () => /the cluster's key was changed/.test(y.logText()))
        await y.stop()
        for (const node of [a, b]) {
            const { out } = await command(join(dirname(caravan), 'intruder'), [keyFile('y4'), join(home('y4'), 'identity'), node.listen, demoModel])
            assert.match(out, /^AUTH: .*only serves nodes that were members before/)
        }
        assert.match((await on('a4', 'nodes')).out, /shut out: c4 \([0-9a-f]{8}\)/)
        await b.stop()
        const b2 = await start('b4')
        await linked([a, b2])
        const left = c.listen
        await c.stop()
        c = await start('c4', '--peer', b2.listen)
        await linked([a, b2])
        await until('b remembers', () => /refused the link: node "c4" was shut out/.test(c.logText()))
        assert(!b2.logText().includes(`peer ${left}`), 'a node that was shut out is not dialled')
        assert.equal(await nodes(b2), 2)
        const allowed = await on('b4', 'nodes', 'allow', 'c4')
        assert.equal(allowed.status, 0, allowed.err)
        await linked([a, b2, c])
        await until('and has the new key', () => first('c4') === first('a4'))
        assert.doesNotMatch((await on('a4', 'nodes')).out, /shut out/)

        // A node that is gone for good is forgotten by all live nodes.
        const remembered = (name) => JSON.parse(readFileSync(join(home(name), 'peers.json'), 'utf8')).peers.some((p) => p.name === 'c4')
        assert.match((await on('a4', 'nodes', 'forget', 'c4')).err, /"c4" is linked/)
        await c.stop()
        await until('it is gone', async () => await nodes(a) === 2 && await nodes(b2) === 2)
        const forgotten = await on('a4', 'nodes', 'forget', 'c4')
        assert.equal(forgotten.status, 0, forgotten.err)
        await until('nobody remembers it', () => !remembered('a4') && !remembered('b4'))
        assert.match((await on('a4', 'nodes', 'forget', 'c4')).err, /no node called "c4" is remembered/)
        await stopCluster([a, b2])
    },

    async 'admin requests that a web page could send are refused'() {
        const a = await start('a5')
        const response = await fetch(`${a.api}/caravan/v1/key/rotate`, { method: 'POST', body: '{"grace":0}' })
        assert.equal(response.status, 400)
        await stopCluster([a])
    },
})
