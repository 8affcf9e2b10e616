// SPDX-License-Identifier: MIT
// The clients that people use, unmodified, against the gateway on its scripted backend: each API by its own client, and the frameworks.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Fake, load, script, sleep, until } from './lib/openai.mjs'
import { Matrix } from './lib/matrix.mjs'

const fake = await new Fake().open()
const matrix = new Matrix()
after(() => fake.stop())

const plain = await matrix.open('plain request', fake.api)
const model = 'fake-model'
const words = { pieces: ['te', 'xt ', 'of ', 'it'] }
const all = async (stream) => {
    const list = []
    for await (const part of stream) list.push(part)
    return list
}
const idle = () => until('no request runs any more', async () => (await fake.status()).running === 0)

// ---- Anthropic ----

const { default: Anthropic } = await load('@anthropic-ai/sdk')
const anthropic = new Anthropic({ baseURL: await matrix.open('@anthropic-ai/sdk', fake.api), apiKey: 'none', maxRetries: 0 })
const ask = (content, more = {}) => ({ model, max_tokens: 50, messages: [{ role: 'user', content }], ...more })

test('anthropic: a message in one piece', async () => {
    const m = await anthropic.messages.create(ask(script(words), { system: 'be brief', temperature: 0.5, top_p: 0.9, top_k: 5, metadata: { user_id: 'u' } }))
    assert.equal(m.type, 'message')
    assert.match(m.id, /^msg_/)
    assert.deepEqual(m.content, [{ type: 'text', text: 'text of it' }])
    assert.equal(m.stop_reason, 'end_turn')
    assert.equal(m.usage.output_tokens, 4)
    assert(m.usage.input_tokens > 0)
})

test('anthropic: streamed, put together by the client', async () => {
    const stream = anthropic.messages.stream(ask([{ type: 'text', text: script(words) }]))
    const events = []
    stream.on('streamEvent', (e) => events.push(e.type))
    const m = await stream.finalMessage()
    assert.equal(m.content[0].text, 'text of it')
    assert.equal(m.usage.output_tokens, 4)
    assert.equal(events[0], 'message_start')
    assert.deepEqual(events.slice(-3), ['content_block_stop', 'message_delta', 'message_stop'])
})

test('anthropic: limits and stop sequences say so', async () => {
    const cut = await anthropic.messages.create(ask(script(words), { max_tokens: 2 }))
    assert.equal(cut.stop_reason, 'max_tokens')
    const stopped = await anthropic.messages.create(ask(script(words), { stop_sequences: ['no', 'of'] }))
    assert.equal(stopped.stop_reason, 'stop_sequence')
    assert.equal(stopped.stop_sequence, 'of')
    assert.equal(stopped.content[0].text, 'text ')
})

test('anthropic: tokens are counted, errors are of its classes, an abort is heard', async () => {
    const short = await anthropic.messages.countTokens({ model, messages: [{ role: 'user', content: 'a' }] })
    const long = await anthropic.messages.countTokens({ model, messages: [{ role: 'user', content: 'a'.repeat(11) }] })
    assert.equal(long.input_tokens, short.input_tokens + 10)
    await assert.rejects(anthropic.messages.create({ ...ask('x'), max_tokens: 0 }), (e) => e instanceof Anthropic.BadRequestError && e.error.error.type === 'invalid_request_error')
    await assert.rejects(anthropic.messages.create({ ...ask('x'), model: 'nix' }), (e) => e instanceof Anthropic.NotFoundError)
    await assert.rejects(anthropic.messages.create(ask(script({ refuse: 'BUSY' }))), (e) => e instanceof Anthropic.RateLimitError)
    await assert.rejects(anthropic.messages.stream(ask(script({ ...words, fail: 'ENGINE', fail_after: 2 }))).finalMessage())
    const before = (await fake.status()).cancelled
    const stream = anthropic.messages.stream(ask(script({ pieces: ['x '], repeat: 4000, delay_ms: 50 }), { max_tokens: 4000 }))
    stream.on('text', () => stream.abort())
    await assert.rejects(stream.finalMessage(), (e) => e instanceof Anthropic.APIUserAbortError)
    await idle()
    assert.equal((await fake.status()).cancelled, before + 1)
})

