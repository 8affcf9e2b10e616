// SPDX-License-Identifier: MIT
// Models on their way from a hub to a machine: what is asked for, how far it is, how it ended.
import { h, newId, question } from './dom.js'
import { bytes, plural, seconds, throughput } from './format.js'
import { live } from './live.js'

const STATES = { listing: 'looking at the hub', fetching: 'coming', checking: 'checking', done: 'here', failed: 'failed' }
const FORMS = [['hf:OWNER/REPO', 'Hugging Face; with :Q8_0 behind it, that quantisation'], ['ollama:NAME', 'Ollama; with :TAG behind it, that tag'], ['https://...', 'the address of a GGUF file']]

// Asks for a name and a machine, and begins.
export async function getModel(page) {
    const { status } = live, source = newId('source'), place = newId('place')
    const input = h('input', { id: source, required: true, maxlength: 511, autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', placeholder: 'hf:OWNER/REPO', 'aria-describedby': `${source}-help` })
    const select = h('select', { id: place, value: status.nodes.find((n) => n.self).id }, status.nodes.filter((n) => n.state !== 'suspect').map((n) => h('option', { value: n.id }, n.self ? `${n.name} (this node)` : n.name)))
    const yes = await question({
        title: 'Get a model', buttons: [{ name: 'Cancel' }, { name: 'Fetch it', value: true, kind: 'primary' }],
        body: [h('div', { class: 'field' }, h('label', { for: source }, 'Model'), input, h('ul', { class: 'help points', id: `${source}-help` }, FORMS.map(([form, words]) => h('li', null, h('code', null, form), ` ${words}`)))),
            h('div', { class: 'field' }, h('label', { for: place }, 'Into the models folder of'), select, h('p', { class: 'help' }, 'The other machines take from there what they need. ', h('code', null, 'caravan pull'), ' does the same in a terminal.'))],
    })
    if (yes) await page.act('/caravan/v1/models/pull', { model: input.value.trim(), node: select.value })
}

function farText(pull) {
    const left = pull.rate > 0 && pull.all > pull.done ? `, ${throughput(pull.rate)}, about ${seconds((pull.all - pull.done) / pull.rate)} left` : ''
    return pull.all > 0 ? `${bytes(pull.done)} of ${bytes(pull.all)}${left}` : 'The hub is asked which files there are.'
}

function pullRow({ node, pull }, page) {
    const runs = !['done', 'failed'].includes(pull.state), body = { model: pull.source, node: node.id }
    const button = (name, path, kind = '') => h('button', { type: 'button', class: `button small ${kind}`, 'aria-label': `${name}: ${pull.source}`, onclick: () => page.act(path, body) }, name)
    return h('li', { 'data-key': `${node.id} ${pull.source}` },
        h('p', { class: 'line' }, h('span', null, h('strong', { class: 'break' }, pull.source), h('span', { class: 'muted' }, ` on ${node.name}`)), h('span', { class: `chip ${pull.state === 'done' ? 'good' : pull.state === 'failed' ? 'bad' : 'warn'}` }, STATES[pull.state] ?? pull.state)),
        runs && [h('progress', { max: Math.max(1, pull.all), value: pull.done, 'aria-label': `Fetching of ${pull.source}` }), h('p', { class: 'small muted number' }, farText(pull))],
        pull.message && h('div', { class: `notice small ${runs ? 'warn' : 'bad'}` }, h('p', null, pull.message), pull.hint && h('p', null, pull.hint)),
        pull.state === 'done' && h('p', { class: 'small' }, `${pull.model} is in the list below.`),
        h('div', { class: 'actions' }, pull.state === 'failed' && button('Try again', '/caravan/v1/models/pull', 'primary'), button(runs ? 'Stop' : 'Dismiss', '/caravan/v1/models/unpull')))
}

// What is on its way, and what has come or failed lately; false: nothing.
export function pullsPart(page) {
    const pulls = live.status.nodes.flatMap((node) => (node.pulls ?? []).map((pull) => ({ node, pull })))
    const running = pulls.filter(({ pull }) => !['done', 'failed'].includes(pull.state)).length
    return pulls.length > 0 && h('section', { class: 'card', 'data-key': 'pulls', 'aria-label': 'Models on their way' },
        h('h2', null, running > 0 ? `${plural(running, 'model')} on the way` : 'Fetched lately'), h('ul', { class: 'pulls' }, pulls.map((x) => pullRow(x, page))))
}
