// SPDX-License-Identifier: MIT
// Tools through the npm `openai` client: calls as three families write them (and one whose template knows no tools), in one piece and
// streamed, with the client's own helpers, results sent back, and nothing special in any text.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { Matrix } from './lib/matrix.mjs'
import { Fake, load, script } from './lib/openai.mjs'

const { default: OpenAI, BadRequestError } = await load('openai')
const fake = await new Fake().open()
const matrix = new Matrix()
after(() => fake.stop().then(() => matrix.check()))
const client = new OpenAI({ baseURL: `${await matrix.open('openai', fake.api)}/v1`, apiKey: 'none', maxRetries: 0 })

const parameters = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] }
const tools = [{ type: 'function', function: { name: 'get_weather', description: 'the weather', parameters } }, { type: 'function', function: { name: 'now' } }]
const say = (what) => [{ role: 'user', content: script(what) }]
const control = (text) => ({ control: text })

// The text with which a model of each family thinks, says "Well." and calls both tools.
const families = {
    hermes: { thinks: true, pieces: ['I th', 'ink.\n</thi', 'nk>\n\nWel', 'l.\n<tool_', 'call>\n{"name": "get_wea', 'ther", "arguments": {"city": "K', 'öl', 'n", "days": 2}}\n</tool_call>\n', '<tool_call>\n{"name": "now", "arguments": {}}', '\n</tool_call>', control('<|im_end|>')] },
    mistral: { thinks: false, pieces: ['Well.', control('[TOOL_CALLS]'), '[{"name": "get_wea', 'ther", "arguments": {"city": "Köln"', ', "days": 2}}, {"name": "now", ', '"arguments": {}}]', control('</s>')] },
    harmony: { thinks: true, single: true, pieces: [control('<|channel|>'), 'analysis', control('<|message|>'), 'I think.', control('<|end|>'), control('<|start|>'), 'assistant', control('<|channel|>'), 'commentary', control('<|message|>'), 'Well.', control('<|end|>'), control('<|start|>'), 'assistant', control('<|channel|>'), 'commentary to=functions.get_', 'weather ', control('<|constrain|>'), 'json', control('<|message|>'), '{"city": "Kö', 'ln", "days": 2}'] },
    'fake-model': { thinks: false, pieces: ['Well.\n<tool', '_call>{"name": "get_weather", "arguments": {"city": "Köln", ', '"days": 2}}</tool_call>', '<tool_call>{"name": "now", "arguments": {}}</tool_call>'] },
}

function check(message, family) {
    assert.equal(message.content, 'Well.')
    if (family.thinks) assert.equal(message.reasoning_content, 'I think.')
    assert.equal(message.tool_calls.length, family.single ? 1 : 2)
    assert.deepEqual(message.tool_calls.map((c) => c.function.name), family.single ? ['get_weather'] : ['get_weather', 'now'])
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: 'Köln', days: 2 })
    assert.equal(new Set(message.tool_calls.map((c) => c.id)).size, message.tool_calls.length)
    for (const c of message.tool_calls) assert.equal(c.type, 'function')
}

for (const [model, family] of Object.entries(families)) {
    const body = { model, messages: say({ pieces: family.pieces }), tools }

    test(`${model}: in one piece`, async () => {
        const r = await client.chat.completions.create(body)
        assert.equal(r.choices[0].finish_reason, 'tool_calls')
        check(r.choices[0].message, family)
        if (model === 'mistral') for (const c of r.choices[0].message.tool_calls) assert.match(c.id, /^[a-zA-Z0-9]{9}$/)
        else for (const c of r.choices[0].message.tool_calls) assert.match(c.id, /^call_[a-zA-Z0-9]{24}$/)
    })

    test(`${model}: streamed, delta by delta`, async () => {
        const calls = []
        let content = '', finish = null, reasoning = ''
        for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
            const { delta, finish_reason } = chunk.choices[0]
            assert.equal(finish, null, 'nothing comes after the finish')
            finish = finish_reason
            content += delta.content ?? ''
            reasoning += delta.reasoning_content ?? ''
            for (const c of delta.tool_calls ?? []) {
                if (c.id !== undefined) {
                    assert.equal(c.index, calls.length)
                    assert.deepEqual(Object.keys(c).sort(), ['function', 'id', 'index', 'type'])
                    assert.equal(c.function.arguments, '')
                    calls.push({ id: c.id, type: c.type, function: { name: c.function.name, arguments: '' } })
                } else {
                    assert.deepEqual(Object.keys(c).sort(), ['function', 'index'])
                    assert.equal(c.index, calls.length - 1)
                    assert.deepEqual(Object.keys(c.function), ['arguments'])
                    calls[c.index].function.arguments += c.function.arguments
                }
            }
        }
        assert.equal(finish, 'tool_calls')
        check({ content, reasoning_content: reasoning, tool_calls: calls }, family)
    })

    test(`${model}: the client's stream helper`, async () => {
        const stream = client.chat.completions.stream(body)
        const done = []
        stream.on('tool_calls.function.arguments.done', (c) => done.push([c.index, c.name]))
        const r = await stream.finalChatCompletion()
        check({ ...r.choices[0].message, reasoning_content: 'I think.' }, family)
        assert.deepEqual(done, family.single ? [[0, 'get_weather']] : [[0, 'get_weather'], [1, 'now']])
    })

    test(`${model}: runTools sends the results back`, async () => {
        const asked = []
        const answer = model === 'harmony' ? [control('<|channel|>'), 'final', control('<|message|>'), 'It rains.'] : family.thinks ? ['Now.</think>It rains.'] : ['It rains.']
        const get_weather = { ...tools[0].function, parse: JSON.parse, function: (args) => (asked.push(args), script({ pieces: answer })) }
        const now = { ...tools[1].function, parameters: { type: 'object', properties: {} }, function: () => script({ pieces: answer }) }
        const runner = client.chat.completions.runTools({ ...body, stream: true, tools: [get_weather, now].map((f) => ({ type: 'function', function: f })) })
        assert.equal(await runner.finalContent(), 'It rains.')
        assert.deepEqual(asked, [{ city: 'Köln', days: 2 }])
    })
}

