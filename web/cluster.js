// SPDX-License-Identifier: MIT
// The cluster's page: the rings as drawings, the machines with their devices, who is not in and why; adding and removing machines.
import { copyText, h, question, s, show } from './dom.js'
import { DASH, bytes, milliseconds, plural, rate, throughput } from './format.js'
import { ask, troubleNotice } from './api.js'
import { complete } from './made.js'
import { linkRate, live, tokenRate, watch } from './live.js'
import { absentOf, colourOf, heldBy, holdersBut, lossesOf, ringsOf, wayOf } from './cluster_data.js'
import { layerWords, ringDrawing } from './ring.js'

const GRACE_S = 7 * 86400 // how long members that are away now may still come back with the old key (--grace of `caravan nodes remove`)

// ---- adding and removing ----

// A QR code as one path of squares.
async function qrCode(text) {
    if (!complete) return h('p', { class: 'muted small' }, 'This build has no QR codes: it was made without npm.')
    const { encode } = await import('./lib/qr.js')
    const { data, size } = encode(text, { ecc: 'M', border: 2 })
    const squares = data.flatMap((row, y) => row.map((on, x) => (on ? `M${x} ${y}h1v1h-1z` : ''))).join('')
    return s('svg', { viewBox: `0 0 ${size} ${size}`, class: 'qr', role: 'img', 'aria-label': 'The join code as a QR code' }, s('path', { d: squares }))
}

async function addMachine(fail) {
    try {
        const { code } = await ask('POST', '/caravan/v1/invite', {})
        const lines = `caravan join ${code}\ncaravan up`
        const copy = h('button', { type: 'button', class: 'button small', onclick: () => copyText(lines, copy) }, 'Copy')
        await question({
            title: 'Add a machine', buttons: [{ name: 'Done', value: true, kind: 'primary' }],
            body: [h('p', null, 'On the other machine, with Caravan installed and TCP port 7433 open:'),
                h('pre', { class: 'code wrap', tabindex: '0' }, lines), h('div', { class: 'actions' }, copy),
                await qrCode(code), h('p', { class: 'notice warn small' }, 'Whoever has this code is a member of the cluster, and can read what passes through it. It stays valid until the cluster\'s key changes.')],
        })
    } catch (error) {
        fail(error)
    }
}

async function removeMachine(node, losses, fail) {
    const yes = await question({
        title: `Shut ${node.name} out of the cluster?`, buttons: [{ name: 'Keep it' }, { name: 'Shut it out', value: true, kind: 'danger' }],
        body: [h('p', null, 'It loses its place at once, and the cluster\'s key changes, so that it can\'t come back by itself.'), losses.length > 0 && h('ul', { class: 'points' }, losses.map((text) => h('li', null, text)))],
    })
    if (yes) await ask('POST', '/caravan/v1/nodes/remove', { name: node.id, grace: GRACE_S }).then(() => fail(null), fail)
}

async function drainMachine(node, losses, fail) {
    const yes = await question({
        title: `Empty ${node.name}?`, buttons: [{ name: 'Leave it as it is' }, { name: 'Empty it', value: true, kind: 'primary' }],
        body: [h('p', null, 'It takes no more layers. Those that it has move to the other machines as soon as these have room, when no answer runs there, or after half a minute; answers that still run then go on after a pause. When it is empty, it can be switched off.'), node.stages.length > 0 && h('p', null, `It holds ${plural(node.stages.length, 'part')} of models now, ${bytes(heldBy(node))}.`)],
    })
    if (yes) await setDrained(node, true, fail)
}

const setDrained = (node, on, fail) => ask('POST', `/caravan/v1/nodes/${on ? 'drain' : 'undrain'}`, { name: node.id }).then(() => fail(null), fail)

// ---- the rings ----

function layerStrip(ring) {
    const all = Math.max(1, ring.layers)
    return h('div', { class: 'strip' }, ring.stages.map((x) => {
        const part = h('span', { class: `back${x.colour}`, title: `${x.node}: layers ${x.first} to ${x.last}` }, (x.last - x.first + 1) / all > 0.08 ? (x.first === x.last ? `${x.first}` : `${x.first}-${x.last}`) : '')
        part.style.flexGrow = String(x.last - x.first + 1)
        return part
    }))
}

function slowestText(ring) {
    if (!ring.slowest) return null
    const stage = ring.stages[ring.slowest.stage], next = ring.stages[(ring.slowest.stage + 1) % ring.stages.length]
    const where = ring.slowest.hop ? `the way from ${stage.node} to ${next.node}` : `${stage.node} (${layerWords(stage.first, stage.last)})`
    return h('p', { class: 'small' }, h('strong', null, 'Slowest part: '), `${where}, ${milliseconds(ring.slowest.ms)} of each token.`)
}

const GUESSES = [['own', 'by its own layers'], ['small', 'by a small model'], ['text', 'from the text']]

// How many guesses at the next tokens came true, by where they came from.
function guessesText(ring) {
    const kinds = GUESSES.filter(([kind]) => ring.guesses[kind]?.made > 0)
    if (kinds.length === 0) return null
    return h('p', { class: 'small' }, h('strong', null, 'Guesses that came true: '), `${kinds.map(([kind, words]) => `${ring.guesses[kind].right} of ${ring.guesses[kind].made} ${words}`).join(', ')}.`)
}

