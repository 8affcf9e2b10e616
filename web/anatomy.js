// SPDX-License-Identifier: MIT
// The anatomy of a token: where the time of each token goes, copy by copy, and one sentence of advice.
import { h, show } from './dom.js'
import { ago, count, milliseconds, plural, rate, seconds } from './format.js'
import { ask } from './api.js'
import { live, tokenRate, watch } from './live.js'
import { ringsOf } from './cluster_data.js'

// The parts of one token's time in the order of its way: [{ name, ms, kind, colour }]. Figures that are not known are left out.
export function partsOf(ring) {
    const parts = []
    ring.stages.forEach((stage, i) => {
        const next = ring.stages[(i + 1) % ring.stages.length]
        if (stage.compute !== null) parts.push({ name: `${stage.node} computes`, ms: stage.compute, kind: 'compute', colour: stage.colour, node: stage.node })
        if (stage.wait > 0.005) parts.push({ name: `waits in ${stage.node}`, ms: stage.wait, kind: 'wait', node: stage.node })
        if (stage.hop !== null && ring.stages.length > 1) parts.push({ name: `${stage.node} to ${next.node}`, ms: stage.hop, kind: 'hop', node: stage.node, way: stage.way })
    })
    return parts
}

const BETTER = { 'Wi-Fi': 'a cable instead of Wi-Fi, or ', VPN: 'a network without the VPN, or ' }

// One sentence that helps, made of the figures alone.
export function adviceOf(ring, parts) {
    const sum = parts.reduce((all, p) => all + p.ms, 0), share = (kind) => parts.filter((p) => p.kind === kind).reduce((all, p) => all + p.ms, 0) / sum
    const computes = parts.filter((p) => p.kind === 'compute'), most = computes.reduce((a, b) => (b.ms > a.ms ? b : a), computes[0])
    if (ring.stages.length === 1) return `One machine computes all: its speed is that of its memory. A second machine would not make one answer faster, only another copy would make more answers at once.`
    const hops = parts.filter((p) => p.kind === 'hop'), worst = hops.reduce((a, b) => (b.ms > a.ms ? b : a), hops[0])
    if (share('hop') > 0.5) return `The network takes ${Math.round(100 * share('hop'))} % of each token, most of it on the way ${worst.name}: ${BETTER[worst.way] ?? ''}fewer machines in the ring ${BETTER[worst.way] ? 'help' : 'would help'} more than faster machines.`
    if (share('wait') > 0.35) return `Tokens wait ${Math.round(100 * share('wait'))} % of their time for others: several answers share this ring, which is fine for throughput; one answer alone is faster.`
    if (computes.length > 1 && most.ms > 0.55 * computes.reduce((all, p) => all + p.ms, 0)) return `${most.node} computes ${Math.round((100 * most.ms) / sum)} % of each token: with fewer layers there, or without it, this ring would run at up to ${rate(1000 / Math.max(sum - most.ms, 0.001))} tokens/s if the others had room and were as fast as now.`
    return 'The work is spread evenly: no single change would help much.'
}

function stacked(parts, sum) {
    return h('div', { class: 'stack', role: 'img', 'aria-label': parts.map((p) => `${p.name} ${milliseconds(p.ms)}`).join(', ') }, parts.map((p) => {
        const part = h('span', { class: p.kind === 'compute' ? `back${p.colour}` : p.kind, title: `${p.name}: ${milliseconds(p.ms)}` }, p.ms / sum > 0.12 ? `${Math.round((100 * p.ms) / sum)} %` : '')
        part.style.flexGrow = String(p.ms)
        return part
    }))
}

