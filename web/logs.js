// SPDX-License-Identifier: MIT
// The log's page: what this node and its processes write, as it comes. The stream is open while the page is looked at, and the newest lines
// are kept, not all.
import { announce, download, h, newId, show } from './dom.js'
import { events, request, troubleNotice } from './api.js'
import { live } from './live.js'

const KEPT = 2000, SHOWN = 500, RETRY_MS = 2000, DRAW_MS = 150, LEVELS = [['error', 'errors'], ['warn', 'warnings'], ['info', 'what happens'], ['debug', 'everything']]

const fieldsOf = (line) => Object.entries(line.fields ?? {}).map(([name, value]) => ` ${name}=${value}`).join('')
const wordsOf = (line) => `${line.message}${fieldsOf(line)}`
const textOf = (line) => `${line.time} ${line.level} ${line.process ? `${line.process} ` : ''}${line.component}: ${wordsOf(line)}${line.request_id ? ` (request ${line.request_id})` : ''}`

function lineRow(line) {
    return h('li', { 'data-key': line.id, class: line.level },
        h('time', { datetime: line.time, title: line.time }, line.time.slice(11, 23)), ' ', h('span', { class: 'level' }, line.level), ' ',
        h('span', { class: 'muted' }, `${line.process ? `${line.process} ` : ''}${line.component}`), ' ', h('span', { class: 'words' }, wordsOf(line)))
}

class LogPage {
    constructor(main) {
        const level = newId('level'), find = newId('find')
        this.lines = []
        this.count = 0
        this.level = h('select', { id: level, value: 'info', onchange: () => this.restart() }, LEVELS.map(([value, words]) => h('option', { value }, `${value}: ${words}`)))
        this.find = h('input', { id: find, type: 'search', placeholder: 'a word, a request\'s id', oninput: () => this.draw() })
        this.hold = h('button', { type: 'button', class: 'button', 'aria-pressed': 'false', onclick: () => this.pause() }, 'Pause')
        this.list = h('ol', null)
        this.box = h('div', { class: 'log', tabindex: '0', role: 'region', 'aria-label': 'Log lines' }, this.list)
        this.note = h('div', null)
        this.root = h('div', { class: 'page logs' },
            h('header', null, h('div', null, h('h1', null, 'Log'), h('p', { class: 'lead' }, 'What ', live.status?.nodes?.find((n) => n.self)?.name ?? 'this node', ' and its processes write; ', h('code', null, 'caravan logs -f'), ' shows the same.')),
                h('div', { class: 'actions' }, this.hold, h('button', { type: 'button', class: 'button', onclick: () => this.save() }, 'Save'))),
            h('div', { class: 'form' }, h('div', { class: 'field' }, h('label', { for: level }, 'Up to'), this.level), h('div', { class: 'field' }, h('label', { for: find }, 'Only lines with'), this.find)),
            this.note, this.box)
        main.append(this.root)
        this.onVisible = () => (document.visibilityState === 'visible' ? this.restart() : this.stream?.abort())
        document.addEventListener('visibilitychange', this.onVisible)
        this.restart()
    }
    close() {
        this.closed = true
        this.stream?.abort()
        clearTimeout(this.timer)
        document.removeEventListener('visibilitychange', this.onVisible)
    }
    // Begins the stream anew: the last lines come again.
    restart() {
        this.stream?.abort()
        this.stream = new AbortController()
        this.lines = []
        this.follow(this.stream)
    }
    async follow(stream) {
        while (!this.closed && !stream.signal.aborted) {
            try {
                const response = await request('GET', `/caravan/v1/logs?level=${this.level.value}&lines=${SHOWN}`, undefined, { signal: stream.signal })
                this.lines = []
                show(this.note)
                this.draw()
                for await (const { event, data } of events(response)) if (event === 'line' && !stream.signal.aborted) this.add(JSON.parse(data))
            } catch (error) {
                if (error.name === 'AbortError' || stream.signal.aborted) return
                show(this.note, troubleNotice(error))
                if (error.status === 403) return
            }
            await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
        }
    }
    add(line) {
        this.lines.push({ ...line, id: `line${this.count++}` })
        if (this.lines.length > KEPT) this.lines.shift()
        this.timer ??= setTimeout(() => {
            this.timer = null
            if (!this.paused) this.draw()
        }, DRAW_MS)
    }
    wanted() {
        const word = this.find.value.trim().toLowerCase()
        return word ? this.lines.filter((line) => textOf(line).toLowerCase().includes(word)) : this.lines
    }
    draw() {
        if (this.closed) return
        const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 60, lines = this.wanted().slice(-SHOWN)
        show(this.list, lines.map(lineRow), lines.length === 0 && h('li', { class: 'muted', 'data-key': 'none' }, this.lines.length > 0 ? 'No line has this word.' : 'No line of this level yet.'))
        if (atEnd) this.box.scrollTop = this.box.scrollHeight
    }
    pause() {
        this.paused = !this.paused
        this.hold.setAttribute('aria-pressed', String(this.paused))
        announce(this.paused ? 'The list stands still' : 'The list goes on')
        if (!this.paused) this.draw()
    }
    save() {
        download('caravan.log', 'text/plain', this.wanted().map((line) => `${textOf(line)}\n`).join(''))
    }
}

export function open(main) {
    const page = new LogPage(main)
    return () => page.close()
}
