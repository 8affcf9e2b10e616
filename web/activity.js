// SPDX-License-Identifier: MIT
// The activity page: requests now and before, what was used by day, keys. Asked for while the page is looked at, once a second at most.
import { copyText, h, newId, question, show } from './dom.js'
import { DASH, ago, bytes, count, milliseconds, plural, rate, seconds } from './format.js'
import { ask, troubleNotice } from './api.js'
import { Charts } from './charts.js'
import { live, totalRate, watch } from './live.js'

const LOOK_MS = 1000, DAYS = 30

// ---- the parts ----

function factsPart(requests) {
    const own = live.status?.nodes?.find((n) => n.self)
    const facts = [['tokens/s', rate(totalRate())], ['running', count(requests?.running.filter((r) => r.state === 'running').length ?? NaN)], ['waiting', count(live.status?.queued ?? 0)], ['weights sent to others', bytes(live.status?.weights_sent ?? 0)]]
    return h('dl', { class: 'card facts', 'aria-label': `Now, at ${own?.name ?? 'this node'}` }, facts.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))))
}

// A body as people read it: JSON indented, the rest as it is.
function readable(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2)
    } catch {
        return text
    }
}

const bodyPart = (name, body) => [h('h3', null, name, ' ', h('span', { class: 'muted small' }, bytes(body.bytes), body.cut && ', of which the beginning was kept')),
    h('pre', { class: 'code wrap body', tabindex: '0', 'aria-label': name }, readable(body.text) || DASH)]

async function showBodies(r, page) {
    try {
        const kept = await ask('GET', `/caravan/v1/requests/${encodeURIComponent(r.id)}`)
        await question({ title: `Request ${r.id}`, buttons: [{ name: 'Close', value: true, kind: 'primary' }], body: [bodyPart('Asked', kept.request), bodyPart('Answered', kept.answer), kept.error && h('p', { class: 'notice bad' }, kept.error)] })
    } catch (error) {
        page.fail(error)
    }
}

const requestRow = (r, page) => h('tr', { 'data-key': r.id },
    h('td', null, h('span', { class: `chip ${r.state === 'answered' ? 'good' : r.state === 'failed' ? 'bad' : ''}` }, r.state), h('br'), h('span', { class: 'muted small' }, ago(r.started))),
    h('td', null, r.model || DASH, h('br'), h('span', { class: 'muted small' }, r.api, r.key && `, key ${r.key}`),
        r.captured && [h('br'), h('button', { type: 'button', class: 'button small', 'aria-label': `Texts of request ${r.id}`, onclick: () => showBodies(r, page) }, 'Texts')]),
    h('td', { class: 'number' }, count(r.prompt_tokens), h('br'), h('span', { class: 'muted small' }, r.cached_tokens > 0 ? `${count(r.cached_tokens)} kept` : '')),
    h('td', { class: 'number' }, count(r.completion_tokens), h('br'), h('span', { class: 'muted small' }, r.decode_ms > 0 && r.completion_tokens > 1 ? `${rate((1000 * r.completion_tokens) / r.decode_ms)}/s` : '')),
    h('td', { class: 'number' }, seconds(r.seconds), h('br'), h('span', { class: 'muted small' }, r.queued_ms > 1 ? `${milliseconds(r.queued_ms)} queued` : '')),
    h('td', null, r.served_by || DASH, r.cache && h('span', { class: 'muted small' }, h('br'), `cache: ${r.cache}`)))

function requestsPart(requests, page) {
    const rows = [...(requests?.running ?? []), ...(requests?.ended ?? [])].slice(0, 60)
    return h('section', { class: 'card', 'aria-label': 'Requests' }, h('h2', null, 'Requests'),
        rows.length === 0 ? h('p', { class: 'muted' }, 'None since this node was started.')
            : h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of requests' }, h('table', null, h('thead', null, h('tr', null, ['State', 'Model', 'Asked', 'Answered', 'Took', 'Served by'].map((name, i) => h('th', { scope: 'col', class: i > 1 && i < 5 && 'number' }, name)))), h('tbody', null, rows.map((r) => requestRow(r, page))))))
}

function usagePart(usage) {
    const rows = [...(usage?.usage ?? [])].sort((a, b) => String(b.day).localeCompare(String(a.day)))
    return h('section', { class: 'card', 'aria-label': 'Usage' }, h('h2', null, `Usage of the last ${DAYS} days`),
        rows.length === 0 ? h('p', { class: 'muted' }, 'Nothing was counted yet.')
            : h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of usage' }, h('table', null, h('thead', null, h('tr', null, ['Day', 'Key', 'Model', 'Requests', 'Asked', 'Answered'].map((name, i) => h('th', { scope: 'col', class: i > 2 && 'number' }, name)))),
                h('tbody', null, rows.slice(0, 100).map((r) => h('tr', null, h('td', null, r.day), h('td', null, r.name || r.key || 'without a key'), h('td', null, r.model || DASH), h('td', { class: 'number' }, count(r.requests), r.failed > 0 && h('span', { class: 'muted small' }, ` ${count(r.failed)} failed`)), h('td', { class: 'number' }, count(r.prompt_tokens)), h('td', { class: 'number' }, count(r.completion_tokens))))))))
}