function ringPart(ring) {
    const parts = partsOf(ring), sum = parts.reduce((all, p) => all + p.ms, 0), speed = tokenRate(ring.instance)
    return h('section', { class: 'card anatomy', 'data-key': ring.instance, 'aria-label': ring.name },
        h('header', null, h('h2', null, ring.name), h('span', { class: 'muted small number' }, sum > 0 ? `${milliseconds(sum)} for each step${speed > 0 ? `, ${rate(speed)} tokens/s now` : ''}` : '')),
        sum === 0 ? h('p', { class: 'muted' }, 'No answer of this copy went through this node yet. ', h('a', { href: '#/chat' }, 'Ask it something.'))
            : [stacked(parts, sum),
                h('table', null, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Part'), h('th', { scope: 'col', class: 'number' }, 'Time'), h('th', { scope: 'col', class: 'number' }, 'Share'))),
                    h('tbody', null, parts.map((p) => h('tr', null, h('td', null, h('span', { class: `swatch ${p.kind === 'compute' ? `back${p.colour}` : p.kind}` }), ' ', p.name), h('td', { class: 'number' }, milliseconds(p.ms)), h('td', { class: 'number' }, `${Math.round((100 * p.ms) / sum)} %`))))),
                h('p', { class: 'notice' }, adviceOf(ring, parts))])
}

// ---- single answers ----

const ANSWERS = 6, LOOK_MS = 2000

// Where the time of one answer went; the rest is that of the gateway and of the way to the machine that answers.
function answerParts(r) {
    const parts = [{ name: 'waits for a place', ms: r.queued_ms, kind: 'wait' }, { name: 'reads the prompt', ms: r.prefill_ms, kind: 'compute', colour: 6 }, { name: 'answers', ms: r.decode_ms, kind: 'compute', colour: 4 }]
    parts.push({ name: 'the rest', ms: Math.max(0, 1000 * r.seconds - parts.reduce((sum, p) => sum + p.ms, 0)), kind: 'hop' })
    return parts.filter((p) => p.ms > 0)
}

function answerRow(r) {
    const parts = answerParts(r), each = r.completion_tokens > 1 ? `, ${milliseconds(r.decode_ms / (r.completion_tokens - 1))} for each` : ''
    return h('li', { 'data-key': r.id },
        h('p', { class: 'line small' }, h('span', null, h('strong', null, r.model), h('span', { class: 'muted' }, ` ${ago(r.started)}, ${plural(r.prompt_tokens, 'token')} read${r.cached_tokens > 0 ? `, ${count(r.cached_tokens)} of them kept from before` : ''}, ${count(r.completion_tokens)} answered${each}`)), h('span', { class: 'number' }, seconds(r.seconds))),
        stacked(parts, 1000 * r.seconds))
}

function answersPart(requests) {
    const list = (requests?.ended ?? []).filter((r) => r.decode_ms > 0 || r.prefill_ms > 0).slice(0, ANSWERS)
    return list.length > 0 && h('section', { class: 'card anatomy', 'data-key': 'answers', 'aria-label': 'The last answers' },
        h('header', null, h('h2', null, 'The last answers'), h('ul', { class: 'legend small' }, [['wait', 'waits'], ['back6', 'reads the prompt'], ['back4', 'answers'], ['hop', 'the rest']].map(([look, words]) => h('li', null, h('span', { class: `swatch ${look}` }), words)))),
        h('ul', { class: 'answers' }, list.map(answerRow)))
}

export function open(main) {
    let requests = null, refused = false
    const root = h('div', { class: 'page' })
    main.append(root)
    const draw = () => {
        if (!live.status?.nodes) return show(root, h('p', { class: 'empty' }, live.trouble?.message ?? 'Connecting to the node'))
        const rings = ringsOf(live.status).filter((r) => r.stages.length > 0)
        show(root, h('header', null, h('div', null, h('h1', null, 'Anatomy of a token'), h('p', { class: 'lead' }, 'Where the time of one step goes, of the answers that ended last. A step gives each running answer one token, or several with speculation.'))),
            rings.length === 0 && h('p', { class: 'card muted' }, 'No model is loaded.'), rings.map(ringPart), answersPart(requests))
    }
    // Keys that may not administer see no single answers.
    const look = async () => {
        if (refused || document.visibilityState !== 'visible') return
        try {
            requests = await ask('GET', '/caravan/v1/requests', undefined, { quiet: true })
            draw()
        } catch (error) {
            refused = error.status === 403
        }
    }
    const timer = setInterval(look, LOOK_MS)
    const unwatch = watch(draw)
    draw()
    look()
    return () => {
        clearInterval(timer)
        unwatch()
    }
}
