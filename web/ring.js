// SPDX-License-Identifier: MIT
// The ring of one copy of a model as a drawing: its machines in the order in which a token visits them, the links between them, and dots
// that travel while tokens are made. Drawn in the pixels of its width, so that text keeps its size.
import { s } from './dom.js'
import { bytes, milliseconds, rate, throughput } from './format.js'

const BOX = { wide: 176, narrow: 138, height: 74 }

const ROW = 100

// On a narrow screen each machine has a row of its own: down on the right, and back up on the left in the rows between.
function zigzag(n, width, box) {
    const side = (width - box) / 2 - 8
    return Array.from({ length: n }, (_, i) => {
        const right = i < n / 2, row = right ? 2 * i : 2 * (n - i) - 1
        return { x: width / 2 + (right ? side : -side), y: ROW * (row + 0.5) }
    })
}

// Positions on an ellipse, the head at the top, clockwise.
function layout(n, width) {
    const narrow = width < 620
    const box = narrow || n > 8 ? BOX.narrow : BOX.wide
    if (narrow && n > 2) return { box, height: ROW * n, places: zigzag(n, width, box), middle: { x: width / 2 } }
    const height = n === 1 ? 190 : narrow ? 330 : n === 2 ? 230 : Math.min(620, 250 + 34 * n)
    const rx = Math.max(20, (width - box) / 2 - 8), ry = (height - BOX.height) / 2 - 14
    const middle = { x: width / 2, y: height / 2 }
    const places = Array.from({ length: n }, (_, i) => {
        const angle = (n === 2 && !narrow ? -Math.PI : -Math.PI / 2) + (2 * Math.PI * i) / n
        return n === 1 ? middle : { x: middle.x + Math.min(rx, 420) * Math.cos(angle), y: middle.y + ry * Math.sin(angle) }
    })
    const lowest = Math.max(...places.map((p) => p.y)) // three machines leave the lower part of the ellipse empty
    return { box, height: n > 2 ? lowest + BOX.height / 2 + 28 : height, places, middle }
}

// A curve from one place to the next that bends away from the middle, or sideways only where that has no height.
function curve(a, b, middle, n) {
    const bend = n === 2 && Math.abs(a.x - b.x) > 100 ? { x: middle.x, y: middle.y + (a.x < b.x ? -110 : 110) } : n === 2 ? { x: b.x + (a.y < b.y ? 110 : -110), y: middle.y } : { x: (a.x + b.x) / 2 + ((a.x + b.x) / 2 - middle.x) * 0.35, y: (a.y + b.y) / 2 + ((a.y + b.y) / 2 - (middle.y ?? (a.y + b.y) / 2)) * 0.35 }
    return { d: `M${a.x.toFixed(1)} ${a.y.toFixed(1)} Q${bend.x.toFixed(1)} ${bend.y.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`, at: { x: (a.x + 2 * bend.x + b.x) / 4, y: (a.y + 2 * bend.y + b.y) / 4 } }
}

