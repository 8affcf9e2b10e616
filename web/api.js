// SPDX-License-Identifier: MIT
// Requests to this node: the key where one is asked for, errors in words, and streams of server-sent events.
import { h, newId } from './dom.js'

const KEY = 'caravan.key'
let asking = null // the promise of a key, while the dialog is open

export const key = () => sessionStorage.getItem(KEY)
export function setKey(text) {
    if (text) sessionStorage.setItem(KEY, text)
    else sessionStorage.removeItem(KEY)
}

// What a node refused, or did not answer (status 0).
export class Trouble extends Error {
    constructor(status, { message, code = '', hint = '' }) {
        super(message)
        this.status = status
        this.code = code
        this.hint = hint
    }
}

async function troubleOf(response) {
    const body = await response.json().catch(() => null)
    const error = typeof body?.error === 'string' ? { message: body.error } : body?.error
    return new Trouble(response.status, error?.message ? error : { message: `the node answered ${response.status} ${response.statusText}` })
}

// Asks for the key, once for all requests that lack it. Resolves to whether there is one now.
function askKey(why) {
    asking ??= new Promise((resolve) => {
        const title = newId('title'), field = newId('key'), reason = newId('reason')
        const input = h('input', { id: field, type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': reason })
        const close = (found) => {
            asking = null
            dialog.remove()
            resolve(found)
        }
        const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': title, onclose: () => close(false) },
            h('form', { onsubmit: (event) => (event.preventDefault(), setKey(input.value.trim()), close(true)) },
                h('h2', { id: title }, 'This node asks for an API key'),
                h('p', { id: reason, class: key() ? 'notice bad' : 'muted' }, key() ? why : 'The owner of the node makes one with: caravan keys add NAME'),
                h('div', { class: 'field' }, h('label', { for: field }, 'API key'), input, h('p', { class: 'help' }, 'It is kept until this tab is closed.')),
                h('div', { class: 'actions' }, h('button', { type: 'button', class: 'button', onclick: () => dialog.close() }, 'Cancel'), h('button', { class: 'button primary' }, 'Use this key'))))
        document.body.append(dialog)
        dialog.showModal()
    })
    return asking
}

// The response of a request that was not refused. body: an object becomes JSON.
export async function request(method, path, body, { signal, headers = {}, quiet = false } = {}) {
    for (;;) {
        const used = key()
        let response
        try {
            response = await fetch(path, {
                method, signal, cache: 'no-store',
                headers: { ...(body !== undefined ? { 'content-type': 'application/json' } : {}), ...(used ? { authorization: `Bearer ${used}` } : {}), ...headers },
                body: body === undefined ? undefined : JSON.stringify(body),
            })
        } catch (error) {
            if (error.name === 'AbortError') throw error
            throw new Trouble(0, { message: 'this node does not answer', hint: 'is it still running? `caravan up` starts it' })
        }
        if (response.ok) return response
        const trouble = await troubleOf(response)
        if (response.status !== 401 || quiet) throw trouble
        if (used === key() && !(await askKey(trouble.message))) throw trouble
    }
}

export const ask = async (method, path, body, options) => (await request(method, path, body, options)).json()

// The events of a stream: { event, data, comment }. A comment is a line that is no event.
export async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let text = '', event = { data: '' }
    try {
        for (;;) {
            const { done, value } = await reader.read()
            if (done) return
            text += value
            let end
            while ((end = text.indexOf('\n')) >= 0) {
                const line = text.slice(0, end).replace(/\r$/, '')
                text = text.slice(end + 1)
                if (line === '') {
                    if (event.data) yield event
                    event = { data: '' }
                } else if (line.startsWith(':')) yield { data: '', comment: line.slice(1).trim() }
                else if (line.startsWith('data:')) event.data += (event.data && '\n') + line.slice(5).trimStart()
                else if (line.startsWith('event:')) event.event = line.slice(6).trim()
            }
        }
    } finally {
        reader.cancel().catch(() => {})
    }
}

// A trouble as something to show.
export const troubleNotice = (error) => h('div', { class: 'notice bad', role: 'alert' }, h('p', null, error.message), error.hint && h('p', { class: 'small' }, error.hint))

// For what is asked again whenever somebody changes something: one question at a time, so that no answer overtakes a later one, and a node that
// computes a few at once refuses none. What changes meanwhile is asked once more. run gets a function that says whether its answer still counts.
export function oneAtATime(run) {
    let running = false, again = false
    return async () => {
        again = true
        if (running) return
        running = true
        while (again) {
            again = false
            await run(() => !again)
        }
        running = false
    }
}
