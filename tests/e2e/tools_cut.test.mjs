// SPDX-License-Identifier: MIT
// Tool calls that the model breaks off or writes wrongly, through every API, in one piece and streamed: every body and every event is
// JSON, a call's arguments are a whole object or text, and the answer says that it was cut.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Fake, script } from './lib/openai.mjs'

const fake = await new Fake().open()
after(() => fake.stop())

const schema = { type: 'object', properties: { a: { type: 'string' } } }
const control = (text) => ({ control: text })
const call = '<tool_call>\n{"name": "f", "arguments": '
const open = {
    'fake-model': [call],
    hermes: ['</think>', call],
    mistral: [control('[TOOL_CALLS]'), '[{"name": "f", "arguments": '],
    harmony: [control('<|channel|>'), 'commentary to=functions.f ', control('<|constrain|>'), 'json', control('<|message|>')],
}

const answers = {
    'cut in a string': { rest: ['{"a": "Hel', 'lo'], length: true, text: '{"a": "Hello' },
    'cut before its arguments': { rest: [''], length: true, text: '' },
    'not JSON': { rest: ['{"a": ', 'Hello}}</tool_call>'], text: '{"a": ' },
    'not an object': { rest: ['["a"]'], text: '["a"]' },
    'cut behind its arguments': { rest: ['{"a":\n "x\ny"}'], length: true, whole: { a: 'x\ny' } },
}

async function ask(path, body) {
    const r = await fetch(`${fake.api}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    assert.equal(r.status, 200)
    return r.text()
}
const lines = (text) => text.split('\n').filter((l) => l !== '').map((l) => JSON.parse(l))
const events = (text) => text.split('\n').filter((l) => l.startsWith('data: ') && l !== 'data: [DONE]').map((l) => JSON.parse(l.slice(6)))
const join = (parts) => parts.map((p) => p ?? '').join('')

// Each gives { cut: did the answer say so, objects: arguments as JSON, strings: arguments as text, content }.
const apis = {
    async openai(base, stream) {
        const text = await ask('/v1/chat/completions', { ...base, stream, tools: [{ type: 'function', function: { name: 'f', parameters: schema } }] })
        if (!stream) {
            const { message, finish_reason } = JSON.parse(text).choices[0]
            return { cut: finish_reason === 'length', objects: [], strings: message.tool_calls.map((c) => c.function.arguments) }
        }
        const choices = events(text).flatMap((e) => e.choices)
        return { cut: choices.at(-1).finish_reason === 'length', objects: [], strings: [join(choices.flatMap((c) => c.delta.tool_calls ?? []).map((c) => c.function.arguments))] }
    },
    async responses(base, stream) {
        const text = await ask('/v1/responses', { model: base.model, max_output_tokens: base.max_tokens, input: base.messages, stream, store: false, tools: [{ type: 'function', name: 'f', parameters: schema }] })
        const all = stream ? events(text) : []
        const r = stream ? all.at(-1).response : JSON.parse(text), calls = r.output.filter((i) => i.type === 'function_call')
        const cut = r.status === 'incomplete' && r.incomplete_details.reason === 'max_output_tokens'
        if (stream) {
            assert.equal(all.at(-1).type, cut ? 'response.incomplete' : 'response.completed')
            assert.deepEqual(all.filter((e) => e.type === 'response.output_item.done' && e.item.type === 'function_call').map((e) => e.item), calls)
        }
        return { cut, objects: [], strings: calls.map((c) => c.arguments), broken: calls.filter((c) => c.status === 'incomplete').length }
    },
    async anthropic(base, stream) {
        const text = await ask('/v1/messages', { ...base, stream, tools: [{ name: 'f', input_schema: schema }] })
        if (!stream) {
            const r = JSON.parse(text)
            return { cut: r.stop_reason === 'max_tokens', objects: r.content.filter((b) => b.type === 'tool_use').map((b) => b.input), content: join(r.content.map((b) => b.text)) }
        }
        const all = events(text)
        return { cut: all.find((e) => e.type === 'message_delta').delta.stop_reason === 'max_tokens', objects: [], strings: [join(all.map((e) => e.delta?.partial_json))] }
    },
    async ollama(base, stream) {
        const text = await ask('/api/chat', { model: base.model, messages: base.messages, options: { num_predict: base.max_tokens }, stream, tools: [{ type: 'function', function: { name: 'f', parameters: schema } }] })
        const all = stream ? lines(text) : [JSON.parse(text)]
        return { cut: all.at(-1).done_reason === 'length', objects: all.flatMap((l) => l.message.tool_calls ?? []).map((c) => c.function.arguments), content: join(all.map((l) => l.message.content)) }
    },
}

for (const model of Object.keys(open))
    for (const [what, answer] of Object.entries(answers))
        for (const [api, run] of Object.entries(apis))
            for (const stream of [false, true])
                test(`${model}, ${api}${stream ? ', streamed' : ''}: ${what}`, async () => {
                    const pieces = [...open[model], ...answer.rest]
                    const base = { model, max_tokens: answer.length ? pieces.length : 100, messages: [{ role: 'user', content: script({ pieces, repeat: answer.length ? 2 : 1 }) }] }
                    const got = await run(base, stream)
                    assert.equal(got.cut, true)
                    for (const o of got.objects) assert.deepEqual(o, answer.whole)
                    if (answer.whole && got.strings) assert.deepEqual(got.strings.map((s) => JSON.parse(s)), [answer.whole])
                    else if (answer.whole) assert.equal(got.objects.length, 1)
                    else if (got.strings) assert.deepEqual(got.strings, [answer.text])
                    else assert.ok(got.objects.length === 0 && got.content.startsWith(answer.text), got.content)
                    if (got.broken !== undefined) assert.equal(got.broken, answer.whole ? 0 : 1)
                })
