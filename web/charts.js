// SPDX-License-Identifier: MIT
// Charts over time, from the samples that the node keeps (GET /caravan/v1/history).
import { h, newId } from './dom.js'
import { bytes, milliseconds, rate } from './format.js'
import { ask } from './api.js'
import { complete } from './made.js'

const SHORT = 5, LONG = 300, HEIGHT = 150, DAY = 86400
const SPANS = [[900, '15 minutes'], [3600, 'hour'], [6 * 3600, '6 hours'], [DAY, 'day'], [7 * DAY, '7 days'], [30 * DAY, '30 days']]
const perSecond = (v) => rate(v), perMinute = (v) => rate(60 * v), whole = (v) => (Number.isInteger(v) ? String(v) : v.toFixed(1))
const short = (times) => (v) => String(Number((times * v).toPrecision(3)))
const POWERS = Array.from({ length: 50 }, (_, i) => 2 ** i)
// text: of a figure; axis: at the axis, which may have steps of its own.
const CHARTS = [
    { title: 'Tokens a second', text: perSecond, axis: short(1), lines: [['tokens', 'generated'], ['prompt', 'of prompts'], ['kept', 'kept from before']] },
    { title: 'Requests a minute', text: perMinute, axis: short(60), lines: [['requests', 'came in'], ['failed', 'failed'], ['hits', 'from the cache']] },
    { title: 'Queue', text: whole, axis: whole, lines: [['running', 'running'], ['waiting', 'waiting']] },
    { title: 'Time of a step', dots: true, text: (v) => milliseconds(1000 * v), axis: (v) => `${short(1000)(v)} ms`, lines: [['compute', 'computing'], ['hops', 'between machines']] },
    { title: 'Memory of all machines', text: (v) => bytes(v), axis: (v) => bytes(v), steps: POWERS, lines: [['held', 'taken by layers'], ['offered', 'offered']] },
]

// The rows as uPlot wants them: a column of times, then one for each series. Between two rows that are apart nothing went on: rates are 0 and
// levels as before. A row without figures says that the node began then: before it, nothing is known.
export function columns(rows, series, step) {
    const out = [[], ...series.map(() => [])]
    const push = (time, values) => (out[0].push(time), values.forEach((v, i) => out[i + 1].push(v)))
    const quiet = (values) => values.map((v, i) => (series[i].kind === 'LEVEL' ? v : series[i].kind === 'EACH' ? null : 0))
    const began = (values) => values.every((v) => v === null)
    rows.forEach(([time, ...values], i) => {
        const before = rows[i - 1]
        if (before && time - before[0] > 1.7 * step) {
            const held = before.slice(1), gap = began(values) || began(held) ? held.map(() => null) : quiet(held)
            push(before[0] + step, gap)
            if (time - before[0] > 2.7 * step) push(time - step, gap)
        }
        push(time, values)
    })
    return out
}

// The columns up to now: what the last row said goes on.
export function untilNow(rows, series, step, now) {
    const last = rows.at(-1)
    if (!last || now - last[0] <= 1.7 * step || last.slice(1).every((v) => v === null)) return columns(rows, series, step)
    return columns([...rows, [now, ...last.slice(1).map((v, i) => (series[i].kind === 'LEVEL' ? v : series[i].kind === 'EACH' ? null : 0))]], series, step)
}

// The rows from that time on, and the one before them.
function since(rows, time) {
    const first = rows.findIndex((r) => r[0] > time)
    return first < 0 ? rows.slice(-1) : rows.slice(Math.max(0, first - 1))
}

const clock = (span) => (plot, times) => times.map((t) => new Date(1000 * t).toLocaleString(undefined, span > 2 * DAY ? { month: 'short', day: 'numeric' } : { hour: '2-digit', minute: '2-digit', hour12: false }))