test('anthropic: requests of Claude Code', async () => {
    const m = await anthropic.messages.create(ask('x', {
        tools: [{ type: 'bash_20250124', name: 'bash' }, { type: 'web_search_20250305', name: 'web_search' }],
        messages: [
            { role: 'user', content: 'read it' },
            { role: 'system', content: [{ type: 'text', text: '# Environment', cache_control: { type: 'ephemeral' } }] },
            { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'bash', input: {} }] },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } }, { type: 'text', text: script(words) }] }] },
        ],
        model: 'hermes',
    }))
    assert.equal(m.stop_reason, 'end_turn')
    const thread = await fetch(`${plain}/v1/messages`, { method: 'POST', body: JSON.stringify(ask('x', { thread: { type: 'continue', previous_message_id: 'msg_1' } })) })
    assert.deepEqual([thread.status, (await thread.json()).error.details.error_code], [400, 'thread_unsupported_request'])
})

// ---- Ollama ----

const { Ollama } = await load('ollama')
const ollama = new Ollama({ host: await matrix.open('ollama', fake.api) })
const say = (content) => [{ role: 'user', content }]

test('ollama: chat and generate, in one piece and streamed', async () => {
    const options = { num_predict: 50, temperature: 0.3, top_k: 4, top_p: 0.9, seed: 7, stop: ['nothing'], repeat_penalty: 1.1, num_ctx: 2048 }
    const whole = await ollama.chat({ model, messages: [{ role: 'system', content: 'brief' }, ...say(script(words))], options, keep_alive: '5m' })
    assert.equal(whole.message.content, 'text of it')
    assert.equal(whole.done_reason, 'stop')
    assert.equal(whole.eval_count, 4)
    assert(whole.total_duration > 0)
    const { last_seed, keep_s } = await fake.status()
    assert.deepEqual({ last_seed, keep_s }, { last_seed: 7, keep_s: 300 })
    const parts = await all(await ollama.chat({ model: `${model}:latest`, messages: say(script(words)), stream: true }))
    assert.equal(parts.map((p) => p.message.content).join(''), 'text of it')
    assert.deepEqual(parts.map((p) => p.done), [false, false, false, false, true])
    assert.equal((await ollama.generate({ model, prompt: script(words), system: 'brief' })).response, 'text of it')
    assert.equal((await ollama.generate({ model, prompt: script(words), raw: true, options: { num_predict: 2 } })).done_reason, 'length')
    const generated = await all(await ollama.generate({ model, prompt: script(words), stream: true }))
    assert.equal(generated.map((p) => p.response).join(''), 'text of it')
    assert.equal((await ollama.generate({ model, prompt: '' })).done_reason, 'load')
})

test('ollama: keep_alive', async () => {
    const left = async () => (new Date((await ollama.ps()).models[0].expires_at) - Date.now()) / 1000
    const kept = async (body) => [(await ollama.generate({ model, ...body })).done_reason, (await fake.status()).keep_s]
    assert.deepEqual(await kept({ prompt: script(words), keep_alive: '1h30m' }), ['stop', 5400])
    assert(await left() > 5300 && await left() < 5500)
    assert.deepEqual(await kept({ prompt: script(words) }), ['stop', 5400], 'nothing said: nothing changes')
    assert.deepEqual(await kept({ prompt: '', keep_alive: -1 }), ['load', -1])
    assert(await left() > 1e9)
    assert.deepEqual(await kept({ prompt: '', keep_alive: 0 }), ['unload', 0])
    assert.equal((await ollama.generate({ model: 'org/loading', prompt: '', keep_alive: 0 })).done_reason, 'unload', 'not loaded for that')
    await ollama.embed({ model, input: 'x', keep_alive: 7 })
    assert.equal((await fake.status()).keep_s, 7)
    await ollama.embeddings({ model, prompt: 'x', keep_alive: '2m' })
    assert.equal((await fake.status()).keep_s, 120)
    await assert.rejects(ollama.generate({ model, prompt: 'x', keep_alive: 'soon' }), /keep_alive.*duration/)
    await assert.rejects(ollama.embed({ model, input: 'x', keep_alive: 'soon' }), /keep_alive.*duration/)
    assert.equal((await fake.status()).keep_s, 120)
    await ollama.generate({ model, prompt: '', keep_alive: -1 })
})

