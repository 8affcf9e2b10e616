// SPDX-License-Identifier: MIT
// Models that see: tiny ones whose rows of pictures enter like tokens (llava), attend to each other (gemma3), stand in a grid (qwen2.5vl), or
// have other weights than text (cogvlm), or enter later slices by injection (gemma4), each with a random projector. One stage and two give the same numbers, Debian's llama-server writes the same text with the same two files,
// and a picture that has been seen is not computed again.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Node, caravan, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'
import { dataUrl, hasServer, makeModel, png, startServer, stripes, wav } from './lib/pictures.mjs'

const CUTS = { llava: '3,5', gemma3: '6,6', 'qwen2.5vl': '5,3', cogvlm: '3,5', gemma4: '6,6' }
// Of a prompt's logits it takes the first token's for the last one's (docs/ARCHITECTURE.md, on all_outputs).
const NOT_THERE = { cogvlm: 'llama-server has other logits' }
// llama-server leaves out a character that is cut off by the end of the answer.
const complete = (text) => text.replace(/\ufffd+$/, '')
const ours = ['--ctx', '1024', '--parallel', '2', '--speculate', '0', '--gpu-layers', '0']

const text = (words) => ({ type: 'text', text: words })
const picture = (file) => ({ type: 'image_url', image_url: { url: dataUrl(file) } })
const small = picture(stripes(60, 40)), large = picture(stripes(150, 300, 7, 2))
const CHATS = [
    [{ role: 'user', content: [text('What is it?'), small] }],
    [{ role: 'user', content: [large, text('And this?')] }],
    [
        { role: 'user', content: [text('Two of them:'), small, large, text('Which one is larger?')] },
        { role: 'assistant', content: 'The second.' },
        { role: 'user', content: [text('Now this one again: '), small] },
    ],
    [{ role: 'user', content: 'No picture at all.' }],
]

