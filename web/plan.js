// SPDX-License-Identifier: MIT
// The plan page: how a model would be divided, how fast it would be, and what it would cost, on this cluster or on machines on paper; what
// could run at all; what to buy. The answers are those of `caravan plan`. Nothing is loaded.
import { h, newId, show } from './dom.js'
import { bytes, count, rate, seconds } from './format.js'
import { ask, oneAtATime, troubleNotice } from './api.js'
import { live, watch } from './live.js'
import { planPart } from './models.js'

const FIELDS = [
    ['model', 'Model', 'a model of this node, or a name with a quantisation: llama-70b:q4_k_m, gpt-oss:120b; empty: all that could run', 'text', 'all'],
    ['fleet', 'Machines', 'as for caravan plan --fleet: 2xmac-studio-m4-64,10gbe or mine:24GB@900GB/s,tflops=40', 'text', 'this cluster'],
    ['ctx', 'Context', 'tokens of one conversation', 'number', 4096],
    ['parallel', 'Answers at once', 'each has a context of its own', 'number', 4],
    ['prompt_tokens', 'Prompt', 'tokens, for the time to the first one of the answer', 'number', 512],
    ['buy', 'What to buy', 'tokens/s of one answer that are wished for; beside the machines above', 'number', 'nothing'],
    ['electricity', 'A kWh costs', 'in the currency of the prices (dollars)', 'number', 0.2],
    ['utilisation', 'Used', 'percent of the day', 'number', 20],
]

const table = (label, names, rows) => h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, h('table', null,
    h('thead', null, h('tr', null, names.map((name, i) => h('th', { scope: 'col', class: i > 0 && 'number' }, name)))),
    h('tbody', null, rows.map((row) => h('tr', null, row.map((cell, i) => h('td', { class: i > 0 && 'number' }, cell)))))))

// "41 to 67 in 8 of 10 published results": predictions were so far off there.
const spread = (value, error) => error ? ` (where plans say so, 8 of 10 published results of ${error.of} say ${rate(value / error.p90)} to ${rate(value / error.p10)}; ${count(error.rows)} results)` : ''
// The same of a time.
const spreadOfTime = (value, error) => error ? ` (${seconds(value * error.p10)} to ${seconds(value * error.p90)} by ${count(error.rows)} results of ${error.of})` : ''
const money = (value) => value >= 100 ? value.toFixed(0) : value.toPrecision(2)

function costPart(cost) {
    const words = []
    if (cost.price) words.push(`the machines ${money(cost.price)}, that is ${money(cost.hardware_per_million_tokens)} for a million tokens`)
    if (cost.watts_busy) words.push(`electricity ${money(cost.electricity_per_million_tokens)} (${count(Math.round(cost.watts_idle))} W idle, ${count(Math.round(cost.watts_busy))} W busy)`)
    if (cost.api_from) words.push(`others ask ${money(cost.api_output_per_million_tokens)} (${cost.api_from}, ${cost.api_date})`)
    return words.length > 0 && h('p', { class: 'number' }, `Cost: ${words.join('; ')}.`)
}

function sheetPart(answer) {
    if (!answer.fits) return planPart(answer)
    const copy = answer.copies[0]
    return [planPart({ ...answer, stages: copy.stages, tokens_per_second: copy.tokens_per_second }),
        h('p', { class: 'number' }, `${rate(copy.tokens_per_second)} tokens/s for one answer${spread(copy.tokens_per_second, answer.decode_error)}, ${rate(answer.tokens_per_second_all)} for ${count(answer.streams)} together; the first after ${seconds(copy.first_token_ms / 1000)}${spreadOfTime(copy.first_token_ms / 1000, answer.prefill_error)}. A context of up to ${count(answer.largest_ctx)} fits.`),
        costPart(answer.cost)]
}