// "layer 4", "layers 0-3"
export const layerWords = (first, last) => (first === last ? `layer ${first}` : `layers ${first}-${last}`)

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}~` : text)

function machine(stage, place, box, slowest) {
    const x = place.x - box / 2, y = place.y - BOX.height / 2
    const used = stage.memory > 0 ? Math.min(1, stage.held / stage.memory) : 0
    return s('g', { class: `machine${stage.state === 'ready' ? '' : ' waits'}${slowest ? ' slowest' : ''}`, 'data-key': stage.node },
        s('rect', { x, y, width: box, height: BOX.height, rx: 10, class: 'box' }),
        s('rect', { x, y, width: 6, height: BOX.height, rx: 3, class: `fill${stage.colour}` }),
        s('text', { x: x + 16, y: y + 21, class: 'name' }, cut(stage.node, box > 150 ? 19 : 14)),
        s('text', { x: x + 16, y: y + 39 }, stage.state === 'ready' ? layerWords(stage.first, stage.last) : `${stage.state} ${stage.progress} %`),
        s('text', { x: x + 16, y: y + 55, class: 'figure' }, stage.compute === null ? bytes(stage.bytes) : `${milliseconds(stage.compute)}/token`),
        s('rect', { x: x + 16, y: y + 62, width: box - 28, height: 5, rx: 2.5, class: 'rail' }),
        s('rect', { x: x + 16, y: y + 62, width: Math.max(0, (box - 28) * used), height: 5, rx: 2.5, class: `fill${stage.colour}` }))
}

// The dots begin apart on one path around the whole ring.
function dots(paths, speed) {
    if (speed <= 0 || matchMedia('(prefers-reduced-motion: reduce)').matches) return []
    const around = paths.map((p, i) => (i === 0 ? p.d : p.d.replace(/^M\S+ \S+ /, ''))).join(' ')
    const seconds = speed > 20 ? 1.6 : speed > 5 ? 2.4 : 4
    return [0, 1, 2].map((i) => s('circle', { r: 5, class: 'dot', 'data-key': `dot${i}${seconds}` }, s('animateMotion', { dur: `${seconds}s`, begin: `${(-i * seconds) / 3}s`, repeatCount: 'indefinite', path: around })))
}

// What stands at a link: its time for a token (or half a round trip), and its network with what passes through it now.
function linkLines(ring, i, width) {
    const stage = ring.stages[i], time = stage.hop !== null ? milliseconds(stage.hop) : stage.rtt ? milliseconds(stage.rtt / 2000) : ''
    const flow = stage.flow > 0 ? throughput(stage.flow) : ''
    const way = width < 620 && !['VPN', 'Wi-Fi'].includes(stage.way) ? '' : stage.way // a narrow drawing has room for what matters
    return [time, [way, width < 620 ? '' : flow].filter(Boolean).join(', ')].filter(Boolean)
}

function linkWords(ring, i) {
    const stage = ring.stages[i], next = ring.stages[(i + 1) % ring.stages.length]
    return [`${stage.node} to ${next.node}`, stage.way, stage.rtt && `round trip ${milliseconds(stage.rtt / 1000)}`, stage.throughput && `${throughput(stage.throughput)} possible`, stage.hop !== null && `${milliseconds(stage.hop)} of each token`, stage.flow > 0 && `${throughput(stage.flow)} now`, stage.sent > 0 && `${bytes(stage.sent)} so far`].filter(Boolean).join(', ')
}

function linkLabel(at, lines, words, i, width) {
    const wide = Math.max(...lines.map((line, k) => line.length * (k === 0 ? 7 : 6.2))) + 18, tall = 6 + 15 * lines.length
    const x = Math.min(Math.max(at.x, wide / 2 + 1), width - wide / 2 - 1)
    return s('g', { class: 'label', 'data-key': `label${i}` }, s('title', null, words), s('rect', { x: x - wide / 2, y: at.y - tall / 2, width: wide, height: tall, rx: 10 }),
        lines.map((line, k) => s('text', { x, y: at.y - tall / 2 + 15 + 15 * k, class: k > 0 && 'second' }, line)))
}

// ring: { name, speed, stages: [{ node, colour, first, last, state, progress, bytes, memory, held, compute, hop, rtt, throughput, flow, sent }], slowest }
// (times in ms of one token; null: not known; hop: from this machine to the next one;
// flow: bytes a second that go there now, sent: all of them so far). slowest: { stage, hop: it is the way to the next }.
export function ringDrawing(ring, width) {
    const n = ring.stages.length, { box, height, places, middle } = layout(n, width)
    const paths = n === 1 ? [] : places.map((place, i) => curve(place, places[(i + 1) % n], middle, n))
    const words = ring.stages.map((x) => `${x.node} has ${layerWords(x.first, x.last)}`).join(', ')
    return s('svg', { class: 'ring', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': `The ring of ${ring.name}: ${words}` },
        paths.map((path, i) => s('path', { d: path.d, class: `link${ring.slowest?.hop && ring.slowest.stage === i ? ' slowest' : ''}`, 'data-key': `link${i}` })),
        s('g', { 'data-key': 'dots' }, dots(paths, ring.speed)),
        ring.stages.map((stage, i) => machine(stage, places[i], box, ring.slowest && !ring.slowest.hop && ring.slowest.stage === i)),
        paths.map((path, i) => {
            const lines = linkLines(ring, i, width)
            return lines.length > 0 && linkLabel(path.at, lines, linkWords(ring, i), i, width)
        }),
        n > 2 && width > 560 && s('g', { class: 'centre', 'data-key': 'centre' }, s('text', { x: middle.x, y: middle.y - 4, class: 'speed' }, ring.speed > 0 ? rate(ring.speed) : '0'), s('text', { x: middle.x, y: middle.y + 18 }, 'tokens/s through this node')))
}
