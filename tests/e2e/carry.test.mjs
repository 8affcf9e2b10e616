// SPDX-License-Identifier: MIT
// An answer that goes on where the same model is: from one own copy to the other, from the last one to an upstream, and from an upstream
// to the cluster. Real nodes, and an upstream that continues what it is given. The client gets each byte once, and hears who answers.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { Node, demoModel, run, sleep, until } from './lib/cluster.mjs'
import { load } from './lib/openai.mjs'

const tmp = process.env.CARAVAN_TMP
const rest = ' And that is how the story went on, élsewhere.'
const seen = [] // bodies

// It goes on with an assistant's last message; the model "dies" breaks the connection after three words, "refuses" takes no such message.
async function serve(request, response) {
    let json = ''
    for await (const part of request) json += part
    const body = JSON.parse(json), claude = request.url === '/v1/messages'
    seen.push(body)
    if (body.model === 'refuses') return response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"the last message must be the user\'s"}}')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const say = (o) => response.write(`${claude ? `event: ${o.type}\n` : ''}data: ${JSON.stringify(o)}\n\n`)
    const parts = body.model === 'dies' ? ['One ', 'llama ', 'wal'] : rest.match(/.{1,5}/gu)
    if (claude) {
        say({ type: 'message_start', message: { id: 'm', usage: { input_tokens: 8, output_tokens: 1 } } })
        say({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
    }
    for (const text of parts) say(claude ? { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } } : { choices: [{ index: 0, delta: { content: text } }] })
    if (body.model === 'dies') {
        await sleep(100)
        return response.destroy()
    }
    if (claude) {
        say({ type: 'content_block_stop', index: 0 })
        say({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } })
        say({ type: 'message_stop' })
        return response.end()
    }
    say({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
    say({ choices: [], usage: { prompt_tokens: 30, completion_tokens: 9 } })
    response.end('data: [DONE]\n\n')
}

const upstream = await new Promise((resolve) => {
    const server = http.createServer(serve).listen(0, '127.0.0.1', () => resolve(server))
})
const url = `http://127.0.0.1:${upstream.address().port}/v1`

// A stream with everything that it says: text, the places in their order, error, finish. onText gets the text so far.
async function stream(api, path, body, onText = () => {}, headers = {}) {
    const response = await fetch(`${api}${path}`, { method: 'POST', headers, body: JSON.stringify({ stream: true, temperature: 0, max_tokens: 800, ...body }) })
    const result = { text: '', places: [], error: null, finish: null }
    const place = response.headers.get('x-caravan-served-by')
    if (place) result.places.push(place)
    let left = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body) {
        left += decoder.decode(chunk, { stream: true })
        const lines = left.split('\n')
        left = lines.pop()
        for (const line of lines) {
            if (line.startsWith(': x-caravan-served-by: ')) result.places.push(line.slice(23))
            if (!line.startsWith('data: ') || line === 'data: [DONE]') continue
            const event = JSON.parse(line.slice(6))
            if (event.error) result.error = event.error
            const piece = event.choices?.[0]?.delta?.content ?? event.delta?.text
            result.finish = event.choices?.[0]?.finish_reason ?? event.delta?.stop_reason ?? result.finish
            if (!piece) continue
            result.text += piece
            await onText(result.text)
        }
    }
    return result
}

const aliases = {
    story: { targets: [{ model: 'caravan-demo' }, { upstream: 'up', model: 'big', same: true }] },
    claude: { targets: [{ model: 'caravan-demo' }, { upstream: 'ant', model: 'big', same: 'caravan-demo' }] },
    other: { targets: [{ model: 'caravan-demo' }, { upstream: 'up', model: 'big' }] },
    twice: {
        targets: [
            { model: 'caravan-demo' },
            { upstream: 'poor', model: 'big', same: true },
            { upstream: 'up', model: 'refuses', same: true },
            { upstream: 'ant', model: 'big', same: true },
        ],
    },
    nowhere: { targets: [{ model: 'caravan-demo' }, { upstream: 'up', model: 'refuses', same: true }, { upstream: 'poor', model: 'big', same: true }] },
    back: { targets: [{ upstream: 'up', model: 'dies', same: true }, { model: 'caravan-demo' }] },
}
const routes = join(tmp, 'routes.json')
writeFileSync(routes, JSON.stringify({ upstreams: { up: { url }, ant: { url, api: 'anthropic' }, poor: { url, prices: { '*': { input: 1, output: 1 } }, spend: { day: 0.000001 } } }, models: aliases }))
const options = ['--ctx', '2048', '--parallel', '2', '--exact']
const messages = [{ role: 'user', content: 'Tell me a long story about llamas.' }]
const endless = { messages, ignore_eos: true }

