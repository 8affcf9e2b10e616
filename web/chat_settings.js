// SPDX-License-Identifier: MIT
// The settings of a conversation in a dialog: system prompt, how answers are drawn (the rows of tables/sampling.def), tools.
import { h, newId, question } from './dom.js'
import { sampling } from './made.js'

const FIRST = ['temperature', 'top_p', 'top_k', 'min_p', 'repeat_penalty']
const OWN = [
    { name: 'max_tokens', type: 'I', min: 1, max: 1000000, help: 'tokens of an answer at most (empty: as many as the context holds)' },
    { name: 'seed', type: 'I', min: 0, max: 4294967295, help: 'the same seed draws the same answer (empty: another one each time)' },
]

function fieldOf(row, chat) {
    const id = newId('setting')
    const input = h('input', { id, name: row.name, type: 'number', min: row.min, max: row.max, step: row.type === 'I' ? 1 : 'any', placeholder: row.value ?? '', 'aria-describedby': `${id}-help`, value: chat.sampling[row.name] ?? '' })
    return h('div', { class: 'field' }, h('label', { for: id }, row.name.replace(/_/g, ' ')), input, h('p', { class: 'help', id: `${id}-help` }, row.help))
}

function readFields(form) {
    const found = {}
    for (const row of [...sampling, ...OWN]) {
        const text = form.elements[row.name].value
        if (text !== '') found[row.name] = Number(text)
    }
    const stop = form.elements.stop.value.split('\n').filter((line) => line !== '')
    if (stop.length > 0) found.stop = stop
    if (form.elements.effort.value) found.effort = form.elements.effort.value
    return found
}

// "" or what is wrong with the tools.
function toolsTrouble(text) {
    if (!text.trim()) return ''
    try {
        return Array.isArray(JSON.parse(text)) ? '' : 'The tools must be a list: [{"type": "function", "function": {...}}]'
    } catch (error) {
        return `The tools are no JSON: ${error.message}`
    }
}

// Resolves to whether something was changed; the changes are in chat.
export async function editSettings(chat) {
    const system = newId('system'), tools = newId('tools'), stop = newId('stop'), effort = newId('effort')
    const toolsField = h('textarea', { id: tools, name: 'tools', rows: 4, class: 'mono', spellcheck: 'false', value: chat.tools ?? '', placeholder: '[{"type": "function", "function": {"name": "weather", "parameters": {...}}}]', oninput: (event) => event.target.setCustomValidity(toolsTrouble(event.target.value)) })
    const body = [
        h('div', { class: 'field' }, h('label', { for: system }, 'System prompt'), h('textarea', { id: system, name: 'system', rows: 3, placeholder: 'What the model shall be or do in this conversation', value: chat.system ?? '' })),
        h('div', { class: 'form' }, sampling.filter((r) => FIRST.includes(r.name)).map((row) => fieldOf(row, chat)), OWN.map((row) => fieldOf(row, chat)),
            h('div', { class: 'field' }, h('label', { for: effort }, 'reasoning'), h('select', { id: effort, name: 'effort', value: chat.sampling.effort ?? '' }, [['', 'as the model does'], ['none', 'none'], ['low', 'low'], ['medium', 'medium'], ['high', 'high']].map(([value, name]) => h('option', { value }, name))), h('p', { class: 'help' }, 'how long to think, for models that can'))),
        h('details', null, h('summary', null, 'More: penalties, other ways to draw, stop texts'), h('div', { class: 'form' }, sampling.filter((r) => !FIRST.includes(r.name)).map((row) => fieldOf(row, chat)),
            h('div', { class: 'field' }, h('label', { for: stop }, 'stop texts'), h('textarea', { id: stop, name: 'stop', rows: 2, value: (chat.sampling.stop ?? []).join('\n') }), h('p', { class: 'help' }, 'one a line; the answer ends before them')))),
        h('details', { open: Boolean(chat.tools) }, h('summary', null, 'Tools that the model may call'), h('div', { class: 'field' }, h('label', { for: tools }, 'Tools, as OpenAI writes them'), toolsField, h('p', { class: 'help' }, 'Nothing is executed: the page shows the call, and you type its result.'))),
    ]
    const done = await question({ title: 'Settings of this conversation', body, buttons: [{ name: 'Cancel' }, { name: 'Use these', value: 'use', kind: 'primary' }] })
    if (!done) return false
    const form = toolsField.form
    Object.assign(chat, { system: form.elements.system.value.trim(), tools: form.elements.tools.value, sampling: readFields(form) })
    return true
}