async function ask(api, model, messages, more = {}) {
    const response = await fetch(`${api}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, messages, temperature: 0, seed: 1, max_tokens: 12, ignore_eos: true, logprobs: true, top_logprobs: 3, ...more }),
    })
    const answer = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return { text: answer.choices[0].message.content, tokens: answer.choices[0].logprobs.content, usage: answer.usage }
}

async function askAll(names, { model, name }, options) {
    const nodes = await startCluster(names, { memory: '512M', model, first: [...ours, ...options] })
    try {
        const answers = []
        for (const chat of CHATS) answers.push(await ask(nodes[0].api, name, chat))
        answers.push(...await Promise.all(CHATS.map((chat) => ask(nodes[0].api, name, chat)))) // and together
        return answers
    } finally {
        await stopCluster(nodes)
    }
}

for (const like of Object.keys(CUTS)) {
    const files = makeModel(like)
    test(`${like}: two stages give the numbers of one`, async () => {
        const whole = await askAll(['north'], files, ['--exact'])
        const split = await askAll(['north', 'south'], files, ['--exact', '--placement', CUTS[like]])
        for (const i of whole.keys()) {
            assert.deepEqual(split[i].tokens, whole[i].tokens, `chat ${i}`)
            assert.equal(split[i].usage.prompt_tokens, whole[i].usage.prompt_tokens)
        }
        assert.notEqual(whole[0].text, whole[1].text)
    })
    const skip = NOT_THERE[like] ?? (!hasServer && 'no llama-server in the test sysroot')
    test(`${like}: llama-server writes the same`, { skip }, async () => {
        const server = await startServer(files)
        const nodes = await startCluster(['north', 'south'], { memory: '512M', model: files.model, first: [...ours, '--placement', CUTS[like]] })
        try {
            for (const chat of CHATS) {
                const a = await ask(nodes[0].api, files.name, chat), b = await ask(server.api, files.name, chat)
                assert.equal(complete(a.text), complete(b.text))
                assert.equal(a.usage.prompt_tokens, b.usage.prompt_tokens)
            }
        } finally {
            await server.stop()
            await stopCluster(nodes)
        }
    })
}

test('a picture that has been seen is taken over; another one is not', async () => {
    const { model, name } = makeModel('qwen2.5vl')
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: [...ours, '--placement', CUTS['qwen2.5vl']] })
    try {
        const chat = (file, more) => [{ role: 'user', content: [file, text('What is it?')] }, ...more]
        const first = await ask(nodes[0].api, name, chat(large, []))
        const next = [{ role: 'assistant', content: first.text }, { role: 'user', content: 'Are you sure?' }]
        const fresh = await ask(nodes[0].api, name, chat(small, next))
        assert.ok(fresh.usage.prompt_tokens_details.cached_tokens < 30, JSON.stringify(fresh.usage))
        const again = await ask(nodes[0].api, name, chat(large, next))
        assert.ok(again.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens - 1, JSON.stringify(again.usage))
        const [, other] = [await ask(nodes[0].api, name, [{ role: 'user', content: 'Something else, so that the first is put aside.' }]), await ask(nodes[0].api, name, chat(large, next))]
        assert.equal(other.text, again.text)
    } finally {
        await stopCluster(nodes)
    }
})

// More beginnings with pictures than slots: what a slot gives up is stored, and bit for bit the same when it comes back.
for (const like of ['llava', 'qwen2.5vl']) {
    test(`${like}: more beginnings with pictures than --parallel are kept`, async () => {
        const { model, name } = makeModel(like), answers = [[], []]
        const options = ['--ctx', '1024', '--parallel', '1', '--speculate', '0', '--gpu-layers', '0', '--exact', '--placement', CUTS[like]]
        const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: options })
        try {
            for (const round of answers)
                for (const a of [3, 4, 5]) round.push(await ask(nodes[0].api, name, [{ role: 'user', content: [picture(stripes(150, 300, a)), text('What is it, and who walks there? '.repeat(4))] }]))
            for (const [i, { tokens, usage }] of answers[1].entries()) {
                assert.ok(usage.prompt_tokens_details.cached_tokens > 0.8 * usage.prompt_tokens, `${usage.prompt_tokens_details.cached_tokens} of ${usage.prompt_tokens}`)
                assert.deepEqual(tokens, answers[0][i].tokens)
            }
        } finally {
            await stopCluster(nodes)
        }
    })
}

test('without a projector a picture is refused, and the missing file is named', async () => {
    const { model, mmproj, name } = makeModel('llava', { alone: true })
    const body = JSON.stringify({ model: name, messages: CHATS[0], max_tokens: 4 })
    const send = (api) => fetch(`${api}/v1/chat/completions`, { method: 'POST', body })
    let nodes = await startCluster(['north'], { memory: '512M', model, first: ours })
    const refused = await send(nodes[0].api)
    assert.equal(refused.status, 400)
    assert.match((await refused.json()).error.message, /mmproj-tiny\.gguf" is missing/)
    await stopCluster(nodes)
    nodes = await startCluster(['other'], { memory: '512M', model, first: [...ours, '--mmproj', mmproj] })
    assert.equal((await send(nodes[0].api)).status, 200)
    await stopCluster(nodes)

    // One that lies there and is broken isn't missing.
    const broken = readFileSync(mmproj), key = 'clip.projector_type', at = broken.indexOf(key) + key.length + 4 + 8 // type, length
    assert.equal(broken.toString('latin1', at, at + 3), 'mlp')
    broken[at] = 'x'.charCodeAt(0)
    writeFileSync(join(dirname(model), 'mmproj-broken.gguf'), broken)
    nodes = await startCluster(['third'], { memory: '512M', model, first: ours })
    const unused = await send(nodes[0].api)
    assert.equal(unused.status, 400)
    assert.match((await unused.json()).error.message, /that of "tiny\.gguf" is not used: cannot load the projector ".*mmproj-broken\.gguf"/)
    await stopCluster(nodes)
})

test('a projector for a model of another width, and one in the place of a model, are refused', () => {
    const { model } = makeModel('llava'), { mmproj } = makeModel('gemma3')
    const run = (...args) => spawnSync(caravan, args, { encoding: 'utf8', timeout: 60000 })
    const wrong = run('run', model, '--mmproj', mmproj, '--ctx', '512', 'hello'), none = run('run', mmproj, 'hello')
    assert.notEqual(wrong.status, 0)
    assert.match(wrong.stderr, /--mmproj: ".*mmproj-gemma3\.gguf" is the projector of another model: its rows have 64 numbers, this model's have 256/)
    assert.notEqual(none.status, 0)
    assert.match(none.stderr, /it is a projector, not a model/)
})

test('sounds: llama-server writes the same; pictures are refused there', async () => {
    const files = makeModel('qwen2a'), tone = wav(2.5)
    const sound = { type: 'input_audio', input_audio: { data: tone.toString('base64'), format: 'wav' } }
    const chats = [[{ role: 'user', content: [text('Listen:'), sound] }], [{ role: 'user', content: [sound, text('What was that?')] }]]
    const server = hasServer ? await startServer(files) : null
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model: files.model, first: ['--ctx', '2048', '--parallel', '1', '--speculate', '0', '--gpu-layers', '0', '--placement', '4,4'] })
    try {
        for (const chat of chats) {
            const a = await ask(nodes[0].api, files.name, chat), b = server ? await ask(server.api, files.name, chat) : a
            assert.equal(complete(a.text), complete(b.text))
            assert.equal(a.usage.prompt_tokens, b.usage.prompt_tokens)
            assert.ok(a.usage.prompt_tokens > 40)
        }
        const refused = await fetch(`${nodes[0].api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: files.name, messages: CHATS[0] }) })
        assert.equal(refused.status, 400)
        assert.match((await refused.json()).error.message, /takes no pictures/)
    } finally {
        await server?.stop()
        await stopCluster(nodes)
    }
})

