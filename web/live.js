// SPDX-License-Identifier: MIT
// The node's state as it changes: one stream of events for all pages, open while the tab is looked at. live.status and live.models are the
// answers of the admin API; live.trouble says why they may be old.
import { events, request } from './api.js'

const RETRY_MS = [300, 1000, 2000, 5000], RATE_MS = 2500
const listeners = new Set()
const samples = new Map() // instance -> [{ at, count }] of tokens, of the last seconds
const carried = new Map() // instance/stage -> [{ at, count }] of bytes, likewise, on the way to the next stage

export const live = { status: null, models: null, at: 0, connected: false, trouble: null }

// Calls fn now, if something is known, and at each change. Returns what ends that.
export function watch(fn) {
    listeners.add(fn)
    if (live.status || live.trouble) fn(live)
    return () => listeners.delete(fn)
}

function tell() {
    for (const fn of listeners) fn(live)
}

// Adds a sample of each counter to its list, and forgets the counters that are gone.
function keep(lists, counters) {
    const at = performance.now()
    for (const [key, count] of counters) {
        const list = lists.get(key) ?? []
        list.push({ at, count })
        while (list.length > 2 && at - list[1].at > RATE_MS) list.shift()
        lists.set(key, list)
    }
    for (const key of lists.keys()) if (!counters.has(key)) lists.delete(key)
}

function note(status) {
    keep(samples, new Map((status.rings ?? []).map((ring) => [ring.instance, ring.tokens])))
    keep(carried, new Map((status.nodes ?? []).flatMap((n) => n.stages).filter((x) => x.sent_bytes !== undefined).map((x) => [`${x.instance}/${x.stage}`, x.sent_bytes])))
}

// By how much a counter grows in a second, over the last seconds.
function growth(list, now) {
    const first = list.find((x) => now - x.at < RATE_MS + 600) ?? list.at(-1), last = list.at(-1)
    if (!last || now - last.at > RATE_MS || list.length < 2 || first === last) return 0
    return Math.max(0, (1000 * (last.count - first.count)) / (now - first.at)) // a link that was opened again counts from 0
}

// Tokens a second of an instance, over the last seconds, through this node.
export const tokenRate = (instance) => growth(samples.get(instance) ?? [], performance.now())

// Bytes a second from a stage to the next one, as its machine counts them on the network.
export const linkRate = (instance, stage) => growth(carried.get(`${instance}/${stage}`) ?? [], performance.now())

export const totalRate = () => [...samples.keys()].reduce((sum, instance) => sum + tokenRate(instance), 0)

const visible = () =>
    document.visibilityState === 'visible' ? Promise.resolve()
        : new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true })).then(visible)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function follow() {
    const controller = new AbortController()
    const onHidden = () => document.visibilityState !== 'visible' && controller.abort()
    document.addEventListener('visibilitychange', onHidden)
    try {
        for await (const { event, data } of events(await request('GET', '/caravan/v1/events', undefined, { signal: controller.signal, quiet: live.trouble?.status === 401 }))) {
            if (event !== 'state') continue
            const { status, listing } = JSON.parse(data)
            note(status)
            Object.assign(live, { status, models: listing?.models ?? [], unusable: listing?.unusable ?? [], at: Date.now(), connected: true, trouble: null })
            tell()
        }
    } finally {
        live.connected = false
        document.removeEventListener('visibilitychange', onHidden)
    }
}

// Runs as long as the page is open.
export async function startLive() {
    setInterval(() => samples.size > 0 && live.connected && tell(), 1000) // rates fall when nothing comes
    for (let failed = 0; ; ) {
        await visible()
        const before = live.at
        try {
            await follow()
            live.trouble = { message: 'this node closed the connection', status: 0 }
        } catch (error) {
            if (error.name === 'AbortError') continue
            live.trouble = error.status === undefined ? { message: 'this node does not answer', status: 0 } : error
        }
        failed = live.at > before ? 0 : failed + 1
        tell()
        await pause(live.trouble.status === 401 ? 5000 : RETRY_MS[Math.min(failed, RETRY_MS.length - 1)])
    }
}
