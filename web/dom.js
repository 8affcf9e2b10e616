// SPDX-License-Identifier: MIT
// Elements: h() makes HTML, s() makes SVG, morph() changes what is shown into what shall be shown and keeps focus, scroll positions and
// listeners. Text is always text here: no string becomes HTML.

// Listeners stand in `handlers` of the element, so that morph can replace them.
function dispatch(event) {
    return this.handlers[event.type]?.call(this, event)
}

function setHandler(element, type, fn) {
    element.handlers ??= {}
    if (!(type in element.handlers)) element.addEventListener(type, dispatch)
    element.handlers[type] = fn
}

function setProp(element, name, value) {
    if (name.startsWith('on')) setHandler(element, name.slice(2), value)
    else if (name === 'value' || name === 'checked') element[name] = value
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value)
}

function fill(element, props, children) {
    for (const [name, value] of Object.entries(props ?? {})) if (name !== 'value') setProp(element, name, value)
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false && child !== '') element.append(child)
    if (props && 'value' in props) setProp(element, 'value', props.value) // a select has its options now
    return element
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children)
export const s = (tag, props, ...children) => fill(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children)

const keyOf = (node) => (node.nodeType === 1 ? (node.getAttribute('data-key') ?? node.id) || null : null)
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b)

function morphAttributes(from, to) {
    for (const { name } of [...from.attributes]) {
        if (name === 'open' && from.nodeName === 'DETAILS') continue // whoever reads decides
        if (!to.hasAttribute(name)) from.removeAttribute(name)
    }
    for (const { name, value } of to.attributes) {
        if (from.getAttribute(name) === value) continue
        if (name === 'style') from.style.cssText = to.style.cssText // the page's own rules forbid style attributes as text
        else from.setAttribute(name, value)
    }
    for (const [type, fn] of Object.entries(to.handlers ?? {})) setHandler(from, type, fn)
    for (const type of Object.keys(from.handlers ?? {})) if (!to.handlers?.[type]) from.handlers[type] = undefined
}

function morphChildren(from, to) {
    let at = from.firstChild
    for (const want of [...to.childNodes]) {
        let found = at
        while (found && !alike(found, want)) found = found.nextSibling
        if (!found) {
            from.insertBefore(want, at)
            continue
        }
        // Those in between are removed, unless they have a key: then they may be wanted later.
        while (at !== found) {
            const next = at.nextSibling
            if (keyOf(at) && [...to.childNodes].some((node) => alike(node, at))) {
                from.insertBefore(found, at)
                break
            }
            at.remove()
            at = next
        }
        morph(found, want)
        at = found.nextSibling
    }
    while (at) {
        const next = at.nextSibling
        at.remove()
        at = next
    }
}

// Makes `from` show what `to` shows; `to` is used up. A subtree with data-own is left as it is: its owner changes it.
export function morph(from, to) {
    if (from.nodeType !== 1) {
        if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue
        return
    }
    if (from.hasAttribute('data-own') && to.hasAttribute('data-own')) return
    const typed = from === document.activeElement && 'value' in from && from.nodeName !== 'BUTTON'
    morphAttributes(from, to)
    morphChildren(from, to)
    if ('value' in to && ['INPUT', 'SELECT', 'TEXTAREA'].includes(from.nodeName) && !typed && from.value !== to.value) from.value = to.value
    if ('checked' in to && from.nodeName === 'INPUT') from.checked = to.checked
}

// Shows these children in the element, which keeps what is alike.
export function show(element, ...children) {
    const to = element.cloneNode(false)
    fill(to, null, children)
    morphChildren(element, to)
}

let ids = 0
export const newId = (word) => `${word}-${++ids}`

// Says a sentence to those who hear the page.
export function announce(text) {
    let region = document.querySelector('#announced')
    if (!region) document.body.append((region = h('div', { id: 'announced', class: 'hidden', role: 'status' })))
    region.textContent = text
}

export async function copyText(text, button) {
    try {
        await navigator.clipboard.writeText(text)
    } catch {
        // Without https on other machines there is no clipboard: the browser's older way.
        const field = h('textarea', { class: 'hidden', 'aria-hidden': 'true' })
        document.body.append(field)
        field.value = text
        field.select()
        document.execCommand('copy')
        field.remove()
    }
    announce('Copied')
    const before = button.textContent
    button.textContent = 'Copied'
    setTimeout(() => (button.textContent = before), 1500)
}

export function download(name, type, text) {
    const link = h('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

// A question in a dialog. Resolves to what the chosen button stands for; null: none was chosen.
export function question({ title, body = [], buttons }) {
    return new Promise((resolve) => {
        const id = newId('dialog')
        let chosen = null
        const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': id, onclose: () => (dialog.remove(), resolve(chosen)) },
            h('form', { method: 'dialog', onsubmit: (event) => (event.preventDefault(), (chosen = event.submitter.choice), dialog.close()) },
                h('h2', { id }, title), body,
                h('div', { class: 'actions' }, buttons.map(({ name, value = null, kind = '' }) =>
                    Object.assign(h('button', { type: value === null ? 'button' : 'submit', class: `button ${kind}`, onclick: () => value === null && dialog.close() }, name), { choice: value })))))
        document.body.append(dialog)
        dialog.showModal()
    })
}
