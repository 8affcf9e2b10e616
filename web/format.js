// SPDX-License-Identifier: MIT
// Figures as people read them. A figure that is not known is a dash.
export const DASH = '–'

// Sizes in powers of 1024, speeds in powers of 1000, as the commands print them.
export const throughput = (n) => `${bytes(n, 1000)}/s`

export function bytes(n, step = 1024) {
    if (!Number.isFinite(n)) return DASH
    const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB']
    let i = 0
    for (; Math.abs(n) >= (i === 0 ? step : step - 0.05) && i < units.length - 1; i++) n /= step
    return `${i === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${units[i]}`
}

export function count(n) {
    if (!Number.isFinite(n)) return DASH
    if (n >= 1e9) return `${(n / 1e9).toFixed(1)} B`
    if (n >= 1e6) return `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} M`
    return Math.round(n).toLocaleString('en')
}

// Seconds: "0.42 s", "3.1 s", "2 min 5 s", "3 h 10 min".
export function seconds(t) {
    if (!Number.isFinite(t)) return DASH
    if (t < 1) return `${t.toFixed(2)} s`
    if (t < 59.95) return `${t.toFixed(1)} s`
    const s = Math.round(t), m = Math.round(t / 60), h = Math.round(t / 3600)
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
    if (m < 1440) return `${Math.floor(m / 60)} h ${m % 60} min`
    return `${Math.floor(h / 24)} d ${h % 24} h`
}

export function milliseconds(t) {
    if (!Number.isFinite(t)) return DASH
    return t < 10 ? `${t.toFixed(2)} ms` : t < 1000 ? `${t.toFixed(1)} ms` : seconds(t / 1000)
}

export const rate = (n) => (!Number.isFinite(n) ? DASH : n >= 100 ? Math.round(n).toString() : n.toFixed(1))
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`

export function ago(s) {
    const t = Date.now() / 1000 - s
    return t < 5 ? 'now' : t < 60 ? `${Math.floor(t)} s ago` : t < 3600 ? `${Math.floor(t / 60)} min ago` : t < 86400 ? `${Math.floor(t / 3600)} h ago` : new Date(s * 1000).toLocaleDateString()
}