function ringCard(ring, width) {
    const speed = tokenRate(ring.instance), stages = ring.stages.map((x, i) => ({ ...x, flow: linkRate(ring.instance, i) }))
    return h('section', { class: 'card ringcard', 'data-key': ring.instance, 'aria-label': `The ring of ${ring.name}` },
        h('header', null, h('h2', null, ring.name), h('span', { class: `chip ${ring.state === 'ready' ? 'good' : ring.state === 'failed' ? 'bad' : 'warn'}` }, ring.state),
            h('span', { class: 'muted small number' }, `${plural(ring.stages.length, 'machine')}, ${plural(ring.layers, 'layer')}${ring.predicted > 0 ? `, ${rate(ring.predicted)} tokens/s predicted` : ''}${speed > 0 ? `, ${rate(speed)} tokens/s now` : ''}`)),
        ring.stages.length > 0 ? [h('div', { class: 'drawing' }, ringDrawing({ ...ring, speed, stages }, width)), layerStrip(ring), slowestText(ring), guessesText(ring)] : h('p', { class: `notice${ring.state === 'failed' ? ' bad' : ''}` }, ring.message))
}

// ---- the machines ----

const MEMORY = [['weights', 'weights'], ['kv', 'KV cache'], ['compute', 'to compute'], ['rest', 'its process'], ['planned', 'planned']]

// What the stages of a machine take, by kind; those that load are only planned.
function memoryOf(node) {
    const sums = { weights: 0, kv: 0, compute: 0, rest: 0, planned: 0 }
    for (const x of node.stages) {
        const told = x.weights > 0 ? x.weights + x.kv + x.compute : 0
        for (const kind of ['weights', 'kv', 'compute']) sums[kind] += x[kind] ?? 0
        sums[told > 0 ? 'rest' : 'planned'] += Math.max(0, x.bytes - told)
    }
    return sums
}

function memoryBar(node) {
    const held = heldBy(node), total = Math.max(node.memory, held, 1), sums = memoryOf(node), kinds = MEMORY.filter(([kind]) => sums[kind] > 0), colour = `back${colourOf(node.id)}`
    const bar = h('div', { class: 'bar', role: 'img', 'aria-label': `${bytes(held)} of ${bytes(node.memory)} used` }, kinds.map(([kind, words]) => {
        const part = h('span', { class: `${colour} ${kind}`, title: `${words}: ${bytes(sums[kind])}` })
        part.style.width = `${(100 * sums[kind]) / total}%`
        return part
    }))
    return [bar, h('p', { class: 'small muted number' }, `${bytes(held)} of ${bytes(node.memory)} offered are used`),
        kinds.length > 0 && h('ul', { class: 'legend small' }, kinds.map(([kind, words]) => h('li', null, h('span', { class: `swatch ${colour} ${kind}` }), `${words} `, h('span', { class: 'number' }, bytes(sums[kind])))))]
}

const deviceRow = (d) => h('tr', null, h('td', null, d.name, h('br'), h('span', { class: 'muted small' }, d.description)), h('td', { class: 'number' }, bytes(d.memory_free), h('br'), h('span', { class: 'muted small' }, `of ${bytes(d.memory_total)} free`)), h('td', { class: 'number' }, d.bandwidth ? throughput(d.bandwidth) : DASH))

function linkRow(link, status) {
    const name = status.nodes.find((n) => n.id === link.id)?.name ?? link.id
    return h('tr', null, h('td', null, name, h('span', { class: 'muted small' }, ` ${wayOf(link)} ${link.copy ?? ''}`)), h('td', { class: 'number' }, link.reach === 'no' ? 'no way' : link.rtt_us ? milliseconds(link.rtt_us / 1000) : DASH), h('td', { class: 'number' }, link.bytes_per_second ? throughput(link.bytes_per_second) : DASH))
}

const table = (names, rows) => rows.length > 0 && h('table', null, h('thead', null, h('tr', null, names.map((name, i) => h('th', { scope: 'col', class: i > 0 && 'number' }, name)))), h('tbody', null, rows))

// Where the layers would be if a machine went, as the coordinator would plan it now: node and copy -> a sentence. Asked for when somebody looks.
const afterwards = new Map()

async function askAfterwards(node, rings, redraw) {
    for (const ring of rings.filter((x) => x.stages.some((stage) => stage.id === node.id) && holdersBut(node, x, live.status, live.models ?? []).length > 0)) {
        const key = `${node.id}/${ring.instance}`
        const plan = await ask('POST', '/caravan/v1/plan', { model: ring.name, without: node.id, instance: ring.instance, advice: false }).catch(() => null)
        const copy = plan?.copies?.[0]
        const places = (copy?.stages ?? []).map((x) => `${x.node} (${layerWords(x.first_layer, x.last_layer)})`).join(' and ')
        afterwards.set(key, copy ? `${ring.name} would then be on ${places}, at about ${rate(copy.tokens_per_second)} tokens/s.` : plan ? `${ring.name} would then have no place: ${plan.text}.` : '')
    }
    redraw()
}