test('ollama: format, think', async () => {
    const r = await ollama.chat({ model, messages: say(script({ pieces: ['{"a"', ':1}'] })), format: { type: 'object', properties: { a: { type: 'integer' } } }, think: false })
    assert.deepEqual(JSON.parse(r.message.content), { a: 1 })
    assert((await ollama.generate({ model, prompt: script(words), format: 'json' })).done)
    await assert.rejects(ollama.chat({ model, messages: say('x'), format: { type: 'nothing' } }), /format.*type/)
})

test('ollama: log probabilities', async () => {
    const wish = { model, messages: say(script(words)), logprobs: true, top_logprobs: 2 }
    const whole = await ollama.chat(wish)
    assert.deepEqual(whole.logprobs.map((l) => [l.token, l.top_logprobs.length]), words.pieces.map((p) => [p, 2]))
    const parts = await all(await ollama.chat({ ...wish, stream: true }))
    assert.deepEqual(parts.flatMap((p) => p.logprobs ?? []), whole.logprobs)
    const generated = await ollama.generate({ model, prompt: script(words), logprobs: true, think: 'max' })
    assert.equal(generated.logprobs.length, 4)
    assert.equal((await ollama.chat({ model, messages: say(script(words)) })).logprobs, undefined)
})

test('ollama: models, version, errors, abort', async () => {
    assert((await ollama.list()).models.some((m) => m.name === `${model}:latest`))
    assert((await ollama.ps()).models.some((m) => m.name === `${model}:latest`))
    const shown = await ollama.show({ model })
    assert.deepEqual(shown.capabilities, ['completion', 'insert'])
    assert.equal(shown.details.family, 'fake')
    assert.equal(shown.details.parameter_size, '7.2B')
    assert.equal(shown.details.quantization_level, 'Q4_K_M')
    assert.equal(shown.model_info['fake.embedding_length'], 64)
    assert.match(shown.parameters, /num_ctx +4096/)
    assert.equal((await ollama.list()).models.find((m) => m.name === `${model}:latest`).size, 4e9)
    assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/)
    await assert.rejects(ollama.chat({ model: 'nix', messages: say('x') }), (e) => e.status_code === 404 && /no "nix"/.test(e.message))
    assert.deepEqual((await ollama.embed({ model, input: ['x', 'xy'], truncate: true })).embeddings, [[1, 2, 3, 4], [2, 3, 4, 5]])
    assert.deepEqual((await ollama.embeddings({ model, prompt: 'x' })).embedding, [1, 2, 3, 4])
    await assert.rejects(all(await ollama.chat({ model, messages: say(script({ ...words, fail: 'ENGINE', fail_after: 1 })), stream: true })), /made this request fail/)
    const before = (await fake.status()).cancelled
    const slow = await ollama.chat({ model, messages: say(script({ pieces: ['x '], repeat: 4000, delay_ms: 50 })), stream: true })
    await assert.rejects(async () => { for await (const part of slow) if (part.message.content) slow.abort() }, (e) => e.name === 'AbortError')
    await idle()
    assert.equal((await fake.status()).cancelled, before + 1)
})

// ---- OpenAI: responses ----

const { default: OpenAI } = await load('openai')
const openai = new OpenAI({ baseURL: `${await matrix.open('openai', fake.api)}/v1`, apiKey: 'none', maxRetries: 0 })

