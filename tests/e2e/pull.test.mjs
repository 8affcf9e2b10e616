// SPDX-License-Identifier: MIT
// `caravan pull` against servers that behave as the hubs do, and as they do when something is wrong.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'
import { Hub, openProxy, sha256 } from './lib/hub.mjs'

const tmp = process.env.CARAVAN_TMP
const model = readFileSync(demoModel)
const tool = join(process.env.CARAVAN_SOURCE, 'build/sysroot-test/usr/bin/llama-gguf-split')
let folders = 0

// Runs caravan pull; resolves to its exit status and its output.
function pull(hub, what, { dir = join(tmp, `models-${folders++}`), env = {}, options = [], onStart = () => {} } = {}) {
    const child = spawn(caravan, ['pull', what, ...(options.includes('--node') ? [] : ['--models-dir', dir, '--hf-endpoint', hub.url, '--ollama-registry', hub.url]), ...options], { env: { ...process.env, ...env } })
    let out = '', err = ''
    child.stdout.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    onStart(child)
    return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, out, err, dir })))
}
// So many bytes of it are on the disk: what is in buffers on the way would be lost with the process.
const written = (dir, name, bytes) => until('its bytes are written', () => {
    try {
        return statSync(join(dir, `${name}.part`)).blocks * 512 >= bytes
    } catch {
        return false
    }
})
const same = (dir, name, data = model) => assert.equal(sha256(readFileSync(join(dir, name))), sha256(data), `${name} is what was published`)
// Nothing is left of the work.
const tidy = (dir) => assert.deepEqual(readdirSync(dir).filter((name) => name.includes('.part')), [])
const hubWith = async (files) => Object.assign(await new Hub().open(), { files })
const repo = (name = 'owner/demo-GGUF', revision = 'main') => ({
    [`${name}@${revision}/README.md`]: Buffer.from('read me'), [`${name}@${revision}/demo-Q8_0.gguf`]: Buffer.concat([model, Buffer.alloc(64)]),
    [`${name}@${revision}/mmproj-demo-Q4_K_M.gguf`]: Buffer.alloc(20000), [`${name}@${revision}/demo-Q4_K_M.gguf`]: model,
})