const afterwardsOf = (node, rings) => rings.map((ring) => afterwards.get(`${node.id}/${ring.instance}`)).filter(Boolean)

// With how many threads a stage computes; longer steps may have another number.
const threadWords = (x) => `${plural(x.threads, 'thread')}${x.threads_batch === x.threads ? '' : ` (${x.threads_batch} for prompts)`}`

function machineCard(node, rings, fail) {
    const losses = lossesOf(node, rings, live.status, live.models ?? [])
    return h('article', { class: 'card machinecard', 'data-key': node.id, 'aria-label': node.name },
        h('header', null, h('span', { class: `swatch back${colourOf(node.id)}` }), h('h3', null, node.name), node.self && h('span', { class: 'chip' }, 'this node'), node.state === 'suspect' && h('span', { class: 'chip warn' }, 'silent'), node.drained && h('span', { class: `chip ${node.stages.length > 0 ? 'warn' : 'good'}` }, node.stages.length > 0 ? 'is being emptied' : 'empty: it can be switched off')),
        memoryBar(node),
        h('ul', { class: 'points small' }, node.stages.map((x) => h('li', null, `${layerWords(x.first_layer, x.last_layer)} of ${live.status.models.find((m) => m.instance === x.instance)?.name ?? x.instance} on ${x.device || 'its device'}${x.threads > 0 ? `, ${threadWords(x)}` : ''}${x.state === 'ready' ? '' : `, ${x.state} ${x.progress} %`}`)), node.stages.length === 0 && h('li', { class: 'muted' }, 'holds no layers')),
        h('details', { 'data-key': 'devices' }, h('summary', null, 'Devices and links'), table(['Device', 'Memory', 'Reads'], node.devices.map(deviceRow)), table(['Link to', 'Round trip', 'Throughput'], node.links.map((l) => linkRow(l, live.status))), node.quiet && h('p', { class: 'small muted' }, 'It is too busy or too new to be measured.')),
        h('details', { 'data-key': 'loss', ontoggle: (event) => event.target.open && askAfterwards(node, rings, () => fail(null)) }, h('summary', null, 'If this machine goes'), h('ul', { class: 'points small' }, losses.length > 0 ? [...losses, ...afterwardsOf(node, rings)].map((text) => h('li', null, text)) : h('li', null, 'Nothing stops: it holds no layers.'))),
        h('div', { class: 'actions' },
            node.drained ? h('button', { type: 'button', class: 'button small', onclick: () => setDrained(node, false, fail) }, 'Let it take layers again') : h('button', { type: 'button', class: 'button small', onclick: () => drainMachine(node, losses, fail) }, 'Empty it'),
            !node.self && h('button', { type: 'button', class: 'button small danger', onclick: () => removeMachine(node, losses, fail) }, 'Shut out')))
}

function absentPart(status, fail) {
    const absent = absentOf(status)
    return absent.length > 0 && h('section', { class: 'card', 'aria-label': 'Not in' }, h('h2', null, 'Not in, or not well'), h('ul', { class: 'rows' }, absent.map((x) => h('li', { 'data-key': x.id }, h('strong', null, x.name), h('span', { class: 'muted' }, x.why),
        x.asleep && h('button', { type: 'button', class: 'button small', 'aria-label': `Wake ${x.name}`, onclick: () => ask('POST', '/caravan/v1/nodes/wake', { name: x.id }).then(() => fail(null), fail) }, 'Wake'),
        x.removed && h('button', { type: 'button', class: 'button small', onclick: () => ask('POST', '/caravan/v1/nodes/allow', { name: x.id }).then(() => fail(null), fail) }, 'Let it in again')))))
}

export function open(main) {
    const root = h('div', { class: 'page' })
    let trouble = null
    main.append(root)
    const fail = (error) => {
        trouble = error
        draw()
    }
    const draw = () => {
        const { status } = live
        if (!status?.nodes) return show(root, h('p', { class: 'empty' }, live.trouble?.message ?? 'Connecting to the node'))
        const rings = ringsOf(status), width = Math.max(290, Math.min(1100, root.clientWidth - 44 - 36))
        show(root,
            h('header', null, h('h1', null, 'Cluster'), h('div', { class: 'actions' }, h('button', { type: 'button', class: 'button primary', onclick: () => addMachine(fail) }, 'Add a machine'))),
            trouble && troubleNotice(trouble),
            rings.length === 0 && h('p', { class: 'card muted' }, 'No model is loaded, so there is no ring. ', h('a', { href: '#/models' }, 'Load one.')),
            rings.map((ring) => ringCard(ring, width)),
            absentPart(status, fail),
            h('section', { 'aria-label': 'Machines' }, h('h2', { class: 'above' }, 'Machines'), h('div', { class: 'cards' }, status.nodes.map((node) => machineCard(node, rings, fail)))))
    }
    const unwatch = watch(draw), resized = new ResizeObserver(draw)
    resized.observe(main)
    draw()
    return () => {
        unwatch()
        resized.disconnect()
    }
}
