// SPDX-License-Identifier: MIT
// A member that sends without end: whatever it sends, the node's memory stays bounded, it answers, the members take turns, and the others
// are linked with it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, ask, demoModel, run, until } from './lib/cluster.mjs'

const flood = join(process.env.CARAVAN_BUILD, 'bin', 'flood')
const bound = 700e6 // 256 MB for all links together, the copies of a request on its way, and the node itself; unbounded it is gigabytes
const turn = 32 // frames of one member that the loop handles before it looks at the others (members/quota.h)
const peak = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmHWM:\s+(\d+) kB/)[1]) * 1024

await run(Object.fromEntries(['pings', 'wants', 'calls', 'records', 'texts', 'halves'].map((what) => [`a member sends ${what} without end`, async () => {
    const a = await new Node(`${what}-a`, [demoModel, '--memory', '64M']).open()
    const b = await new Node(`${what}-b`, ['--memory', '64M', '--peer', a.listen]).open()
    await a.ready()
    await until('b sees a', async () => (await b.status()).nodes.length === 2)
    const { models } = await (await fetch(`${a.api}/caravan/v1/models`)).json()
    const key = join(process.env.CARAVAN_TMP, 'cluster.key')
    const child = spawn(flood, [key, a.listen, what, '8', models[0].instances[0].instance], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((done) => child.on('exit', done))
    let said = ''
    child.stdout.on('data', (d) => { said += d })
    for (let i = 0; i < 3; i++) {
        const answer = await ask(b.api, 'Count to 3', { max_tokens: 8 })
        assert(answer.error === null && answer.text.length > 0)
    }
    assert.equal(await ended, 0, said)
    console.log(`    ${said.trim()}; at most ${Math.round(peak(a.process.pid) / 1e6)} MB`)
    assert(peak(a.process.pid) < bound, `${peak(a.process.pid)} bytes`)
    const { turn_frames: most } = await a.status()
    assert(most > 0 && most <= turn, `${most} frames of one member were handled in one turn of the loop`)
    assert(!['pings', 'wants', 'calls'].includes(what) || Number(said.split(' ')[0]) > turn, `the flood was none: ${said}`)
    for (const n of [a, b]) await until('they are linked', async () => (await n.status()).nodes.some((o) => !o.self && o.name.startsWith(`${what}-`) && o.host))
    for (const n of [b, a]) await n.stop()
}])))