test('responses: whole, stored, gone on from, forgotten', async () => {
    const first = await openai.responses.create({ model, input: script(words), instructions: 'brief', metadata: { a: 'b' }, temperature: 0.5, top_p: 0.9, max_output_tokens: 50 })
    assert.equal(first.status, 'completed')
    assert.equal(first.output_text, 'text of it')
    assert.deepEqual(first.metadata, { a: 'b' })
    assert.equal(first.usage.output_tokens, 4)
    assert(first.completed_at >= first.created_at)
    assert.deepEqual([first.truncation, first.top_logprobs, first.presence_penalty, first.max_tool_calls, first.service_tier, first.prompt_cache_key], ['disabled', 0, 0, null, 'default', null])
    const next = await openai.responses.create({ model, previous_response_id: first.id, input: [{ role: 'user', content: [{ type: 'input_text', text: 'and then?' }] }] })
    assert.equal(next.previous_response_id, first.id)
    assert.equal(next.output_text, 'text of it') // the script is in what came before
    assert(next.usage.input_tokens > first.usage.input_tokens)
    assert.equal((await openai.responses.retrieve(next.id)).output_text ?? next.output_text, next.output_text)
    const items = await all(await openai.responses.inputItems.list(next.id))
    assert.equal(items[0].content[0].text, 'and then?')
    await openai.responses.delete(next.id)
    await assert.rejects(openai.responses.retrieve(next.id), (e) => e instanceof OpenAI.NotFoundError)
    const unkept = await openai.responses.create({ model, input: script(words), store: false })
    await assert.rejects(openai.responses.retrieve(unkept.id), (e) => e instanceof OpenAI.NotFoundError)
    await assert.rejects(openai.responses.create({ model, input: 'x', previous_response_id: 'resp_nix' }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'previous_response_id')
})

test('responses: streamed, put together by the client; cut; failed', async () => {
    const stream = openai.responses.stream({ model, input: script(words) })
    const types = []
    stream.on('event', (e) => types.push(e.type))
    const r = await stream.finalResponse()
    assert.equal(r.output_text, 'text of it')
    assert.deepEqual([...new Set(types)], ['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added', 'response.output_text.delta', 'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed'])
    const cut = await openai.responses.create({ model, input: script(words), max_output_tokens: 1 })
    assert.equal(cut.status, 'incomplete')
    assert.equal(cut.incomplete_details.reason, 'max_output_tokens')
    const failed = await all(await openai.responses.create({ model, input: script({ ...words, fail: 'ENGINE', fail_after: 2 }), stream: true }))
    assert.equal(failed.at(-1).type, 'response.failed')
})

test('responses: text.format, reasoning, tools that run on a server', async () => {
    const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'], additionalProperties: false }
    const r = await openai.responses.create({ model, input: script({ pieces: ['{"a"', ':1}'] }), text: { format: { type: 'json_schema', name: 'x', schema, strict: true } }, reasoning: { effort: 'low' } })
    assert.deepEqual(JSON.parse(r.output_text), { a: 1 })
    const hosted = await openai.responses.create({ model, input: script(words), tools: [{ type: 'web_search' }] })
    assert.equal(hosted.output_text, 'text of it')
})

test('responses: a function of a namespace is called, with its results and all that an agent keeps of a conversation', async () => {
    const tools = [{ type: 'namespace', name: 'agents', description: 'd', tools: [{ type: 'function', name: 'stop', parameters: { type: 'object', properties: {} } }] }, { type: 'web_search' }]
    const pieces = ['</think>\n', '<tool_call>\n{"name": "agents.stop", ', '"arguments": {}}\n</tool_call>']
    const input = [
        { role: 'user', content: 'x' },
        { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'zz' },
        { type: 'custom_tool_call', call_id: 'a', name: 'patch', input: 'y' },
        { type: 'custom_tool_call_output', call_id: 'a', output: 'done' },
        { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'q' } },
        { type: 'compaction', encrypted_content: 'zz' },
        { role: 'user', content: script({ pieces }) },
    ]
    const names = (item) => [item.type, item.namespace, item.name, item.arguments]
    const first = await openai.responses.create({ model: 'hermes', input, tools })
    const call = first.output.find((item) => item.type === 'function_call')
    assert.deepEqual(names(call), ['function_call', 'agents', 'stop', '{}'])
    const done = (await all(await openai.responses.create({ model: 'hermes', input, tools, stream: true }))).at(-1).response
    assert.deepEqual(names(done.output.find((item) => item.type === 'function_call')), names(call))
    const next = await openai.responses.create({ model: 'hermes', tools, previous_response_id: first.id, input: [{ type: 'function_call_output', call_id: call.call_id, output: script(words) }] })
    assert.equal(next.status, 'completed')
})

test('openai: embeddings in its own encoding and as numbers, response_format by schema', async () => {
    assert.deepEqual((await openai.embeddings.create({ model, input: 'x', user: 'u' })).data[0].embedding, [1, 2, 3, 4])
    const r2 = await openai.embeddings.create({ model, input: ['x', 'xyz'], encoding_format: 'float', dimensions: 2 })
    assert.deepEqual(r2.data.map((d) => d.embedding.length), [2, 2])
    await assert.rejects(openai.embeddings.create({ model, input: [] }), (e) => e.status === 400 && e.param === 'input')
    const schema = { type: 'object', properties: { a: { type: 'integer' } } }
    const r = await openai.chat.completions.create({ model, messages: say(script({ pieces: ['{"a":1}'] })), response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } })
    assert.deepEqual(JSON.parse(r.choices[0].message.content), { a: 1 })
    await openai.chat.completions.create({ model, messages: say(script(words)), response_format: { type: 'json_object' }, n: 2, seed: 1, stop: 'z', logprobs: true, top_logprobs: 2, logit_bias: { 5: 1 }, user: 'u', max_completion_tokens: 9 })
})