// The same picture by each API gives the same answer; each bad file gets a 400, and the node goes on with the next request.
test('every API takes pictures; hostile files are refused, and harm nobody', async () => {
    const { model, name } = makeModel('llava'), file = stripes(60, 40), data = file.toString('base64')
    const nodes = await startCluster(['north'], { memory: '512M', model, first: ours })
    const [{ api }] = nodes
    const post = async (path, body) => {
        const response = await fetch(`${api}${path}`, { method: 'POST', body: JSON.stringify({ model: name, temperature: 0, stream: false, ...body }) })
        return { status: response.status, json: await response.json() }
    }
    const words = 'What is it?'
    const openai = (url) => ({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }, { type: 'text', text: words }] }], max_tokens: 6, logit_bias: {} })
    try {
        const answers = [
            (await post('/v1/chat/completions', openai(dataUrl(file)))).json.choices?.[0].message.content,
            (await post('/v1/messages', { max_tokens: 6, messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }, { type: 'text', text: words }] }] })).json.content?.map((b) => b.text ?? b.thinking).join(''),
            (await post('/v1/responses', { max_output_tokens: 6, input: [{ role: 'user', content: [{ type: 'input_image', image_url: dataUrl(file) }, { type: 'input_text', text: words }] }] })).json.output?.at(-1).content[0].text,
            (await post('/api/chat', { messages: [{ role: 'user', content: words, images: [data] }], options: { num_predict: 6, temperature: 0 } })).json.message?.content,
            (await post('/api/generate', { prompt: words, images: [data], options: { num_predict: 6, temperature: 0 } })).json.response,
        ]
        assert.deepEqual(answers, answers.map(() => answers[0]))
        assert.ok(answers[0].length > 0)
        const show = await post('/api/show', {})
        assert.ok(show.json.capabilities.includes('vision'), JSON.stringify(show.json.capabilities))

        const bomb = png(10, 10, null, Buffer.alloc(64 << 20)), huge = png(30000, 30000, null, Buffer.alloc(100))
        const bad = { bomb, huge, cut: file.subarray(0, file.length / 2), header: file.subarray(0, 20), text: Buffer.from('no picture'), webp: Buffer.from('RIFF....WEBPVP8 '), jpeg: Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 2, 0xff, 0xc0, 0, 17, 8, 0, 9, 0, 9, 3, 1, 2, 3]), noise: Buffer.concat([file.subarray(0, 60), Buffer.alloc(400, 0x5a)]) }
        for (const [what, bytes] of Object.entries(bad)) {
            const refused = await post('/v1/chat/completions', openai(dataUrl(bytes)))
            assert.equal(refused.status, 400, `${what}: ${JSON.stringify(refused.json)}`)
            assert.ok(refused.json.error.message.length > 20, what)
        }
        for (const url of ['https://example.org/a.png', 'file:///etc/passwd', 'data:image/png;base64,???', 'data:image/png,abc']) {
            const refused = await post('/v1/chat/completions', openai(url))
            assert.equal(refused.status, 400, url)
        }
        assert.equal((await post('/v1/chat/completions', openai(dataUrl(file)))).json.choices[0].message.content, answers[0])
        assert.doesNotMatch(nodes[0].logText(), /crashed/)
    } finally {
        await stopCluster(nodes)
    }
})

