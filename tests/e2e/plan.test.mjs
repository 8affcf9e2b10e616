// SPDX-License-Identifier: MIT
// `caravan plan` beside a node and without one: it finds the models by the names that other commands take, counts as that node loads, and says
// what a file lacks.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'

const tmp = process.env.CARAVAN_TMP

function plan(...args) {
    const child = spawn(caravan, ['plan', ...args], { env: { ...process.env, CARAVAN_UBATCH: undefined }, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = '', err = ''
    child.stdout.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}
function folder(name, ...models) {
    const dir = join(tmp, name)
    mkdirSync(dir, { recursive: true })
    for (const model of models) copyFileSync(demoModel, join(dir, `${model}.gguf`))
    return dir
}
const near = (a, b) => Math.abs(a - b) < 0.15 // MB; what a process has differs by a page from one measurement to the next
const at = (node) => ['--api', node.api.slice(7)]

await run({
    async 'the models of the running node are known by name, and counted as it loads them'() {
        const node = await new Node('planned', ['--models-dir', folder('there', 'mine'), '--ctx', '640', '--parallel', '2', '--cache-type-k', 'q8_0']).open()
        await until('the node knows its model', async () => /mine/.test(await (await fetch(`${node.api}/caravan/v1/models`)).text()))
        for (const how of [at(node), ['--state-dir', node.dir]]) { // the second finds the node by its state folder
            for (const name of ['mine', 'MINE:latest']) {
                const said = await plan(name, ...how)
                assert.equal(said.code, 0, said.err)
                assert.match(said.out, /on this cluster: .*640 positions for each of 2 conversations/)
            }
            const other = await plan('mine', '--parallel', '3', '--ctx', '320', ...how)
            assert.match(other.out, /320 positions for each of 3 conversations/)
        }
        const whole = async (...args) => JSON.parse((await plan('mine', '--json', ...at(node), ...args)).out).whole_bytes
        assert(await whole() < await whole('--cache-type-k', 'f16'), 'the types of its KV cache count too')
        const route = async (body) => (await fetch(`${node.api}/caravan/v1/plan`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json()
        const asText = JSON.parse((await plan('gpt-oss:20b', '--fleet', '2xmac-m4-max-64,10gbe', '--prompt-tokens', '8000', '--json')).out)
        const { text, ...answer } = await route({ model: 'gpt-oss:20b', fleet: '2xmac-m4-max-64,10gbe', prompt_tokens: 8000 })
        assert.deepEqual(answer, asText, 'the route says what the command line says')
        assert.match(text, /^gpt-oss:20b on 2xmac-m4-max-64,10gbe: [^]*What it costs/)
        const mine = await route({ model: 'mine' })
        assert(mine.fits && mine.fleet === 'this cluster' && mine.n_ctx === 640 && mine.streams === 2, 'as the node is set')
        assert((await route({ fleet: { machines: [{ hardware: 'rtx3090-24' }] } })).models.length > 10)
        assert((await route({ model: 'gpt-oss:20b', fleet: 'rtx3090-24', buy: 60 })).offers.length > 1)
        const slow = { model: 'llama-70b:q4_k_m', fleet: '3xpc-ddr4-32,wan-50ms', parallel: 4 }, [full, brief] = [await route(slow), await route({ ...slow, advice: false })]
        assert(full.advice.length > 0 && brief.advice === '' && brief.copies[0].tokens_per_second === full.copies[0].tokens_per_second)
        assert.match((await route({ model: 'llama-405b', fleet: 'pi4-8' })).text, /needs/)
        assert.match((await route({ model: 'gpt-oss:20b', fleet: 'fleet.json' })).error.message, /no hardware is called/, 'it opens no files')
        assert.match((await route({ model: 'gpt-oss:20b', fleet: 3 })).error.message, /text or an object/)
        assert(near(mine.whole_bytes / 2 ** 20, await whole() / 2 ** 20), 'the route asks libllama, as the command line does')
        const needs = /"mine" needs ([\d.]+) MB/
        const planned = needs.exec((await plan('mine', ...at(node))).out)[1]
        assert.equal((await fetch(`${node.api}/caravan/v1/models/load`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model":"mine"}' })).status, 200)
        assert(near((await until('it is planned', () => needs.exec(node.logText())))[1], planned), 'the node needs what was planned')
        const unknown = await plan('nothing-like-it', ...at(node))
        assert.equal(unknown.code, 66)
        assert.match(unknown.err, /there is no model "nothing-like-it": no file, none of the cluster, and no model that plans know by name\nhint: /)
        await stopCluster([node])
    },
    async 'a model whose file another node has is planned there; a node that wants a key says so'() {
        const first = await new Node('first', ['--models-dir', folder('none')]).open()
        const second = await new Node('second', ['--models-dir', folder('far', 'faraway'), '--peer', first.listen]).open()
        await until('the first node knows of it', async () => /faraway/.test(await (await fetch(`${first.api}/caravan/v1/models`)).text()))
        const asked = ['faraway', '--ctx', '320', '--parallel', '3'], far = await plan(...asked, ...at(first)), there = await plan(...asked, ...at(second))
        assert.equal(far.code, 0, far.err)
        assert.match(far.out, /on this cluster: .*320 positions for each of 3 conversations/)
        assert.equal(far.out.split('\n').length, there.out.split('\n').length, 'the same as at the node with the file')
        const [one, two] = [far, there].map((x) => x.out.match(/needs ([\d.]+) MB/)[1])
        assert(near(one, two), `${one} and ${two} MB`)
        assert.equal(JSON.parse((await plan('faraway', '--json', ...at(first))).out).fleet, 'this cluster')
        const never = await plan('faraway', '--parallel', '64', '--ctx', '1000000', ...at(first))
        assert.notEqual(never.code, 0)
        assert.match(never.err, /^caravan: .*\nhint: /)
        second.process.kill('SIGSTOP') // it will never answer
        const open = fetch(`${first.api}/caravan/v1/plan`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model":"faraway"}' })
        await first.status()
        await second.stop('SIGKILL')
        assert.equal((await open).status >= 400, true, 'the question ends when the node is lost')
        await stopCluster([first])
        const locked = await new Node('locked', ['--api-key', 'secret', '--models-dir', folder('locked-models', 'mine')]).open()
        const refused = await plan('mine', ...at(locked))
        assert.equal(refused.code, 77, refused.out)
        assert.match(refused.err, /hint: the node at http.* wants an API key/)
        assert.equal((await plan('llama-8b', '--fleet', '2xmac-mini-m4-64', ...at(locked))).code, 0, 'on paper no node is needed')
        assert.equal((await plan('mine', ...at(locked), '--api-key', 'secret')).code, 0)
        await stopCluster([locked])
    },
    async 'without a node: the models folder; a file that is cut is planned whole, and what it lacks is said'() {
        const dir = folder('alone', 'mine'), cut = join(tmp, 'cut.gguf'), whole = readFileSync(demoModel)
        const home = ['--state-dir', join(tmp, 'nobody'), '--api', '127.0.0.1:1']
        assert.match((await plan('mine', '--models-dir', dir, ...home)).err, /no node answers at http:\/\/127\.0\.0\.1:1/)
        const said = await plan('mine', '--models-dir', dir, '--state-dir', join(tmp, 'nobody'))
        assert.equal(said.code, 0, said.err)
        assert.match(said.out, /4 conversations/)
        writeFileSync(cut, whole.subarray(0, whole.length - 3 * 2 ** 20))
        const short = await plan(cut, '--fleet', '2xmac-mini-m4-64')
        assert.equal(short.code, 0, short.err)
        assert.match(short.out, /This file is not complete: 3\.0 MB of its tensors are missing \(\d+ of \d+ tensors\)/)
        assert.equal(JSON.parse((await plan(cut, '--fleet', '2xmac-mini-m4-64', '--json')).out).missing_bytes, 3 * 2 ** 20)
        assert.doesNotMatch((await plan(demoModel, '--fleet', '2xmac-mini-m4-64')).out, /not complete/)
    },
    async 'without a model: what the machines can run, for people and as JSON'() {
        const said = await plan('--fleet', '2xmac-mini-m4-16,gbe')
        assert.equal(said.code, 0, said.err)
        assert.match(said.out, /^What 2xmac-mini-m4-16,gbe can run, 4 conversations at a time/)
        assert.match(said.out, /llama-8b +q[0-9a-z_]+ +8.0B .* whole on mac-mini-m4-1, 2 copies/)
        const { models } = JSON.parse((await plan('--fleet', '2xmac-mini-m4-16,gbe', '--json', '--floor', '12')).out)
        assert(models.length > 10 && models[0].quick_enough && models.every((m) => m.quick_enough === m.tokens_per_second >= 12))
        const none = await plan('--fleet', 'pi4-2', '--ctx', '32768', '--parallel', '64')
        assert.equal(none.code, 71)
        assert.match(none.err, /none of the known models fits on pi4-2: the smallest needs [\d.]+ GB\nhint: /)
    },
    async 'machines that nobody knows: in words, in a file, with links that differ'() {
        const file = join(tmp, 'fleet.json')
        writeFileSync(file, JSON.stringify({ machines: [{ name: 'tower', hardware: 'pc-ddr5-64/2xrtx3090-24' }, { name: 'old', hardware: 'pc-ddr4-32', link: 'wifi6' }], link: '10gbe' }))
        const own = await plan('llama-70b:q4_k_m', '--fleet', '2xmine:24GB@900GB/s,tflops=40,kind=card,10gbe', '--parallel', '2', '--json')
        assert.equal(own.code, 0, own.err)
        assert.deepEqual(JSON.parse(own.out).copies[0].stages.map((s) => s.node), ['mine-1', 'mine-2'])
        assert.match((await plan('llama-70b:q4_k_m', '--fleet', file)).out, /fits on tower /)
        writeFileSync(file, '{"machines": [{"hardware": "rtx309-24"}]}')
        const bad = await plan('llama-8b', '--fleet', file, '--json')
        assert.equal(bad.code, 65)
        assert.match(bad.err.replace(/\n {2}/g, ' '), /fleet\.json": machine 1: no hardware is called "rtx309-24"\nhint: did you mean rtx3090-24/)
        assert.equal(JSON.parse(bad.out).error.code, 'INVALID', 'a refusal is JSON, too')
        assert((await plan('gpt-oss:20b', '--fleet', 'mac-m4-max-64', '--prompt-tokens', '8000', '--json').then((said) => JSON.parse(said.out))).copies[0].first_token_ms > 1000)
    },
    async 'what tokens cost, and what to buy'() {
        const prices = join(tmp, 'prices.json')
        writeFileSync(prices, JSON.stringify({ date: '2026-11-30', api: [{ model: 'gpt-oss-20b', from: 'a shop', output: 3 }], hardware: [{ name: 'rtx3090', price: 650 }] }))
        const said = await plan('gpt-oss:20b', '--fleet', 'rtx3090-24', '--cost', '--prices', prices, '--life', '3')
        assert.match(said.out, /the machines 650 \(.*others ask 3 for a million tokens of answers.*\(a shop,\s+2026-11-30\).*the machines pay for themselves after/s)
        const { cost } = JSON.parse((await plan('gpt-oss:20b', '--fleet', 'mine:24GB@900GB/s,price=650,watts=300,idle=20', '--json')).out)
        assert(cost.price === 650 && cost.watts_busy === 300 && cost.hardware_per_million_tokens > 0 && cost.api_output_per_million_tokens > 0)
        const { offers } = JSON.parse((await plan('gpt-oss:20b', '--buy', '60', '--budget', '2000', '--json')).out)
        for (const o of offers) assert(String(o.price).length < 9 && String(o.per_million_tokens).length < 9, JSON.stringify(o))
        assert(offers.length > 1 && offers.every((x, i) => x.price <= 2000 && (i === 0 || x.tokens_per_second > offers[i - 1].tokens_per_second)))
        assert.match((await plan('gpt-oss:20b', '--buy', '60')).out, /at 60 tokens\/s, the cheapest first.*PRICE +TOKENS\/S/s)
        const none = await plan('llama-405b', '--buy', '60', '--budget', '200')
        assert.equal(none.code, 71)
        assert.match((await plan('--buy', '60')).err, /--buy needs a model\nhint: /)
        writeFileSync(prices, '{"api": [{"model": "x"}]}')
        assert.match((await plan('gpt-oss:20b', '--prices', prices)).err.replace(/\n {2}/g, ' '), /prices\.json": api 1: .*output/)
    },
    async 'lists are for people and for programs, and their reader may go'() {
        const { models, hardware, links } = JSON.parse((await plan('--list', '--json')).out)
        assert(models.includes('llama-70b') && hardware.some((h) => h.name === 'rtx3090') && links.some((l) => l.name === '10gbe'))
        assert((await plan('--list')).out.split('\n').every((line) => line.length <= 80))
        const shell = spawn('sh', ['-c', '(sleep 0.5; "$0" plan --list; echo "ended with $?" >&2) | true', caravan], { stdio: ['ignore', 'ignore', 'pipe'] })
        let err = ''
        shell.stderr.on('data', (data) => { err += data })
        await new Promise((resolve) => shell.on('close', resolve))
        assert.equal(err, 'ended with 68\n', 'it ends without a word')
    },
    async 'what costs nothing is advised before what has to be bought'() {
        const said = await plan('llama-70b:q4_k_m', '--fleet', 'mac-mini-m4-56+pi5-16,gbe')
        const free = said.out.indexOf('What would help, and costs nothing:'), bought = said.out.indexOf('What would help:')
        assert(free > 0 && bought > free, said.out)
        assert.match(said.out.slice(free, bought), /\(--parallel 1\): [\d.]+ instead of [\d.]+ tokens\/s, whole on mac-mini-m4-1\n/)
        const good = await plan('llama-8b:q4_k_m', '--fleet', 'rtx4090-24', '--parallel', '1')
        assert.doesNotMatch(good.out, /costs nothing/)
        assert.match(JSON.parse((await plan('llama-70b:q4_k_m', '--fleet', 'mac-mini-m4-56+pi5-16,gbe', '--json')).out).advice, /--parallel 1/)
        const speed = (text, pattern) => Number(text.match(pattern)?.[1])
        const large = await plan('llama-8b:q8_0', '--fleet', 'mac-mini-m4-32'), small = await plan('llama-8b:q4_k_m', '--fleet', 'mac-mini-m4-32')
        const advised = speed(large.out, /a smaller quantisation \(q4_k_m instead of 8\.5 bits a weight\) reads less: ([\d.]+) instead of/), planned = speed(small.out, /then ([\d.]+) tokens\/s for one/)
        assert(Math.abs(advised / planned - 1) < 0.04, `${advised} tokens/s are advised, ${planned} planned`)
    },
})
