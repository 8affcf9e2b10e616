// SPDX-License-Identifier: MIT
// What the pages show of the cluster, made of the node's state: pure functions.
import { ago, bytes, seconds } from './format.js'

// Machines keep their colour while the page is open.
const colours = new Map()
export function colourOf(id) {
    if (!colours.has(id)) colours.set(id, colours.size % 8)
    return colours.get(id)
}

export const heldBy = (node) => node.stages.reduce((sum, x) => sum + x.bytes, 0)

// The state before, for figures of the last moment: instance -> { at, stages, average }.
const before = new Map()

// Milliseconds of one token in each stage and on the way behind it: of the tokens since the last change, else of all.
export function stepsOf(ring) {
    const now = ring?.stages ?? [], last = before.get(ring?.instance)
    if (now.length === 0) return []
    const sum = now[0].frames
    if (last && last.sum === sum) return last.steps
    const steps = now.map((stage, i) => {
        const old = last && last.sum < sum ? last.stages[i] : undefined
        const frames = stage.frames - (old?.frames ?? 0)
        const each = (key) => (frames > 0 ? (stage[key] - (old?.[key] ?? 0)) / frames / 1000 : null)
        return { compute: each('compute_us'), wait: each('wait_us'), hop: each('hop_us') }
    })
    before.set(ring.instance, { sum, stages: now, steps })
    return steps
}

// The way into a stage is counted with that stage; the drawing shows it behind the stage before.
function wayBehind(steps, i) {
    return steps.length > 1 ? (steps[(i + 1) % steps.length]?.hop ?? null) : null
}

// The network of a link in words: each end knows its own side, and the slower kind counts.
const WAYS = [['vpn', 'VPN'], ['wifi', 'Wi-Fi'], ['wired', 'wired'], ['inside', 'same machine']]
export const wayOf = (...sides) => WAYS.find(([way]) => sides.some((l) => l?.way === way))?.[1] ?? ''

// The rings of all copies that are loaded or being loaded.
export function ringsOf(status) {
    const rings = []
    for (const model of status?.models ?? []) {
        const stages = []
        for (const node of status.nodes)
            for (const stage of node.stages) if (stage.instance === model.instance) stages.push({ ...stage, node: node.name, id: node.id, memory: node.memory, held: heldBy(node), links: node.links })
        stages.sort((a, b) => a.stage - b.stage)
        const seen = status.rings.find((r) => r.instance === model.instance), steps = stepsOf(seen)
        rings.push({
            name: model.name, instance: model.instance, state: model.state, layers: model.layers, message: model.message, predicted: model.predicted_tokens_per_second, guesses: seen?.guesses ?? {},
            stages: stages.map((x, i) => {
                const link = x.links.find((l) => l.id === stages[(i + 1) % stages.length].id)
                const back = stages[(i + 1) % stages.length].links.find((l) => l.id === x.id)
                return { node: x.node, id: x.id, colour: colourOf(x.id), first: x.first_layer, last: x.last_layer, state: x.state, progress: x.progress, bytes: x.bytes, device: x.device, memory: x.memory, held: x.held, compute: steps[i]?.compute ?? null, wait: steps[i]?.wait ?? null, hop: wayBehind(steps, i), rtt: link?.rtt_us, throughput: link?.bytes_per_second, way: wayOf(link, back), sent: x.sent_bytes }
            }),
        })
    }
    for (const ring of rings) ring.slowest = slowestOf(ring)
    return rings
}

// The part of the way that takes longest, if there is more than one.
export function slowestOf(ring) {
    let found = null
    ring.stages.forEach((stage, i) => {
        for (const [hop, ms] of [[false, stage.compute], [true, stage.hop]]) if (ms !== null && ms > (found?.ms ?? 0)) found = { stage: i, hop, ms }
    })
    return ring.stages.length > 1 ? found : null
}

// The layers of a copy that are on this machine, in words.
const partOf = (ring, node) => ring.stages.filter((x) => x.id === node.id)

// What happens to a copy when this machine goes.
// Names of the other machines that have the file of the ring's model. A file outside of the models folder is on the machine that looks after the model.
export function holdersBut(node, ring, status, models) {
    const files = [...(models.find((m) => m.name === ring.name)?.files ?? []), status.models.find((m) => m.instance === ring.instance)?.coordinator].filter(Boolean)
    return files.filter((name) => status.nodes.filter((n) => n.id !== node.id).some((n) => name === n.name || name.startsWith(`${n.name} (`)))
}

function lossOf(ring, node, status, models) {
    const lost = partOf(ring, node)
    const need = lost.reduce((sum, x) => sum + x.bytes, 0), layers = lost.map((x) => `${x.first}-${x.last}`).join(', ')
    if (status.models.some((m) => m.name === ring.name && m.instance !== ring.instance && m.ready)) return `${ring.name}: the other copy answers at once; its running answers go on there.`
    const others = status.nodes.filter((n) => n.id !== node.id && n.state !== 'suspect' && !n.drained)
    const room = others.reduce((sum, n) => sum + Math.max(0, n.memory - heldBy(n)), 0)
    if (holdersBut(node, ring, status, models).length === 0) return `${ring.name}: only this machine has its file. It can't be loaded again before the machine is back.`
    if (room < need) return `${ring.name}: it stops. Layers ${layers} need ${bytes(need)}; the others have ${bytes(room)} free.`
    const speeds = node.links.map((l) => l.bytes_per_second).filter((x) => x > 0)
    const pause = speeds.length > 0 ? ` About ${seconds(2 + need / Math.min(...speeds))} of pause.` : ''
    return `${ring.name}: running answers wait, layers ${layers} (${bytes(need)}) move to ${others.map((n) => n.name).join(' or ')}, and the answers go on.${pause}`
}

export const lossesOf = (node, rings, status, models) => rings.filter((ring) => partOf(ring, node).length > 0).map((ring) => lossOf(ring, node, status, models))

// Machines that are not in, and why: [{ name, id, why, removed, asleep }]; asleep: it can be woken.
export function absentOf(status) {
    const list = (status.removed ?? []).map((x) => ({ name: x.name || x.id, id: x.id, removed: true, why: `shut out ${new Date(x.time * 1000).toLocaleString()}` }))
    for (const node of status.asleep ?? []) {
        const has = node.memory > 0 ? ` It has ${bytes(node.memory)}.` : ''
        list.push(node.state === 'waking' ? { name: node.name, id: node.id, why: 'it is being woken: that takes up to two minutes' }
            : { name: node.name, id: node.id, asleep: true, why: `asleep, or its node has ended; seen ${ago(node.seen)}.${has}` })
    }
    for (const node of status.nodes) {
        if (node.state === 'suspect') list.push({ name: node.name, id: node.id, why: 'it has not answered for a moment: it is asked again, then counted as gone' })
        for (const link of node.links)
            if (link.reach === 'no') list.push({ name: node.name, id: `${node.id}-${link.id}`, why: `it cannot open a connection to ${status.nodes.find((n) => n.id === link.id)?.name ?? link.id}: is TCP port ${status.nodes.find((n) => n.id === link.id)?.port ?? 7433} open there?` })
    }
    return list
}