await run({
    async 'hugging face: the usual quantisation, checked, and not fetched twice'() {
        const hub = await hubWith(repo())
        hub.pageSize = 1
        const first = await pull(hub, 'hf:owner/demo-GGUF', { env: { HF_TOKEN: 'hf_secret' } })
        assert.equal(first.code, 0, first.err)
        assert.match(first.out, /demo-Q4_K_M\.gguf: 7\.1 MB in .*SHA-256 as published\n.*\/mmproj-demo-Q4_K_M\.gguf: .*SHA-256 as published\nNext: caravan up /)
        same(first.dir, 'mmproj-demo-Q4_K_M.gguf', Buffer.alloc(20000))
        same(first.dir, 'demo-Q4_K_M.gguf')
        tidy(first.dir)
        assert(hub.served.length >= 3, 'a probe, and several ranges at once')
        assert(hub.asked.every((a) => (a.store ? a.token === null : a.token === 'Bearer hf_secret')), 'the token goes to the hub, not to where it redirects')
        const before = hub.bytes
        const again = await pull(hub, 'hf:owner/demo-GGUF', { dir: first.dir })
        assert.equal(again.code, 0)
        assert.match(again.out, /is there already/)
        assert.equal(hub.bytes, before)
        hub.close()
    },
    async 'a plan of what is published fetches the header alone'() {
        const large = Buffer.concat([model, Buffer.alloc(48 << 20)])
        const hub = await hubWith({ 'owner/demo-GGUF@main/demo-Q4_K_M.gguf': large, '/plain.gguf': large })
        const plan = (what) => new Promise((resolve) => {
            const child = spawn(caravan, ['plan', what, '--fleet', 'pi5-8', '--json', '--hf-endpoint', hub.url, '--ollama-registry', hub.url])
            let out = ''
            child.stdout.on('data', (data) => { out += data })
            child.on('close', (code) => resolve({ code, ...JSON.parse(out) }))
        })
        for (const ranges of [true, false]) {
            for (const what of ['hf:owner/demo-GGUF', `${hub.url}/plain.gguf`]) {
                Object.assign(hub, { ranges, bytes: 0 })
                const said = await plan(what)
                assert(said.code === 0 && said.fits && said.weights_bytes > 1e6, JSON.stringify(said))
                if (ranges) assert(hub.bytes < 14e6, `${hub.bytes} bytes of ${large.length}`)
            }
        }
        assert.equal((await plan('hf:owner/nothing-GGUF')).error.code, 'NOT_FOUND')
        Object.assign(hub.files, { '/plain.gguf': Buffer.alloc(1 << 20) })
        assert.equal((await plan(`${hub.url}/plain.gguf`)).error.code, 'FORMAT')
        hub.close()
    },
    async 'a token goes to its hub and to nobody else, whoever names the address'() {
        const hub = await hubWith({ ...repo(), '/plain.gguf': model })
        const env = { HF_TOKEN: 'hf_secret' }
        hub.pageSize = 1
        hub.pagesFrom = hub.storeUrl // the next pages of the list stand on another host
        const listed = await pull(hub, 'hf:owner/demo-GGUF', { env })
        assert.equal(listed.code, 0, listed.err)
        assert(hub.asked.some((a) => a.store && a.path.includes('/tree/')), 'the next page was asked there')
        assert(hub.asked.every((a) => (a.store ? a.token === null : a.token === 'Bearer hf_secret')), JSON.stringify(hub.asked))
        tidy(listed.dir)
        hub.asked.length = 0
        const plain = await pull(hub, `${hub.url}/plain.gguf`, { env })
        assert.equal(plain.code, 0, plain.err)
        assert(hub.asked.length > 0 && hub.asked.every((a) => a.token === 'Bearer hf_secret'), 'an address of the hub')
        const other = await hubWith({ '/plain.gguf': model })
        const elsewhere = await pull(hub, `${other.url}/plain.gguf`, { env })
        assert.equal(elsewhere.code, 0, elsewhere.err)
        assert(other.asked.length > 0 && other.asked.every((a) => a.token === null), 'an address of another hub')
        hub.close()
        other.close()
    },
    async 'hugging face: a quantisation, a revision, a page; and what there is when there is none such'() {
        const hub = await hubWith({ ...repo(), ...repo('owner/demo-GGUF', 'v2') })
        const eight = await pull(hub, 'hf:owner/demo-GGUF:q8_0')
        assert.equal(eight.code, 0, eight.err)
        assert(existsSync(join(eight.dir, 'demo-Q8_0.gguf')))
        const v2 = await pull(hub, 'hf:owner/demo-GGUF@v2')
        assert.equal(v2.code, 0, v2.err)
        assert(hub.asked.some((a) => a.path?.includes('/resolve/v2/')))
        const none = await pull(hub, 'hf:owner/demo-GGUF:Q2_K')
        assert.equal(none.code, 66)
        assert.match(none.err, /has no "Q2_K"\nhint: it has demo-Q4_K_M\.gguf \(7\.1 MB\), demo-Q8_0\.gguf/)
        const nowhere = await pull(hub, 'hf:owner/nothing')
        assert.equal(nowhere.code, 66)
        assert.match(nowhere.err, /doesn't exist \(status 404\)\nhint: /)
        hub.close()
    },
    async 'a gated repository says what to do, and opens with a token'() {
        const hub = await hubWith(repo('meta/gated'))
        hub.gated = { repo: 'meta/gated', token: 'good' }
        const without = await pull(hub, 'hf:meta/gated')
        assert.equal(without.code, 77)
        assert.match(without.err, /refused \(status 401\)\nhint: .*accept its conditions.*HF_TOKEN/)
        const wrong = await pull(hub, 'hf:meta/gated', { env: { HF_TOKEN: 'bad' } })
        assert.equal(wrong.code, 77)
        assert.match(wrong.err, /status 403\)\nhint: \$HF_TOKEN doesn't open it/)
        const right = await pull(hub, 'hf:meta/gated', { env: { HF_TOKEN: 'good' } })
        assert.equal(right.code, 0, right.err)
        hub.close()
    },
    async 'too many requests, a broken server, cut connections: it goes on, and fetches nothing twice'() {
        const hub = await hubWith(repo())
        hub.refuse = [{ path: '/api/', status: 429, headers: { 'retry-after': '1' }, times: 1 }, { path: '/resolve/', status: 503, times: 1 }]
        Object.assign(hub, { cutAfter: 1 << 20, cutEvery: 1 << 20, cuts: 3, delay: 5 })
        const result = await pull(hub, 'hf:owner/demo-GGUF')
        assert.equal(result.code, 0, result.err)
        assert.match(result.err, /too many requests \(status 429\); trying again in 1 s/)
        assert.match(result.err, /status 503; trying again/)
        assert.equal(hub.cuts, 0)
        same(result.dir, 'demo-Q4_K_M.gguf')
        tidy(result.dir)
        const slack = 4 * 4 * hub.piece + 1 // bytes under way when a connection was cut or gave up half of its range, and the probe
        assert(hub.bytes <= model.length + slack, `${hub.bytes} bytes were sent for ${model.length}`)
        hub.close()
    },
    async 'interrupted, it keeps what has come; the next run fetches the rest'() {
        const hub = await hubWith(repo())
        Object.assign(hub, { hold: 5 << 20, delay: 10 }) // slowly, so that little is on its way when a connection gives up a part of its range
        const dir = join(tmp, 'interrupted')
        const first = await pull(hub, 'hf:owner/demo-GGUF', {
            dir, onStart: (child) => void written(dir, 'demo-Q4_K_M.gguf', 3 << 20).then(() => child.kill('SIGINT')),
        })
        assert.equal(first.signal, 'SIGINT', first.err)
        assert.match(first.err, /interrupted\nhint: the same command goes on where it was/)
        assert(existsSync(join(dir, 'demo-Q4_K_M.gguf.part')) && !existsSync(join(dir, 'demo-Q4_K_M.gguf')))
        const before = hub.bytes
        Object.assign(hub, { hold: null, delay: 0 })
        const second = await pull(hub, 'hf:owner/demo-GGUF', { dir })
        assert.equal(second.code, 0, second.err)
        assert.match(second.out, /of it were here\)/)
        same(dir, 'demo-Q4_K_M.gguf')
        assert(hub.bytes - before < model.length - (1 << 20), 'only what was missing')
        hub.close()
    },
    async 'killed outright, it goes on from what was written last'() {
        const hub = await hubWith(repo())
        Object.assign(hub, { hold: 5 << 20, delay: 10 })
        const dir = join(tmp, 'killed'), state = join(dir, 'demo-Q4_K_M.gguf.part.json')
        await pull(hub, 'hf:owner/demo-GGUF', { dir, onStart: (child) => void until('its state', () => existsSync(state)).then(() => child.kill('SIGKILL')) })
        assert.match(readFileSync(state, 'utf8'), /"missing":"\d+-\d+/)
        const before = hub.bytes
        Object.assign(hub, { hold: null, delay: 0 })
        const second = await pull(hub, 'hf:owner/demo-GGUF', { dir })
        assert.equal(second.code, 0, second.err)
        same(dir, 'demo-Q4_K_M.gguf')
        assert(hub.bytes - before < model.length, 'only what was missing')
        hub.close()
    },
    async 'what does not match its checksum is not kept'() {
        const hub = await hubWith(repo())
        hub.corrupt = true
        const result = await pull(hub, 'hf:owner/demo-GGUF')
        assert.equal(result.code, 65)
        assert.match(result.err, /doesn't match its published SHA-256/)
        assert.deepEqual(readdirSync(result.dir), [])
        hub.close()
    },
    async 'a signed address runs out in the middle: a new one is asked for'() {
        const hub = await hubWith(repo())
        hub.signatureUses = 2 // the probe, and one connection
        const result = await pull(hub, 'hf:owner/demo-GGUF')
        assert.equal(result.code, 0, result.err)
        assert.equal(hub.signature, 2)
        same(result.dir, 'demo-Q4_K_M.gguf')
        hub.close()
    },
    async 'ollama: the model layer of a manifest'() {
        const layers = [{ type: 'application/vnd.ollama.image.template', data: Buffer.from('{{ .Prompt }}') }, { type: 'application/vnd.ollama.image.model', data: model }]
        const adapter = [...layers, { type: 'application/vnd.ollama.image.adapter', data: Buffer.from('x') }]
        const hub = await hubWith({ 'ollama/library/demo:8b': layers, 'ollama/library/tuned:latest': adapter })
        const result = await pull(hub, 'ollama:demo:8b')
        assert.equal(result.code, 0, result.err)
        assert.match(result.out, /demo-8b\.gguf: .*SHA-256 as published/)
        same(result.dir, 'demo-8b.gguf')
        const tuned = await pull(hub, 'ollama:tuned')
        assert.equal(tuned.code, 69)
        assert.match(tuned.err, /is an adapter on top of another model/)
        const none = await pull(hub, 'ollama:demo:9b')
        assert.equal(none.code, 66)
        hub.close()
    },
    async 'a plain address: without ranges, through a proxy, of another file, of no model'() {
        const hub = await hubWith({ '/files/plain.gguf': model, '/files/page.gguf': Buffer.from('<html>no</html>'.repeat(100)) })
        hub.ranges = false
        const proxy = await openProxy()
        const plain = await pull(hub, `${hub.url}/files/plain.gguf?x=1`, { env: { http_proxy: proxy.url, HF_TOKEN: 'secret' } })
        assert.equal(plain.code, 0, plain.err)
        assert.match(plain.out, /no checksum is published for it/)
        same(plain.dir, 'plain.gguf')
        assert(proxy.count > 0, 'it went through the proxy')
        proxy.server.close()
        const page = await pull(hub, `${hub.url}/files/page.gguf`)
        assert.equal(page.code, 65)
        assert.match(page.err, /hint: .*removed again/)
        assert.deepEqual(readdirSync(page.dir), [])
        const missing = await pull(hub, `${hub.url}/files/none.gguf`)
        assert.equal(missing.code, 66)
        const another = join(tmp, 'another')
        mkdirSync(another)
        writeFileSync(join(another, 'demo-Q4_K_M.gguf'), 'mine')
        Object.assign(hub.files, repo())
        const there = await pull(hub, 'hf:owner/demo-GGUF', { dir: another })
        assert.equal(there.code, 65)
        assert.match(there.err, /is there, but of another size/)
        assert.equal(readFileSync(join(another, 'demo-Q4_K_M.gguf'), 'utf8'), 'mine')
        hub.close()
    },
    async 'another file under the same address while it is fetched: said, and begun anew'() {
        const hub = await hubWith({ '/f/a.gguf': model })
        Object.assign(hub, { hold: 3 << 20, delay: 10 })
        const dir = join(tmp, 'changed')
        const first = await pull(hub, `${hub.url}/f/a.gguf`, { dir, onStart: (child) => void written(dir, 'a.gguf', 1 << 20).then(() => child.kill('SIGINT')) })
        assert.equal(first.signal, 'SIGINT')
        hub.files['/f/a.gguf'] = Buffer.concat([model, Buffer.alloc(64)])
        Object.assign(hub, { hold: null, delay: 0 })
        const second = await pull(hub, `${hub.url}/f/a.gguf`, { dir })
        assert.equal(second.code, 0, second.err)
        same(dir, 'a.gguf', hub.files['/f/a.gguf'])
        hub.close()
    },
    async 'no room on the disk is said before anything is fetched'() {
        const hub = await hubWith(repo())
        const dir = join(tmp, 'small')
        mkdirSync(dir)
        try {
            execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', dir], { stdio: 'ignore' })
        } catch {
            console.log('# no small disk can be mounted here')
            return hub.close()
        }
        try {
            const before = hub.bytes
            const result = await pull(hub, 'hf:owner/demo-GGUF', { dir })
            assert.equal(result.code, 71)
            assert.match(result.err, /no room for .*7\.1 MB are still to come, 2\.0 MB are free\nhint: /)
            assert(hub.bytes - before <= 1, 'nothing but the probe')
        } finally {
            execFileSync('umount', [dir])
            hub.close()
        }
    },
    async 'a split model comes with all its parts'() {
        if (!existsSync(tool)) return console.log('# llama-gguf-split is not here')
        const root = join(process.env.CARAVAN_SOURCE, 'build/sysroot-test'), lib = join(root, 'usr/lib', readdirSync(join(root, 'usr/lib')).find((name) => name.endsWith('-linux-gnu')))
        const loader = readdirSync(lib).find((name) => name.startsWith('ld-linux'))
        execFileSync(join(lib, loader), ['--library-path', `${lib}:${join(lib, 'llama')}`, tool, '--split', '--split-max-size', '3M', demoModel, join(tmp, 'part')], { stdio: 'ignore' })
        const parts = readdirSync(tmp).filter((name) => name.startsWith('part-')).sort()
        assert(parts.length >= 2)
        const hub = await hubWith(Object.fromEntries(parts.map((name) => [`owner/split@main/Q4_K_M/${name}`, readFileSync(join(tmp, name))])))
        const result = await pull(hub, 'hf:owner/split')
        assert.equal(result.code, 0, result.err)
        assert.deepEqual(readdirSync(result.dir).sort(), parts)
        assert(parts.every((name) => statSync(join(result.dir, name)).size === statSync(join(tmp, name)).size))
        const url = await pull(hub, `${hub.url}/owner/split/resolve/main/Q4_K_M/${parts[0]}`)
        assert.equal(url.code, 0, url.err)
        assert.deepEqual(readdirSync(url.dir).sort(), parts)
        delete hub.files[`owner/split@main/Q4_K_M/${parts[1]}`]
        const lacking = await pull(hub, 'hf:owner/split')
        assert.equal(lacking.code, 66)
        assert.match(lacking.err, /lacks 1 of the \d+ parts/)
        hub.close()
    },
    async 'another machine of the cluster fetches, and is watched from here'() {
        const hub = await hubWith(repo()), dirs = ['here', 'there'].map((name) => join(tmp, name))
        dirs.forEach((dir) => mkdirSync(dir))
        const options = (dir) => ['--memory', '34M', '--models-dir', dir, '--hf-endpoint', hub.url]
        const head = await new Node('alpha', options(dirs[0])).open(), other = await new Node('beta', [...options(dirs[1]), '--peer', head.listen]).open()
        await until('they know each other', async () => (await head.status()).nodes.some((n) => n.name === 'beta' && n.state === 'linked'))
        const there = (what, more = [], onStart) => pull(hub, what, { options: ['--node', 'beta', '--api', head.api.slice(7), ...more], onStart })
        const pulls = async (node) => (await node.status()).nodes.find((n) => n.self).pulls
        hub.delay = 2000 // it cannot come to its end before it is left
        const left = await there('hf:owner/demo-GGUF', [], async (child) => {
            await until('it comes', async () => (await pulls(other)).some((p) => p.state === 'fetching' && p.done > 0))
            child.kill('SIGINT')
        })
        assert.equal(left.signal, 'SIGINT')
        assert.match(left.err, /"beta" goes on fetching/)
        assert.equal((await pulls(other))[0].state, 'fetching', 'the node goes on')
        const watched = there('hf:owner/demo-GGUF')
        hub.delay = 0
        const whole = await watched
        assert.equal(whole.code, 0, whole.err)
        assert.match(whole.out, /^demo-Q4_K_M is in the models folder of beta.*\nNext: caravan load demo-Q4_K_M\n$/)
        same(dirs[1], 'demo-Q4_K_M.gguf')
        assert.deepEqual(readdirSync(dirs[0]), [])
        const again = await there('hf:owner/demo-GGUF', ['--json'])
        assert.equal(again.code, 0, again.err)
        assert.equal(JSON.parse(again.out).state, 'done')
        const none = await there('hf:owner/none')
        assert.notEqual(none.code, 0)
        assert.match(none.err, /"beta" cannot fetch it: /)
        const nobody = await pull(hub, 'hf:owner/demo-GGUF', { options: ['--node', 'gamma', '--api', head.api.slice(7)] })
        assert.equal(nobody.code, 66)
        assert.match(nobody.err, /gamma/)
        for (const option of ['--models-dir', '--hf-endpoint', '--ollama-registry', '--connections']) {
            const ignored = await there('hf:owner/demo-GGUF', [option, '3'])
            assert.equal(ignored.code, 64)
            assert.match(ignored.err, new RegExp(`${option} says nothing to the node that --node names\\nhint: "beta" fetches as it was started`))
        }
        await stopCluster([head, other])
        hub.close()
    },
})