// To the head on another node a picture's bytes go once. A head that was started anew says that it lacks them, and gets them again.
test('the bytes of a picture travel once between nodes', async () => {
    const { model, name } = makeModel('llava'), large = png(150, 150, (x, y) => [x * 7919 + y * 104729, x * y * 31, x ^ (y * 57)])
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: [...ours, '--exact', '--placement', CUTS.llava] })
    const { nodes: told } = await nodes[0].status()
    const [head, other] = told.find((n) => n.name === 'north').stages.some((s) => s.first_layer === 0) ? nodes : nodes.toReversed()
    const sizes = () => [...head.logText().matchAll(/a request of (\d+) bytes from/g)].map((m) => Number(m[1]))
    const first = [{ role: 'user', content: [picture(large), text('What is it?')] }]
    try {
        const bytes = dataUrl(large).length
        const one = await ask(other.api, name, first)
        const chat = [...first, { role: 'assistant', content: one.text }, { role: 'user', content: 'Are you sure?' }]
        const two = await ask(other.api, name, chat)
        const [of_one, of_two, ...rest] = sizes()
        assert.equal(rest.length, 0)
        assert.ok(of_one > bytes && of_two < bytes / 2, `${of_one} and ${of_two} bytes, the picture has ${bytes}`)
        assert.deepEqual((await ask(head.api, name, chat)).tokens, two.tokens)

        const old = head.stages()[0]
        process.kill(old, 'SIGKILL')
        await until('a new head', () => head.stages().some((pid) => pid !== old))
        assert.deepEqual((await ask(other.api, name, chat)).tokens, two.tokens)
        assert.ok(sizes().at(-1) > bytes, `${sizes()} bytes`)
    } finally {
        await stopCluster(nodes)
    }
})

