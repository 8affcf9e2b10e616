// SPDX-License-Identifier: MIT
// One message of a conversation as an element, and the figures below an answer.
import { copyText, h, show } from './dom.js'
import { bytes, count, plural, rate, seconds } from './format.js'
import { renderText } from './text.js'

function fileChips(message) {
    const files = message.files ?? []
    return files.length > 0 && h('ul', { class: 'files' }, files.map((f) => h('li', { class: 'chip' }, f.picture ? h('img', { src: f.picture, alt: f.name, width: f.width, height: f.height }) : `${f.name}, ${bytes(f.text.length)}`)))
}

// "41.2 tokens/s, first after 0.4 s, 128 tokens, by alpha"
export function figures(answer) {
    const parts = [], stats = answer.stats
    if (answer.rate) parts.push(`${rate(answer.rate)} tokens/s`)
    if (stats?.first_ms) parts.push(`first token after ${seconds(stats.first_ms / 1000)}`)
    if (stats) parts.push(`${plural(stats.completion_tokens, 'token')} for ${count(stats.prompt_tokens)}`)
    if (stats?.prompt_tokens_details?.cached_tokens > 0) parts.push(`${count(stats.prompt_tokens_details.cached_tokens)} kept from before`)
    if (answer.node) parts.push(`by ${answer.node}`)
    return parts.join(', ')
}

function reasoningPart(answer, run) {
    if (!answer.reasoning) return null
    const title = run && !answer.thought && !answer.text ? 'Thinking ...' : answer.thought ? `Thought for ${seconds(answer.thought)}` : 'Thoughts'
    return h('details', { class: 'reasoning', 'data-key': 'reasoning' }, h('summary', null, title), h('div', { class: 'plain' }, answer.reasoning))
}

function callPart(call, i, { result, onResult }) {
    let text = call.arguments
    try {
        text = JSON.stringify(JSON.parse(call.arguments), null, 2)
    } catch { /* it is cut, or still coming */ }
    const field = `result-${call.id}`
    return h('section', { class: 'call', 'data-key': `call-${i}`, 'aria-label': `Call of ${call.name}` },
        h('h2', null, 'Calls ', h('code', null, call.name)), h('pre', { class: 'code', tabindex: '0' }, text),
        onResult && result === undefined && h('form', { onsubmit: (event) => (event.preventDefault(), onResult(call, event.target.elements[0].value)) },
            h('div', { class: 'field' }, h('label', { for: field }, 'Its result'), h('textarea', { id: field, rows: 2, placeholder: 'What the tool answers; the model goes on with it' })),
            h('button', { class: 'button small' }, 'Give this result')))
}

function moveText(move) {
    return move.to ? `After ${count(move.at)} tokens a machine was lost: the answer went on at ${move.to}, ${seconds(move.pause)} later. Nothing is missing.`
        : `After ${count(move.at)} tokens the answer paused for ${seconds(move.pause)}.`
}

function stateOf(answer, run, waiting) {
    if (run && !run.done) {
        if (run.tokens === 0) return h('p', { class: 'muted pulse' }, waiting || 'Waiting for the first token')
        if (run.silent) return h('p', { class: 'notice warn' }, waiting || 'No token for a moment: the answer goes on when the machines are ready again')
        return null
    }
    if (answer.error) return h('div', { class: 'notice bad', role: 'alert' }, h('p', null, answer.error.message), answer.error.hint && h('p', { class: 'small' }, answer.error.hint))
    if (answer.stopped) return h('p', { class: 'muted small' }, 'Stopped')
    if (answer.finish === 'length') return h('p', { class: 'notice warn' }, 'The answer was cut: it reached the limit of tokens, or the context is full.')
    if (!answer.text && !answer.calls?.length) return h('p', { class: 'muted' }, 'The answer is empty.')
    return null
}

// An answer. run: while it comes; waiting: what the cluster does meanwhile.
export function answerElement(answer, { run, waiting, onRegenerate, onWithout, onResult, results = [] }) {
    const element = h('article', { class: 'message answer', 'aria-label': `Answer of ${answer.model}`, 'aria-busy': String(Boolean(run && !run.done)) },
        h('header', null, h('span', { class: 'who' }, answer.model), h('span', { class: 'muted small', 'data-part': 'speed' })),
        h('div', { 'data-part': 'reasoning' }), h('div', { class: 'prose', 'data-part': 'text' }), h('div', { 'data-part': 'rest' }))
    element.piece = (name) => element.querySelector(`[data-part="${name}"]`)
    element.refresh = (more) => refreshAnswer(element, answer, { run, waiting, onRegenerate, onWithout, onResult, results, ...more })
    element.refresh({})
    return element
}

function refreshAnswer(element, answer, { run, waiting, onRegenerate, onWithout, onResult, results }) {
    const busy = Boolean(run && !run.done), copy = h('button', { type: 'button', class: 'button small quiet', onclick: (event) => copyText(answer.text, event.currentTarget) }, 'Copy')
    element.setAttribute('aria-busy', String(busy))
    element.piece('speed').textContent = busy && run.rate > 0 ? `${rate(run.rate)} tokens/s` : ''
    show(element.piece('reasoning'), reasoningPart(answer, run))
    renderText(element.piece('text'), answer.text, !busy)
    show(element.piece('rest'),
        (answer.calls ?? []).map((call, i) => callPart(call, i, { result: results.find((r) => r.call === call.id), onResult: busy ? null : onResult })),
        (answer.moves ?? []).map((move) => h('p', { class: 'notice move' }, moveText(move))),
        stateOf(answer, run, waiting),
        !busy && h('footer', null, h('span', { class: 'muted small number' }, figures(answer)),
            h('span', { class: 'actions' }, answer.text && copy, answer.error && onWithout && h('button', { type: 'button', class: 'button small quiet', onclick: onWithout }, 'Ask without the pictures'), onRegenerate && h('button', { type: 'button', class: 'button small quiet', onclick: onRegenerate }, answer.error ? 'Try again' : 'Regenerate'))))
}

// What somebody has asked. onEdit(text): asks this instead, and everything behind it goes.
export function questionElement(message, { onEdit }) {
    const element = h('article', { class: 'message question', 'aria-label': 'Your message' })
    const read = () => show(element, h('div', { class: 'bubble', 'data-key': 'read' }, fileChips(message), h('div', { class: 'plain' }, message.text)),
        h('span', { class: 'actions', 'data-key': 'actions' }, h('button', { type: 'button', class: 'button small quiet', onclick: (event) => copyText(message.text, event.currentTarget) }, 'Copy'),
            onEdit && h('button', { type: 'button', class: 'button small quiet', onclick: edit }, 'Edit')))
    const edit = () => {
        const field = h('textarea', { rows: 3, 'aria-label': 'Your message', value: message.text, onkeydown: (event) => event.key === 'Escape' && read() })
        show(element, h('form', { class: 'edit', 'data-key': 'edit', onsubmit: (event) => (event.preventDefault(), field.value.trim() && onEdit(field.value)) }, field,
            h('div', { class: 'actions' }, h('button', { type: 'button', class: 'button small', onclick: read }, 'Cancel'), h('button', { class: 'button small primary' }, 'Ask this instead'))))
        field.focus()
    }
    read()
    return element
}

export const resultElement = (message) => h('article', { class: 'message result', 'aria-label': `Result of ${message.name}` }, h('details', null, h('summary', null, 'Result of ', h('code', null, message.name)), h('pre', { class: 'code', tabindex: '0' }, message.text)))
