// SPDX-License-Identifier: MIT
// Models that see: tiny ones whose rows of pictures enter like tokens (llava), attend to each other (gemma3), or stand in a grid (qwen2.5vl),
// each with a random projector. One stage and two give the same numbers, Debian's llama-server writes the same text with the same two files,
// and a picture that has been seen is not computed again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCluster, stopCluster, streamChat } from './lib/cluster.mjs'
import { dataUrl, hasServer, makeModel, png, startServer, stripes, wav } from './lib/pictures.mjs'

const CUTS = { llava: '3,5', gemma3: '6,6', 'qwen2.5vl': '5,3' }
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
    test(`${like}: llama-server writes the same`, { skip: !hasServer && 'no llama-server in the test sysroot' }, async () => {
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