function answerPart(answer) {
    if (answer.offers) return answer.offers.length === 0 ? h('p', { class: 'notice warn' }, 'Nothing in the table of hardware holds it.')
        : [h('p', null, `List prices in dollars (${answer.prices_of}), without tax; several machines are joined by 10gbe.`),
            table('What to buy', ['Buy', 'Price', 'Tokens/s', 'Together', 'A million tokens'], answer.offers.map((x) => [x.buy, money(x.price), `${rate(x.tokens_per_second)}${x.enough ? '' : ' (too slow)'}`, rate(x.tokens_per_second_all), money(x.per_million_tokens)]))]
    if (answer.models) return answer.models.length === 0 ? h('p', { class: 'notice warn' }, 'None of the known models fits.')
        : table('What could run', ['Model', 'Quantisation', 'Needs', 'Tokens/s', 'Machines'], answer.models.map((x) => [x.model, x.quantisation, bytes(x.whole_bytes), `${rate(x.tokens_per_second)}${x.quick_enough ? '' : ' (slow)'}`, x.nodes.join(', ')]))
    return sheetPart(answer)
}

// What is asked one after another, quickest first, and what the page says meanwhile. A step that `grows` answers the one before it, with more.
function stepsOf(wish) {
    const of = wish.model || 'all models that are known by name', on = wish.fleet || 'this cluster', { buy, ...rest } = wish
    if (!wish.model) return [{ words: `which of ${of} run on ${on}`, wish }]
    const quick = { words: `how ${of} lies on ${on}`, wish: { ...rest, advice: false } }
    return [quick, buy > 0 ? { words: 'what to buy', wish } : { words: 'what would help', wish, grows: true }]
}

export function open(main) {
    const root = h('div', { class: 'page' }), place = h('div', { class: 'plan', 'aria-live': 'polite' }), now = h('p', { class: 'muted small', role: 'status' }), list = newId('models')
    main.append(root)
    let drawn = false
    // What an empty field was reckoned with: the node's own options may say other than the usual.
    const showUsual = (values) => {
        for (const [name, value] of Object.entries(values)) root.querySelector(`input[name="${name}"]`).placeholder = value
    }
    const plan = oneAtATime(async (counts) => {
        const wish = {}
        for (const field of root.querySelectorAll('input')) if (field.value !== '') wish[field.name] = field.type === 'number' ? Number(field.value) : field.value
        const steps = stepsOf(wish), parts = []
        place.setAttribute('aria-busy', 'true')
        for (const [i, step] of steps.entries()) {
            now.textContent = `Computing ${steps.slice(i).map((x) => x.words).join(', then ')}`
            let failed = false
            let answer
            const part = await ask('POST', '/caravan/v1/plan', step.wish).then((got) => answerPart(answer = got)).catch((trouble) => {
                failed = true
                return troubleNotice(trouble)
            })
            if (!counts()) return
            if (answer?.n_ctx) showUsual({ ctx: answer.n_ctx, parallel: answer.streams })
            if (step.grows) parts.pop()
            parts.push(part)
            show(place, parts)
            if (failed && steps[i + 1]?.grows) break
        }
        now.textContent = ''
        place.removeAttribute('aria-busy')
    })
    const fieldOf = ([name, label, help, type, usual]) => {
        const id = newId('plan')
        return h('div', { class: 'field' }, h('label', { for: id }, label), h('input', { id, name, type, placeholder: usual, min: type === 'number' ? 0 : undefined, step: type === 'number' ? 'any' : undefined, list: name === 'model' ? list : undefined, spellcheck: 'false', autocomplete: 'off' }), h('p', { class: 'help' }, help))
    }
    const draw = () => {
        if (!live.status?.nodes) return show(root, h('p', { class: 'empty' }, live.trouble?.message ?? 'Connecting to the node'))
        drawn = true
        root.replaceChildren(h('header', null, h('div', null, h('h1', null, 'Plan'), h('p', { class: 'lead' }, 'How a model would lie on the machines, how fast it would be and what it would cost: on this cluster as it is now, or on machines that you do not have yet. Nothing is loaded; speeds are predicted.'))),
            h('section', { class: 'card plan', 'aria-label': 'Plan' }, h('div', { class: 'form', onchange: plan }, FIELDS.map(fieldOf)),
                h('datalist', { id: list }, (live.models ?? []).map((m) => h('option', { value: m.name }))), now, place))
        const own = live.status.nodes.find((n) => n.self).name, first = (live.models ?? []).find((m) => m.files.includes(own))
        if (first) root.querySelector('input[name="model"]').value = first.name
        plan()
    }
    const unwatch = watch(() => { if (!drawn && live.status?.nodes && live.models) draw() })
    draw()
    return unwatch
}