test('openai: the last message is continued, in every family; forms of an answer as other servers ask for them', async () => {
    for (const family of [model, 'hermes', 'harmony']) {
        const r = await openai.chat.completions.create({ model: family, messages: [...say(script(words)), { role: 'assistant', content: 'I am ' }] })
        assert.deepEqual([r.choices[0].message.content, r.choices[0].message.reasoning_content], ['text of it', undefined], family)
    }
    const more = (body) => openai.chat.completions.create({ model, messages: say(script(words)), ...body })
    await more({ structured_outputs: { choice: ['text of it'] }, min_tokens: 2, top_k: -1 })
    await more({ guided_regex: '[a-z ]+', repetition_penalty: 1.1 })
    await assert.rejects(more({ bad_words: ['x'] }), (e) => e.param === 'bad_words')
})

test('openai: retried when the node is busy', async () => {
    const again = new OpenAI({ baseURL: openai.baseURL, apiKey: 'none', maxRetries: 1 })
    const before = Date.now()
    await assert.rejects(again.chat.completions.create({ model, messages: say(script({ refuse: 'BUSY' })) }), (e) => e instanceof OpenAI.RateLimitError)
    assert(Date.now() - before >= 1500, 'Retry-After was honoured')
})

test('responses: log probabilities, streamed and whole', async () => {
    const wish = { model, input: script(words), include: ['message.output_text.logprobs'], top_logprobs: 2 }
    const whole = await openai.responses.create(wish)
    const list = whole.output[0].content[0].logprobs
    assert.deepEqual(list.map((l) => l.token), words.pieces)
    assert.equal(list[0].top_logprobs.length, 2)
    const parts = await all(await openai.responses.create({ ...wish, stream: true }))
    assert.deepEqual(parts.filter((p) => p.type === 'response.output_text.delta').flatMap((p) => p.logprobs.map((l) => l.token)), words.pieces)
    assert.deepEqual(parts.at(-1).response.output[0].content[0].logprobs, list)
    assert.deepEqual((await openai.responses.create({ model, input: script(words) })).output[0].content[0].logprobs, [])
})

test('completions: text before a suffix, if the model can fill in', async () => {
    const r = await openai.completions.create({ model, prompt: script(words), suffix: ' and more', max_tokens: 9, echo: false })
    assert.equal(r.choices[0].text, 'text of it')
    assert.equal(r.usage.prompt_tokens, Math.floor(('<PRE>' + script(words) + '<SUF> and more<MID>').length / 4) + 1)
    assert.equal((await ollama.generate({ model, prompt: script(words), suffix: ' and more' })).prompt_eval_count, r.usage.prompt_tokens)
    await assert.rejects(openai.completions.create({ model: 'plain', prompt: 'x', suffix: 'y' }), (e) => e.param === 'suffix' && /no infill tokens/.test(e.message))
    assert.equal((await openai.completions.create({ model, prompt: script(words), echo: true })).choices[0].text, script(words) + 'text of it')
})

// ---- the frameworks ----

test('ai with @ai-sdk/openai-compatible: text, stream', async () => {
    const { generateText, streamText } = await load('ai')
    const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible')
    const provider = createOpenAICompatible({ name: 'caravan', baseURL: `${await matrix.open('ai + @ai-sdk/openai-compatible', fake.api)}/v1`, includeUsage: true })
    const r = await generateText({ model: provider(model), prompt: script(words), maxOutputTokens: 50, temperature: 0.4, maxRetries: 0 })
    assert.equal(r.text, 'text of it')
    assert.equal(r.finishReason, 'stop')
    assert.equal(r.usage.outputTokens, 4)
    const s = streamText({ model: provider(model), prompt: script(words), maxRetries: 0 })
    assert.equal((await all(s.textStream)).join(''), 'text of it')
    assert.equal((await s.usage).outputTokens, 4)
})