await run({
    async 'own copy, other copy, upstream: one answer'() {
        const gate = await new Node('gate', ['--memory', '1M', '--routes', routes, '--replay-limit', '20', ...options]).open()
        const first = await new Node('first', [demoModel, '--replicas', '2', '--memory', '64M', '--peer', gate.listen, ...options]).open()
        const second = await new Node('second', ['--memory', '64M', '--peer', gate.listen, '--peer', first.listen, ...options]).open()
        const ready = async () => (await gate.status()).models.filter((m) => m.ready).length
        await until('two copies', async () => (await ready()) === 2)
        const whole = await stream(gate.api, '/v1/chat/completions', { ...endless, model: 'caravan-demo' })
        assert.equal(whole.error, null)
        const nodes = { first, second }
        let lost = 0, at = ''
        const answer = await stream(gate.api, '/v1/chat/completions', { ...endless, model: 'story' }, async (text) => {
            if (text.length < 40 + 300 * lost || lost === 2) return
            const holder = lost === 0 ? 'second' : 'first' // the coordinator goes last, so that nobody loads the model again
            if (lost === 0 && at === '') at = text
            lost++
            await nodes[holder].stop('SIGKILL')
        })
        assert.equal(answer.error, null, JSON.stringify(answer))
        assert.equal(answer.finish, 'stop')
        const asked = seen.at(-1), last = asked.messages.at(-1)
        assert.equal(asked.model, 'big')
        assert.equal(last.role, 'assistant')
        assert.equal(answer.text, last.content + rest)
        assert(whole.text.startsWith(last.content) && last.content.length >= 300, 'what the cluster has written is what it would have written')
        assert.equal(asked.continue_final_message, true)
        assert.equal(asked.add_generation_prompt, false)
        assert.deepEqual(asked.messages.slice(0, -1), messages)
        assert(asked.max_tokens < 800 && asked.max_tokens > 0)
        assert.match(answer.places[0], /^(first|second)\/.*; model=caravan-demo$/)
        assert.equal(answer.places.at(-1), 'up; model=big')
        assert.match(gate.logText(), /it goes on with "big" of up: /)
        await gate.stop()
    },

    async 'what may not leave, or cannot go on exactly, ends with an error or waits; Anthropic is asked by its own form'() {
        const gate = await new Node('gate2', ['--memory', '1M', '--routes', routes, '--replay-limit', '3', ...options]).open()
        const cases = [
            { model: 'claude', path: '/v1/messages', goes: true },
            { model: 'claude', path: '/v1/chat/completions', goes: true },
            { model: 'twice', path: '/v1/chat/completions', goes: true, refused: 1 },
            { model: 'nowhere', path: '/v1/chat/completions', refused: 1 },
            { model: 'other', path: '/v1/chat/completions' },
            { model: 'story', path: '/v1/chat/completions', headers: { 'x-caravan-cloud': 'never' } },
            { model: 'story', path: '/v1/chat/completions', more: { logprobs: true } },
            { model: 'story', path: '/v1/chat/completions', more: { response_format: { type: 'json_object' } }, short: true },
        ]
        for (const c of cases) {
            const holder = await new Node(`holder${cases.indexOf(c)}`, [demoModel, '--memory', '64M', '--peer', gate.listen, ...options]).open()
            await until('the model is ready', async () => (await gate.status()).models.some((m) => m.ready))
            const before = seen.length
            let killed = false
            const answer = await stream(gate.api, c.path, { ...endless, ...c.more, model: c.model }, async (text) => {
                if (killed || text.length < (c.short ? 1 : 60)) return
                killed = true
                await holder.stop('SIGKILL')
            }, c.headers)
            assert(killed, JSON.stringify(c))
            assert.equal(seen.length - before, (c.goes ? 1 : 0) + (c.refused ?? 0), JSON.stringify(c))
            if (c.goes) {
                const last = seen.at(-1).messages.at(-1), content = typeof last.content === 'string' ? last.content : last.content[0].text
                assert.equal(answer.error, null, JSON.stringify(answer))
                assert.equal(last.role, 'assistant')
                assert.equal(answer.text, content + rest)
                assert.equal(seen.at(-1).continue_final_message, undefined)
                assert.equal(answer.places.at(-1), 'ant; model=big')
            } else assert.notEqual(answer.error, null, JSON.stringify(answer))
        }
        await gate.stop()
    },

    async 'an upstream that dies amid an answer is followed by the model that it says it is'() {
        const node = await new Node('back', [demoModel, '--memory', '64M', '--routes', routes, ...options]).open()
        await node.ready()
        const answer = await stream(node.api, '/v1/chat/completions', { messages, model: 'back', max_tokens: 30 })
        assert.equal(answer.error, null)
        assert(answer.text.startsWith('One llama wal') && answer.text.length > 13, answer.text)
        assert.equal(answer.places[0], 'up; model=dies')
        assert.match(answer.places[1], /^back\/.*; model=caravan-demo$/)
        const { default: Anthropic } = await load('@anthropic-ai/sdk') // reads over the line that says who goes on
        const client = new Anthropic({ baseURL: node.api, apiKey: 'none', maxRetries: 0 })
        const message = await client.messages.stream({ messages, model: 'back', max_tokens: 30 }).finalMessage()
        assert(message.content[0].text.startsWith('One llama wal') && message.content[0].text.length > 13, JSON.stringify(message))
        const read = await stream(node.api, '/v1/messages', { messages, model: 'back', max_tokens: 30 })
        assert.match(read.places[1], /^back\/.*; model=caravan-demo$/)
        await node.stop()
    },
})
upstream.close()