// The node that has the projector, which is named and lies beside no model, has no room for the model; the one that has room fetches the projector.
test('a node without the projector fetches it', async () => {
    const expected = await askAll(['north'], makeModel('llava'), ['--exact'])
    const { model, mmproj, name } = makeModel('llava', { alone: true })
    const keeper = await new Node('keeper', [model, '--mmproj', mmproj, ...ours, '--exact', '--memory', '2M']).open()
    const bare = await new Node('bare', ['--peer', keeper.listen, '--memory', '512M', '--models-dir', join(process.env.CARAVAN_TMP, 'none')]).open()
    try {
        await keeper.ready()
        assert.deepEqual([keeper.stages().length, bare.stages().length], [0, 1])
        for (const [i, chat] of CHATS.entries()) assert.deepEqual((await ask(keeper.api, name, chat)).tokens, expected[i].tokens, `chat ${i}`)
        assert.match(bare.logText(), /with the coordinator's projector, from its node/)
    } finally {
        await stopCluster([bare, keeper])
    }
})

// Pictures at addresses, from a server of this machine, whose address is no public one: with --fetch-images by its name only. What is fetched is
// bounded in size and redirects; no redirect leads to a host that isn't named; an address that names this machine in another way doesn't help.
test('pictures are fetched from the hosts that are named, and from no others', async () => {
    const { model, name } = makeModel('llava'), file = stripes(60, 40), asked = []
    const server = createServer((request, response) => {
        asked.push(request.url)
        const jumps = /^\/jump\/(\d+)/.exec(request.url), { port } = server.address()
        if (jumps) response.writeHead(302, { location: Number(jumps[1]) > 1 ? `/jump/${jumps[1] - 1}` : '/a.png' }).end()
        else if (request.url === '/away') response.writeHead(302, { location: `http://127.0.0.2:${port}/a.png` }).end()
        else if (request.url === '/file') response.writeHead(302, { location: 'file:///etc/passwd' }).end()
        else if (request.url === '/large') response.writeHead(200).end(Buffer.alloc(11 << 20))
        else if (request.url === '/endless') { // says no size
            response.writeHead(200)
            const more = () => response.destroyed || response.write(Buffer.alloc(1 << 20), more)
            more()
        } else if (request.url === '/a.png') response.writeHead(200, { 'content-type': 'image/png' }).end(file)
        else if (request.url === '/text') response.writeHead(200).end('no picture')
        else response.writeHead(404).end()
    })
    await new Promise((resolve) => server.listen(0, '0.0.0.0', resolve))
    const { port } = server.address(), local = `http://127.0.0.1:${port}`
    const send = async (node, url, more = {}) => {
        const body = { model: name, temperature: 0, max_tokens: 6, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }, text('What is it?')] }], ...more }
        const response = await fetch(`${node.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) })
        return { status: response.status, json: await response.json() }
    }
    const refused = async (node, url, why) => {
        const answer = await send(node, url)
        assert.equal(answer.status, 400, `${url}: ${JSON.stringify(answer.json)}`)
        assert.match(answer.json.error.message, why, url)
    }
    const node = async (label, ...options) => (await startCluster([label], { memory: '512M', model, first: [...ours, ...options] }))[0]
    try {
        const off = await node('off')
        await refused(off, `${local}/a.png`, /not fetched from addresses here/)
        const expected = await send(off, dataUrl(file))
        assert.equal(expected.status, 200)
        await off.stop()

        const open = await node('open', '--fetch-images', 'public')
        for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0.0.0.0', '[::]', '10.0.0.1', '169.254.169.254', '[fe80::1]', '[fd00::1]', 'public'])
            await refused(open, `http://${host}:${port}/a.png`, /no public address|cannot fetch|not fetched: no address/)
        assert.deepEqual(asked, [])
        await open.stop()

        const named = await node('named', '--fetch-images', `127.0.0.1:${port}`)
        for (const path of ['/a.png', '/jump/1', '/jump/3']) {
            const answer = await send(named, `${local}${path}`)
            assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.json)}`)
            assert.equal(answer.json.choices[0].message.content, expected.json.choices[0].message.content)
        }
        const long = await send(named, `${local}/a.png`, { metadata: { padding: 'x'.repeat(100000) } }) // such bodies are read in a thread
        assert.equal(long.json.choices?.[0].message.content, expected.json.choices[0].message.content, JSON.stringify(long.json).slice(0, 300))
        for (const [path, why] of [['/jump/4', /more than 3 redirects/], ['/away', /nothing is fetched from "127\.0\.0\.2/], ['/file', /begins with http/], ['/large', /has more than/], ['/endless', /has more than/], ['/gone', /status 404/], ['/text', /./]])
            await refused(named, `${local}${path}`, why)
        await refused(named, `http://user:secret@127.0.0.1:${port}/a.png`, /user name/)
        await refused(named, `http://localhost:${port}/a.png`, /nothing is fetched from "localhost/)
        await refused(named, `http://127.0.0.1:${port === 65535 ? 1 : port + 1}/a.png`, /nothing is fetched/)
        // A stored conversation: its picture is fetched again.
        const responses = async (body) => {
            const response = await fetch(`${named.api}/v1/responses`, { method: 'POST', body: JSON.stringify({ model: name, temperature: 0, max_output_tokens: 6, ...body }) })
            assert.equal(response.status, 200)
            return response.json()
        }
        const first = await responses({ store: true, input: [{ role: 'user', content: [{ type: 'input_image', image_url: `${local}/a.png` }, { type: 'input_text', text: 'What is it?' }] }] })
        const count = asked.length
        await responses({ previous_response_id: first.id, input: 'And then?' })
        assert.equal(asked.length, count + 1)
        assert.equal((await send(named, dataUrl(file))).status, 200)
        await named.stop()
    } finally {
        server.closeAllConnections()
        server.close()
    }
})

test('--fetch-images: a wrong host is refused', () => {
    const { status, stderr } = spawnSync(caravan, ['up', '--fetch-images', 'http://nas/'], { encoding: 'utf8', timeout: 60000 })
    assert.notEqual(status, 0)
    assert.match(stderr, /--fetch-images: "http:\/\/nas\/" is no host/)
})

// A stage that is killed while a picture's answer is being written: another one reads the picture again, and the answer goes on.
test('an answer about a picture survives the loss of a stage', async () => {
    const { model, name } = makeModel('qwen2.5vl')
    const nodes = await startCluster(['north', 'south'], { memory: '512M', model, first: [...ours, '--exact', '--placement', CUTS['qwen2.5vl']] })
    try {
        const body = { model: name, messages: CHATS[1], seed: 1, max_tokens: 120, ignore_eos: true }
        const whole = await streamChat(nodes[0].api, body)
        let killed = false
        const broken = await streamChat(nodes[0].api, body, () => {
            if (killed) return
            killed = true
            process.kill(nodes[1].stages()[0], 'SIGKILL')
        })
        assert.ok(killed)
        assert.equal(broken.error, null)
        assert.equal(broken.text, whole.text)
    } finally {
        await stopCluster(nodes)
    }
})