test('text that only looks like a call, and no tools at all', async () => {
    const pieces = ['</think>Use <tool', '_call> tags: <tool_call>no', 'thing</tool_call>']
    const r = await client.chat.completions.create({ model: 'hermes', messages: say({ pieces }), tools })
    assert.equal(r.choices[0].message.content, 'Use <tool_call> tags: <tool_call>nothing</tool_call>')
    assert.equal(r.choices[0].message.tool_calls, undefined)
    assert.equal(r.choices[0].finish_reason, 'stop')
    const none = await client.chat.completions.create({ model: 'hermes', messages: say({ pieces: families.hermes.pieces }), tools, tool_choice: 'none' })
    assert.equal(none.choices[0].message.tool_calls, undefined)
    assert.equal(none.choices[0].message.reasoning_content, 'I think.')
})

test('special tokens never leak', async () => {
    const pieces = [control('[INST]'), 'a', control('<|im_end|>'), 'b', control('[TOOL_CALLS]')]
    for (const model of ['fake-model', 'mistral', 'harmony']) {
        const r = await client.chat.completions.create({ model, messages: say({ pieces }), tools })
        assert.equal(r.choices[0].message.content, 'ab')
    }
})

test('a stop string is looked for in the answer alone', async () => {
    const pieces = ['STOP here.</think>One', ' ST', 'OP two']
    for (const stream of [false, true]) {
        const r = await client.chat.completions.create({ model: 'hermes', messages: say({ pieces }), tools, stop: 'STOP', stream })
        let content = '', reasoning = ''
        if (!stream) ({ content, reasoning_content: reasoning } = r.choices[0].message)
        else for await (const c of r) { content += c.choices[0].delta.content ?? ''; reasoning += c.choices[0].delta.reasoning_content ?? '' }
        assert.equal(content, 'One ')
        assert.equal(reasoning, 'STOP here.')
    }
    const before = ['One ST', '<tool_call>{"name": "now", ', '"arguments": {}}</tool_call>']
    const held = await client.chat.completions.create({ model: 'fake-model', messages: say({ pieces: before }), tools, stop: 'STOP' })
    assert.equal(held.choices[0].message.content, 'One ST')
    assert.equal(held.choices[0].message.tool_calls.length, 1)
})

test('one call where parallel ones are not wanted; cut off by the limit', async () => {
    const body = { model: 'mistral', messages: say({ pieces: families.mistral.pieces }), tools }
    const one = await client.chat.completions.create({ ...body, parallel_tool_calls: false })
    assert.equal(one.choices[0].message.tool_calls.length, 1)
    const cut = await client.chat.completions.create({ ...body, max_tokens: 4 })
    assert.equal(cut.choices[0].finish_reason, 'length')
    assert.equal(cut.choices[0].message.tool_calls[0].function.arguments, '{"city": "Köln"')
})

test('requests that are refused', async () => {
    const messages = say({ pieces: ['x'] })
    const refused = (more, param) => assert.rejects(client.chat.completions.create({ model: 'hermes', messages, ...more }), (e) => e instanceof BadRequestError && e.param === param)
    await refused({ functions: [{ name: 'a b' }] }, 'functions[0]')
    await refused({ function_call: { name: 'f' } }, 'function_call')
    await refused({ tool_choice: 'required' }, 'tool_choice')
    await refused({ tools, tool_choice: { type: 'function', function: { name: 'other' } } }, 'tool_choice.function.name')
    await refused({ tools, tool_choice: 'required', grammar: 'root ::= "a"' }, 'tool_choice')
})