test('@langchain/openai: invoke, stream', async () => {
    const { ChatOpenAI } = await load('@langchain/openai')
    const chat = new ChatOpenAI({ model, apiKey: 'none', maxRetries: 0, temperature: 0.4, configuration: { baseURL: `${await matrix.open('@langchain/openai', fake.api)}/v1` } })
    const r = await chat.invoke(script(words))
    assert.equal(r.content, 'text of it')
    assert.equal(r.usage_metadata.output_tokens, 4)
    assert.equal((await all(await chat.stream(script(words)))).map((c) => c.content).join(''), 'text of it')
})

// ---- tools: calls of the model as each client sees them ----

const parameters = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
const calling = script({ pieces: ['Let me. ', '<tool_', 'call>{"name": "add", "argu', 'ments": {"a": 1', '}}</tool_call>'] })

test('tools: anthropic, both ways and the result', async () => {
    const tools = [{ name: 'add', description: 'adds', input_schema: parameters }]
    const m = await anthropic.messages.create(ask(calling, { tools, tool_choice: { type: 'auto' } }))
    assert.equal(m.stop_reason, 'tool_use')
    const use = m.content.find((b) => b.type === 'tool_use')
    assert.equal(use.name, 'add')
    assert.deepEqual(use.input, { a: 1 })
    const streamed = await anthropic.messages.stream(ask(calling, { tools })).finalMessage()
    assert.deepEqual(streamed.content.find((b) => b.type === 'tool_use').input, { a: 1 })
    const history = [{ role: 'user', content: 'add' }, { role: 'assistant', content: m.content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: script(words) }] }]
    assert.equal((await anthropic.messages.create({ model, max_tokens: 50, tools, messages: history })).content[0].text, 'text of it')
})

test('tools: ollama', async () => {
    const tools = [{ type: 'function', function: { name: 'add', description: 'adds', parameters } }]
    const r = await ollama.chat({ model, messages: say(calling), tools })
    assert.equal(r.message.tool_calls[0].function.name, 'add')
    assert.deepEqual(r.message.tool_calls[0].function.arguments, { a: 1 })
    const parts = await all(await ollama.chat({ model, messages: say(calling), tools, stream: true }))
    assert.deepEqual(parts.flatMap((p) => p.message.tool_calls ?? []).map((c) => c.function.arguments), [{ a: 1 }])
    const after = await ollama.chat({ model, tools, messages: [...say('add'), r.message, { role: 'tool', tool_name: 'add', content: script(words) }] })
    assert.equal(after.message.content, 'text of it')
})

test('tools: responses', async () => {
    const tools = [{ type: 'function', name: 'add', description: 'adds', parameters, strict: true }]
    const r = await openai.responses.create({ model, input: calling, tools, tool_choice: 'auto', parallel_tool_calls: true })
    const call = r.output.find((i) => i.type === 'function_call')
    assert.deepEqual(JSON.parse(call.arguments), { a: 1 })
    const s = await openai.responses.stream({ model, input: calling, tools }).finalResponse()
    assert.deepEqual(JSON.parse(s.output.find((i) => i.type === 'function_call').arguments), { a: 1 })
    const next = await openai.responses.create({ model, previous_response_id: r.id, tools, input: [{ type: 'function_call_output', call_id: call.call_id, output: '2' }] })
    assert(next.output.length > 0)
})