// A chart of some of the series in a box of its own.
class Chart {
    constructor(what, sync) {
        this.what = what
        this.sync = sync
        this.box = h('div', { class: 'chart', role: 'img', 'aria-label': what.title }, what.lines.map((line, i) => h('span', { class: `ink${i}`, hidden: true })))
        this.legend = h('ul', { class: 'legend small' }, what.lines.map(([, words], i) => h('li', null, h('span', { class: `swatch mark${i}` }), `${words} `, h('span', { class: 'number' }))))
        this.element = h('figure', { class: 'card' }, h('figcaption', null, h('h3', null, what.title), this.legend), this.box)
    }
    say(data, at) {
        [...this.legend.querySelectorAll('.number')].forEach((place, i) => {
            const value = data?.[i + 1]?.[at]
            place.textContent = value === null || value === undefined ? '' : this.what.text(value)
        })
    }
    options(Plot, span) {
        const axis = { stroke: getComputedStyle(this.box).color, grid: { stroke: 'rgba(128,128,128,.25)', width: 1 }, ticks: { show: false } }
        const strokes = [...this.box.querySelectorAll('[hidden]')].map((x) => getComputedStyle(x).color)
        return {
            width: this.box.clientWidth, height: HEIGHT, legend: { show: false },
            cursor: { sync: { key: this.sync }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
            axes: [{ ...axis, values: clock(span), space: 70, size: 28 }, { ...axis, ...(this.what.steps ? { incrs: this.what.steps } : {}), values: (plot, values) => values.map(this.what.axis), size: (plot, values) => 12 + 7.2 * Math.max(3, ...(values ?? []).map((v) => v.length)), space: 36 }],
            scales: { x: { range: () => [this.now - span, this.now] }, y: { range: (plot, low, high) => [0, high > 0 ? 1.12 * high : 1] } },
            series: [{}, ...strokes.map((stroke) => ({ stroke, width: 2, points: { show: this.what.dots === true, size: 4, fill: stroke } }))],
            hooks: { setCursor: [(plot) => this.say(plot.data, plot.cursor.idx ?? plot.data[0].length - 1)] },
        }
    }
    draw(Plot, data, span, now) {
        const wide = this.box.clientWidth
        this.now = now
        if (this.plot && (this.span !== span || this.wide !== wide)) this.end()
        if (!this.plot && wide > 0) {
            Object.assign(this, { span, wide, plot: new Plot(this.options(Plot, span), data, this.box) })
            this.plot.root.setAttribute('aria-hidden', 'true')
        } else this.plot?.setData(data)
        this.say(data, this.plot?.cursor.idx ?? data[0].length - 1)
    }
    end() {
        this.plot?.destroy()
        this.plot = null
    }
}

// All charts, which look for new samples while the page is looked at. fail(error): the node refuses.
export class Charts {
    constructor(fail) {
        const span = newId('span')
        this.fail = fail
        this.rows = []
        this.charts = CHARTS.map((what) => new Chart(what, span))
        this.spans = h('select', { id: span, value: '900', onchange: () => this.begin() }, SPANS.map(([value, words]) => h('option', { value }, `the last ${words}`)))
        this.element = complete
            ? h('section', { 'aria-label': 'Over time', class: 'overtime' }, h('header', { class: 'line' }, h('h2', null, 'Over time'), h('div', { class: 'line' }, h('label', { for: span, class: 'small' }, 'Show'), this.spans)), h('div', { class: 'charts' }, this.charts.map((c) => c.element)))
            : h('p', { class: 'card muted' }, 'This build has no charts: it was made without npm.')
    }
    get span() { return Number(this.spans.value) }
    get step() { return this.span <= 6 * 3600 ? SHORT : LONG }
    async open() {
        if (!complete) return
        this.Plot = (await import('./lib/uplot.js')).default
        if (!document.querySelector('#uplot')) document.head.append(h('link', { id: 'uplot', rel: 'stylesheet', href: '/web/lib/uplot.css' }))
        this.resized = new ResizeObserver(() => this.draw())
        this.resized.observe(this.element)
        this.timer = setInterval(() => document.visibilityState === 'visible' && this.look(), SHORT * 1000)
        await this.begin()
    }
    begin() {
        this.rows = []
        this.asked = 0
        return this.look()
    }
    // Long steps have a last row that is not complete: they are asked for anew, a twelfth as often.
    async look() {
        const { step, span } = this, now = Date.now() / 1000
        if (this.busy || (step === LONG && now - this.asked < 12 * SHORT)) return this.draw()
        this.busy = true
        try {
            const last = step === SHORT ? this.rows.at(-1)?.[0] : 0, after = Math.floor(Math.max(last ?? 0, (this.at ?? now) - span))
            const got = await ask('GET', `/caravan/v1/history?step=${step}&after=${after}`)
            this.asked = now
            this.at = got.now
            if (step === this.step) Object.assign(this, { series: got.series, rows: since(step === SHORT ? [...this.rows, ...got.rows.filter((r) => r[0] > (last ?? 0))] : got.rows, got.now - span) })
            this.fail(null)
        } catch (error) {
            this.fail(error)
        } finally {
            this.busy = false
        }
        if (step === this.step && span === this.span) this.draw()
        else await this.begin()
    }
    draw() {
        if (this.closed || !this.Plot || !this.series) return
        const all = untilNow(this.rows, this.series, this.step, this.at)
        for (const chart of this.charts) chart.draw(this.Plot, [all[0], ...chart.what.lines.map(([name]) => all[1 + this.series.findIndex((s) => s.name === name)])], this.span, this.at)
    }
    close() {
        this.closed = true
        clearInterval(this.timer)
        this.resized?.disconnect()
        for (const chart of this.charts) chart.end()
    }
}