async function makeKey(page) {
    const name = newId('name'), admin = newId('admin')
    const field = h('input', { id: name, required: true, maxlength: 60 }), box = h('input', { id: admin, type: 'checkbox' })
    const yes = await question({ title: 'Make an API key', buttons: [{ name: 'Cancel' }, { name: 'Make it', value: true, kind: 'primary' }], body: [h('div', { class: 'field' }, h('label', { for: name }, 'Whose it is'), field), h('p', null, box, ' ', h('label', { for: admin }, 'may also load and delete models, shut machines out and make keys')), page.keys?.needed === false && h('p', { class: 'notice warn' }, 'From the first key on, this node asks everybody for one, this page too.')] })
    if (!yes) return
    try {
        const made = await ask('POST', '/caravan/v1/keys', { name: field.value, ...(box.checked ? { scopes: ['admin'] } : {}) })
        const copy = h('button', { type: 'button', class: 'button small', onclick: () => copyText(made.secret, copy) }, 'Copy')
        await question({ title: `The key of ${made.name}`, buttons: [{ name: 'Done', value: true, kind: 'primary' }], body: [h('p', null, 'It is shown this once and stored nowhere.'), h('pre', { class: 'code wrap', tabindex: '0' }, made.secret), h('div', { class: 'actions' }, copy)] })
        await page.look()
    } catch (error) {
        page.fail(error)
    }
}

async function dropKey(key, page) {
    const yes = await question({ title: `Remove the key of ${key.name}?`, body: h('p', null, 'Programs that use it are refused from now on.'), buttons: [{ name: 'Keep it' }, { name: 'Remove it', value: true, kind: 'danger' }] })
    if (yes) await ask('DELETE', `/caravan/v1/keys/${encodeURIComponent(key.id)}`).then(() => page.look(), (error) => page.fail(error))
}

function keysPart(page) {
    const keys = page.keys?.keys ?? []
    return h('section', { class: 'card', 'aria-label': 'Keys' }, h('header', { class: 'line' }, h('h2', null, 'Keys'), h('button', { type: 'button', class: 'button small', onclick: () => makeKey(page) }, 'Make a key')),
        keys.length === 0 ? h('p', { class: 'muted' }, page.keys?.needed ? 'Keys were given when the node was started.' : 'None: programs of this machine may ask without one, and no others.')
            : h('ul', { class: 'rows' }, keys.map((k) => h('li', { 'data-key': k.id }, h('strong', null, k.name), h('code', null, `${k.start ?? k.id}...`), h('span', { class: 'muted small' }, `${plural(k.used?.requests_per_day ?? 0, 'request')} today, ${plural(k.used?.tokens_per_day ?? 0, 'token')}`), k.expired && h('span', { class: 'chip bad' }, 'expired'), h('button', { type: 'button', class: 'button small danger', onclick: () => dropKey(k, page) }, 'Remove')))))
}

export function open(main) {
    const root = h('div', { class: 'page' })
    main.append(root)
    let closed = false
    const page = {
        trouble: null,
        fail(error) {
            page.trouble = error
            draw()
        },
        async look() {
            try {
                const now = new Date(), from = new Date(now - DAYS * 86400000).toISOString().slice(0, 10)
                ;[page.requests, page.usage, page.keys] = await Promise.all([ask('GET', '/caravan/v1/requests'), ask('GET', `/caravan/v1/usage?from=${from}`), ask('GET', '/caravan/v1/keys')])
                page.trouble = null
            } catch (error) {
                page.trouble = error
            }
            draw()
        },
    }
    const charts = new Charts((error) => error && page.fail(error))
    const draw = () => {
        if (closed) return
        show(root, h('header', null, h('h1', null, 'Activity')), page.trouble && troubleNotice(page.trouble), factsPart(page.requests),
            h('div', { 'data-own': true, 'data-key': 'charts' }),
            page.requests && requestsPart(page.requests, page), page.usage && usagePart(page.usage), page.keys && keysPart(page))
        const place = root.querySelector('[data-own]')
        if (charts.element.isConnected) return
        place.append(charts.element)
        charts.open().catch((error) => page.fail(error))
    }
    const timer = setInterval(() => document.visibilityState === 'visible' && !document.querySelector('dialog[open]') && page.look(), LOOK_MS)
    const unwatch = watch(draw)
    draw()
    page.look()
    return () => {
        closed = true
        clearInterval(timer)
        unwatch()
        charts.close()
    }
}