test('tools: ai, @langchain/openai', async () => {
    const { generateText, streamText, tool, jsonSchema } = await load('ai')
    const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible')
    const provider = createOpenAICompatible({ name: 'caravan', baseURL: `${await matrix.open('ai + @ai-sdk/openai-compatible', fake.api)}/v1` })
    const options = { model: provider(model), prompt: calling, maxRetries: 0, tools: { add: tool({ description: 'adds', inputSchema: jsonSchema(parameters) }) } }
    assert.deepEqual((await generateText(options)).toolCalls.map((c) => [c.toolName, c.input]), [['add', { a: 1 }]])
    assert.deepEqual((await streamText(options).toolCalls).map((c) => [c.toolName, c.input]), [['add', { a: 1 }]])
    const { ChatOpenAI } = await load('@langchain/openai')
    const chat = new ChatOpenAI({ model, apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${await matrix.open('@langchain/openai', fake.api)}/v1` } })
    const bound = chat.bindTools([{ type: 'function', function: { name: 'add', description: 'adds', parameters } }])
    const r = await bound.invoke(calling)
    assert.deepEqual(r.tool_calls.map((c) => [c.name, c.args]), [['add', { a: 1 }]])
})

// ---- requests that no client sends ----

test('tokens of a text and back; metrics', async () => {
    const post = (path, body) => fetch(`${plain}${path}`, { method: 'POST', body: JSON.stringify(body) }).then((r) => r.json())
    assert.deepEqual(await post('/tokenize', { model, content: 'hé', with_pieces: true }), { tokens: [{ id: 104, piece: 'h' }, { id: 195, piece: [195] }, { id: 169, piece: [169] }] })
    assert.deepEqual(await post('/tokenize', { model, content: 'hi' }), { tokens: [104, 105] })
    assert.deepEqual(await post('/detokenize', { model, tokens: [104, 105] }), { content: 'hi' })
    assert.equal((await post('/detokenize', { model, tokens: [-1] })).error.param, 'tokens')
    const metrics = await (await fetch(`${plain}/metrics`)).text()
    const value = (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)[1])
    const ended = value('caravan_requests_finished_total') + value('caravan_requests_failed_total') + value('caravan_requests_gone_total')
    assert.equal(ended, value('caravan_requests_total'))
    assert(value('caravan_completion_tokens_total') > 40)
    assert.equal(value('caravan_time_to_first_text_seconds_bucket\\{le="\\+Inf"\\}'), value('caravan_time_to_first_text_seconds_count'))
})

test('a template that uses up its time delays no other request', async () => {
    const post = (path, body) => fetch(`${plain}${path}`, { method: 'POST', body: JSON.stringify(body) })
    const order = []
    const hostile = post('/v1/chat/completions', { model: 'hostile', messages: say('x') }).then(async (r) => {
        order.push('hostile')
        return [r.status, (await r.json()).error.message]
    })
    await post('/v1/completions', { model, prompt: script(words) }).then((r) => r.json())
    order.push('other')
    const [status, message] = await hostile
    assert.equal(status, 400)
    assert.match(message, /template/)
    assert.deepEqual(order, ['other', 'hostile'])
    const shown = await (await post('/api/show', { model: 'hostile' })).json() /* its abilities cannot be found out; it is shown all the same */
    assert(shown.capabilities.includes('completion'))
})

test('a response stored under one key is not found under another', async () => {
    const open = await new Fake({ key: 'one', env: { FAKE_KEY: 'two' } }).open()
    try {
        const client = (apiKey) => new OpenAI({ baseURL: `${open.api}/v1`, apiKey, maxRetries: 0 })
        const first = await client('one').responses.create({ model, input: script(words) })
        assert.equal((await client('one').responses.retrieve(first.id)).id, first.id)
        await assert.rejects(client('two').responses.retrieve(first.id), (e) => e instanceof OpenAI.NotFoundError)
        await assert.rejects(client('two').responses.delete(first.id), (e) => e instanceof OpenAI.NotFoundError)
        await assert.rejects(client('two').responses.inputItems.list(first.id), (e) => e instanceof OpenAI.NotFoundError)
        await assert.rejects(client('two').responses.create({ model, input: 'x', previous_response_id: first.id }), (e) => e instanceof OpenAI.BadRequestError)
    } finally {
        await open.stop()
    }
})

test('web pages: only where the setting allows it', async () => {
    const open = await new Fake({ key: 'secret', env: { FAKE_CORS: 'https://a.example https://b.example' } }).open()
    try {
        const preflight = (origin) => fetch(`${open.api}/v1/models`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' } })
        const yes = await preflight('https://b.example'), no = await preflight('https://c.example')
        assert.equal(yes.status, 204)
        assert.equal(yes.headers.get('access-control-allow-origin'), 'https://b.example')
        assert.equal(yes.headers.get('access-control-allow-headers'), 'authorization')
        assert.equal(no.status, 403)
        assert.equal(no.headers.get('access-control-allow-origin'), null)
        const real = await fetch(`${open.api}/v1/models`, { headers: { origin: 'https://a.example', authorization: 'Bearer secret' } })
        assert.equal(real.status, 200)
        assert.equal(real.headers.get('access-control-allow-origin'), 'https://a.example')
        const wrong = await fetch(`${open.api}/v1/messages`, { method: 'POST', body: '{}', headers: { 'x-api-key': 'wrong' } })
        assert.equal((await wrong.json()).error.type, 'authentication_error')
    } finally {
        await open.stop()
    }
})

after(() => matrix.check())
