// SPDX-License-Identifier: MIT
// The page of settings for other programs: this node's address, a key and a model filled in.
import { copyText, h, newId, show } from './dom.js'
import { ask, key as ownKey, troubleNotice } from './api.js'
import { live, watch } from './live.js'
import { PROGRAMS } from './connect_settings.js'

const NO_KEY = 'none' // clients want some text

export function open(main, path) {
    const root = h('div', { class: 'page' })
    main.append(root)
    const state = { base: location.origin, key: ownKey() ?? NO_KEY, model: localStorage.getItem('caravan.model') ?? '', program: path[0], models: [], trouble: null }
    const ids = { base: newId('base'), key: newId('key'), model: newId('model') }
    const set = (name) => (event) => {
        state[name] = event.target.value.replace(/\/+$/, '') || state[name]
        draw()
    }
    const draw = () => {
        const program = PROGRAMS.find((p) => p.id === state.program) ?? PROGRAMS[0]
        const parts = program.make({ base: state.base, key: state.key, model: state.model || 'MODEL' })
        const local = /^https?:\/\/(127\.|localhost|\[::1\])/.test(state.base)
        show(root,
            h('header', null, h('div', null, h('h1', null, 'Connect'), h('p', { class: 'lead' }, 'Any program that can talk to OpenAI, Anthropic or Ollama can talk to this cluster. Choose one, copy, paste.'))),
            state.trouble && troubleNotice(state.trouble),
            h('section', { class: 'card', 'aria-label': 'What is filled in' }, h('div', { class: 'form' },
                h('div', { class: 'field' }, h('label', { for: ids.base }, 'Address of this node'), h('input', { id: ids.base, value: state.base, onchange: set('base') })),
                h('div', { class: 'field' }, h('label', { for: ids.key }, 'API key'), h('input', { id: ids.key, value: state.key, autocomplete: 'off', onchange: set('key') })),
                h('div', { class: 'field' }, h('label', { for: ids.model }, 'Model'), h('select', { id: ids.model, value: state.model, onchange: set('model') }, state.models.map((m) => h('option', { value: m.id }, m.id)), state.models.length === 0 && h('option', { value: '' }, 'no model'))))),
            local && h('p', { class: 'notice' }, 'This address works on this machine only. For others, make a key (caravan keys add NAME), start the node with --api 0.0.0.0:8080, and write its name in the network here.'),
            h('div', { class: 'tabs', role: 'group', 'aria-label': 'Program' }, PROGRAMS.map((p) => h('button', { type: 'button', class: 'button', 'aria-pressed': String(p === program), onclick: () => ((state.program = p.id), history.replaceState(null, '', `#/connect/${p.id}`), draw()) }, p.name))),
            h('section', { class: 'connect', 'aria-label': program.name }, h('h2', null, program.name), parts.map((part, i) => h('div', { class: 'snippet', 'data-key': `${program.id}${i}` }, h('span', { class: 'where' }, part.where), h('button', { type: 'button', class: 'button small', onclick: (event) => copyText(part.text, event.currentTarget) }, 'Copy'), h('pre', { class: 'code', tabindex: '0' }, part.text)))))
    }
    const load = async () => {
        try {
            state.models = (await ask('GET', '/v1/models')).data
            if (!state.models.some((m) => m.id === state.model)) state.model = (state.models.find((m) => m.ready) ?? state.models[0])?.id ?? ''
            state.trouble = null
        } catch (error) {
            state.trouble = error
        }
        draw()
    }
    let names = null
    const unwatch = watch(() => {
        const now = (live.models ?? []).map((m) => m.name).join()
        if (now !== names) load()
        names = now
    })
    draw()
    return unwatch
}
