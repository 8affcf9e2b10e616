// SPDX-License-Identifier: MIT
// The chat page: the conversations of this browser beside the one that is open, and what is asked next. An answer that comes goes on
// when another page is looked at.
import { announce, download, h, question, show } from './dom.js'
import { bytes, ago } from './format.js'
import { ask } from './api.js'
import { live, watch } from './live.js'
import { chatMarkdown, dropAllChats, dropChat, listChats, newChat, saveChat } from './chat_store.js'
import { Run } from './chat_run.js'
import { answerElement, questionElement, resultElement } from './chat_view.js'
import { editSettings } from './chat_settings.js'
import { readFile } from './chat_files.js'
import { prepareText } from './text.js'

const SAVE_MS = 1000, DRAW_MS = 60
const runs = new Map() // chat id -> its Run
const LAST_MODEL = 'caravan.model'

// What the model of this name is doing, for whoever waits for it.
function waitingFor(name) {
    const model = live.models?.find((m) => m.name === name), instance = model?.instances.find((i) => i.state !== 'failed') ?? model?.instances[0]
    if (live.trouble) return `${live.trouble.message}; trying again`
    if (!instance || model.state === 'ready') return ''
    if (instance.state === 'loading') return `The model is being loaded: ${instance.progress} %`
    return instance.message || ''
}

class ChatPage {
    constructor(main) {
        this.main = main
        this.chats = []
        this.chat = newChat()
        this.models = []
        this.files = []
        this.answers = new Map() // message -> element
        this.build()
    }
    build() {
        this.list = h('ul', { class: 'chats' })
        this.thread = h('div', { class: 'thread', tabindex: '-1' })
        this.models_field = h('select', { 'aria-label': 'Model', class: 'model', onchange: () => this.choose(this.models_field.value) })
        this.text = h('textarea', { rows: 1, 'aria-label': 'Your message', placeholder: 'Ask something', onkeydown: (e) => this.onKey(e), oninput: () => this.fit(), onpaste: (e) => this.onPaste(e) })
        this.file = h('input', { type: 'file', multiple: true, hidden: true, onchange: () => (this.addFiles([...this.file.files]), (this.file.value = '')) })
        this.chips = h('ul', { class: 'files' })
        this.send = h('button', { class: 'button primary' }, 'Send')
        this.trouble = h('div', null)
        this.down = h('button', { type: 'button', class: 'button small down', hidden: true, onclick: () => this.toEnd(true) }, 'To the newest')
        this.clear = h('button', { type: 'button', class: 'button small quiet', hidden: true, onclick: () => this.dropAll() }, 'Delete all')
        this.side = h('details', { class: 'side' }, h('summary', null, 'Conversations'),
            h('div', { class: 'actions' }, h('a', { href: '#/chat', class: 'button small', onclick: () => this.begin() }, 'New conversation'), this.clear), this.list)
        this.side.open = matchMedia('(min-width: 1100px)').matches
        this.form = h('form', { class: 'composer', onsubmit: (e) => (e.preventDefault(), this.onSend()) }, this.trouble, this.chips,
            h('div', { class: 'row' }, h('button', { type: 'button', class: 'button', 'aria-label': 'Add pictures or text files', title: 'Add pictures or text files', onclick: () => this.file.click() }, '+'), this.file, this.text, this.send))
        this.title = h('h1', null, 'Chat')
        show(this.main, h('div', { class: 'chat' }, this.side,
            h('section', { class: 'talk', 'aria-label': 'Conversation', ondragover: (e) => e.preventDefault(), ondrop: (e) => (e.preventDefault(), this.addFiles([...e.dataTransfer.files])) },
                h('header', null, this.title, this.models_field,
                    h('span', { class: 'actions' }, h('button', { type: 'button', class: 'button', onclick: () => this.settings() }, 'Settings'), h('button', { type: 'button', class: 'button', onclick: () => this.exportChat() }, 'Export'), h('button', { type: 'button', class: 'button', onclick: () => this.drop(this.chat) }, 'Delete'))),
                this.thread, this.down, this.form)))
        this.thread.addEventListener('scroll', () => (this.down.hidden = this.atEnd()))
    }
    async start(path) {
        await prepareText().catch(() => {})
        this.unwatch = watch(() => this.onLive())
        await this.loadModels()
        await this.go(path)
    }
    close() {
        this.unwatch?.()
        this.closed = true
        for (const run of runs.values()) run.changed = (r) => this.keepSaving(r)
    }
    go(path) {
        this.open(path[0]).catch((error) => this.fail(error))
        return true
    }
    // ---- models ----
    async loadModels() {
        try {
            this.models = (await ask('GET', '/v1/models')).data
            this.fail(null)
        } catch (error) {
            this.fail(error)
        }
        this.showModels()
    }
    showModels() {
        const ready = this.models.filter((m) => m.ready), others = this.models.filter((m) => !m.ready)
        const option = (m) => h('option', { value: m.id }, m.id)
        if (!this.chat.model || !this.models.some((m) => m.id === this.chat.model)) {
            const last = localStorage.getItem(LAST_MODEL)
            const found = this.models.find((m) => m.id === last) ?? ready[0] ?? others[0]
            if (this.chat.messages.length === 0 || !this.chat.model) this.chat.model = found?.id ?? ''
        }
        const gone = this.chat.model && !this.models.some((m) => m.id === this.chat.model)
        show(this.models_field, this.models.length === 0 && h('option', { value: '' }, 'no model'), gone && h('option', { value: this.chat.model }, `${this.chat.model} (not here)`),
            ready.length > 0 && h('optgroup', { label: 'Loaded' }, ready.map(option)), others.length > 0 && h('optgroup', { label: 'Loaded when asked' }, others.map(option)))
        this.models_field.value = this.chat.model
        this.showHello()
    }
    choose(model) {
        this.chat.model = model
        localStorage.setItem(LAST_MODEL, model)
        if (this.chat.messages.length > 0) saveChat(this.chat)
    }
    onLive() {
        const names = (live.models ?? []).map((m) => `${m.name} ${m.state}`).join()
        if (names !== this.names && live.connected) {
            this.names = names
            this.loadModels()
        }
        const run = runs.get(this.chat.id)
        if (run && (run.silent || run.tokens === 0)) this.draw(run)
    }
    // ---- conversations ----
    async showList() {
        this.chats = await listChats()
        this.clear.hidden = this.chats.length === 0
        show(this.list, this.chats.map((chat) => h('li', { 'data-key': chat.id },
            h('a', { href: `#/chat/${chat.id}`, 'aria-current': chat.id === this.chat.id && 'page' }, h('span', null, chat.title || 'Untitled'), h('small', { class: 'muted' }, runs.has(chat.id) ? 'is being answered' : ago(chat.changed / 1000))))),
            this.chats.length === 0 && h('li', { class: 'muted small' }, 'None yet. They stay in this browser.'))
    }
    begin() {
        this.chat = newChat()
        this.files = []
        this.showModels()
        this.showThread()
        this.showList()
        this.text.focus()
    }
    async open(id) {
        if (!id || id !== this.chat.id) {
            const found = runs.get(id)?.chat ?? (await listChats()).find((c) => c.id === id)
            if (!found) {
                this.begin()
                return
            }
            this.chat = found
        }
        if (matchMedia('(max-width: 1099px)').matches) this.side.open = false
        this.showModels()
        this.showThread()
        this.showList()
        const run = runs.get(this.chat.id)
        if (run) this.attach(run)
        this.toEnd(true)
    }
    async drop(chat) {
        const yes = await question({ title: 'Delete this conversation?', body: h('p', null, chat.title || 'It has no title yet.'), buttons: [{ name: 'Keep it' }, { name: 'Delete', value: true, kind: 'danger' }] })
        if (!yes) return
        runs.get(chat.id)?.stop()
        await dropChat(chat.id)
        location.hash = '#/chat'
        this.begin()
    }
    async dropAll() {
        const yes = await question({ title: `Delete all ${this.chats.length} conversations?`, body: h('p', null, 'They are in this browser only; nothing brings them back.'), buttons: [{ name: 'Keep them' }, { name: 'Delete all', value: true, kind: 'danger' }] })
        if (!yes) return
        for (const run of runs.values()) run.stop()
        await dropAllChats()
        location.hash = '#/chat'
        this.begin()
    }
    async exportChat() {
        const how = await question({ title: 'Export this conversation', body: h('p', null, 'Markdown is for people, JSON has everything.'), buttons: [{ name: 'Cancel' }, { name: 'JSON', value: 'json' }, { name: 'Markdown', value: 'md', kind: 'primary' }] })
        const name = (this.chat.title || 'conversation').replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 60)
        if (how === 'md') download(`${name}.md`, 'text/markdown', chatMarkdown(this.chat))
        if (how === 'json') download(`${name}.json`, 'application/json', JSON.stringify(this.chat, null, 2))
    }
    async settings() {
        if (await editSettings(this.chat)) await this.save()
    }
    async save() {
        if (this.chat.messages.length === 0) return
        this.chat.changed = Date.now()
        await saveChat(this.chat).catch((error) => this.fail(new Error(`this browser did not keep the conversation: ${error.message}`)))
        if (!this.closed) await this.showList()
    }
    // ---- what is shown ----
    showHello() {
        if (this.chat.messages.length > 0) return
        const name = this.chat.model
        show(this.thread, h('div', { class: 'empty hello' }, this.models.length === 0
            ? [h('p', null, 'There is no model in this cluster yet.'), h('p', { class: 'small' }, 'Put a GGUF file into the models folder of any machine, or run: caravan pull hf:OWNER/REPO')]
            : [h('p', null, 'Ask ', h('strong', null, name), ' something.'), h('p', { class: 'small' }, this.models.find((m) => m.id === name)?.ready ? 'It is loaded.' : 'It is loaded when you ask, which takes a while.')]))
    }
    showThread() {
        this.answers.clear()
        this.title.textContent = this.chat.title || 'Chat'
        document.title = `${this.chat.title || 'Chat'} - Caravan`
        if (this.chat.messages.length === 0) this.showHello()
        else this.thread.replaceChildren(...this.chat.messages.map((message, i) => this.element(message, i)))
        this.showSend()
    }
    element(message, i) {
        const chat = this.chat
        if (message.role === 'user') return questionElement(message, { onEdit: (text) => this.askAgain(i, text) })
        if (message.role === 'tool') return resultElement(message)
        const element = answerElement(message, {
            run: runs.get(chat.id)?.answer === message ? runs.get(chat.id) : null,
            waiting: waitingFor(chat.model),
            results: chat.messages.filter((m) => m.role === 'tool'),
            onRegenerate: i === chat.messages.length - 1 ? () => this.regenerate() : null,
            onWithout: i === chat.messages.length - 1 && chat.messages.some((m) => m.files?.some((f) => f.picture)) ? () => this.askWithout() : null,
            onResult: (call, text) => this.giveResult(call, text),
        })
        this.answers.set(message, element)
        return element
    }
    showSend() {
        const busy = runs.has(this.chat.id)
        this.send.textContent = busy ? 'Stop' : 'Send'
        this.send.classList.toggle('primary', !busy)
    }
    fail(error) {
        show(this.trouble, error && h('div', { class: 'notice bad', role: 'alert' }, h('p', null, error.message), error.hint && h('p', { class: 'small' }, error.hint)))
    }
    atEnd() {
        return this.thread.scrollHeight - this.thread.scrollTop - this.thread.clientHeight < 80
    }
    toEnd(always) {
        if (always || this.stuck) this.thread.scrollTop = this.thread.scrollHeight
        this.down.hidden = this.atEnd()
    }
    fit() {
        this.text.style.height = 'auto'
        this.text.style.height = `${Math.min(this.text.scrollHeight + 2, innerHeight * 0.4)}px`
    }
    // ---- asking ----
    onKey(event) {
        if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && !matchMedia('(pointer: coarse)').matches) {
            event.preventDefault()
            if (!runs.has(this.chat.id)) this.onSend()
        }
    }
    onSend() {
        const run = runs.get(this.chat.id), text = this.text.value.trim()
        if (run) return run.stop()
        if (!text && this.files.length === 0) return
        this.chat.messages.push({ role: 'user', text, files: this.files })
        this.chat.title ||= text.split('\n')[0].slice(0, 80) || this.files[0].name
        this.text.value = ''
        this.files = []
        this.showFiles()
        this.fit()
        this.answer()
    }
    askAgain(i, text) {
        if (runs.has(this.chat.id)) return
        const { files } = this.chat.messages[i]
        this.chat.messages.splice(i)
        this.chat.messages.push({ role: 'user', text, files })
        this.answer()
    }
    regenerate() {
        if (runs.has(this.chat.id)) return
        this.chat.messages.pop()
        this.answer()
    }
    // The model takes no pictures: the same conversation without them.
    askWithout() {
        for (const message of this.chat.messages) if (message.files) message.files = message.files.filter((f) => !f.picture)
        this.regenerate()
    }
    giveResult(call, text) {
        this.chat.messages.push({ role: 'tool', call: call.id, name: call.name, text })
        const calls = this.chat.messages.flatMap((m) => m.calls ?? []), results = this.chat.messages.filter((m) => m.role === 'tool')
        if (calls.every((c) => results.some((r) => r.call === c.id))) this.answer()
        else this.showThread()
    }
    async answer() {
        const chat = this.chat, answer = { role: 'assistant', text: '', model: chat.model }
        const run = new Run({ ...chat, messages: [...chat.messages] }, answer, () => {})
        chat.messages.push(answer)
        run.chat.id = chat.id
        run.kept = chat
        runs.set(chat.id, run)
        this.attach(run)
        this.showThread()
        this.toEnd(true)
        await this.save()
        history.replaceState(null, '', `#/chat/${chat.id}`)
        await run.run()
        runs.delete(chat.id)
        chat.changed = Date.now()
        await saveChat(chat).catch(() => {})
        if (this.closed) return
        this.showList()
        if (this.chat !== chat) return
        this.draw(run)
        this.showThread()
        this.toEnd(false)
        announce(answer.error ? `The answer failed: ${answer.error.message}` : 'The answer is complete')
    }
    // Draws what comes, no more often than the browser can.
    attach(run) {
        if (run.kept) this.chat = run.kept
        run.changed = () => {
            this.keepSaving(run)
            if (this.drawing || this.closed) return
            this.drawing = setTimeout(() => {
                this.drawing = null
                const began = performance.now()
                if (!run.done) this.draw(run)
                this.pause = Math.max(DRAW_MS, 4 * (performance.now() - began))
            }, this.pause ?? DRAW_MS)
        }
    }
    draw(run) {
        this.stuck = this.atEnd()
        this.answers.get(run.answer)?.refresh({ run, waiting: waitingFor(this.chat.model) })
        this.toEnd(false)
    }
    keepSaving(run) {
        if (performance.now() - (run.savedAt ?? 0) < SAVE_MS) return
        run.savedAt = performance.now()
        saveChat(run.kept).catch(() => {})
    }
    // ---- files ----
    onPaste(event) {
        const files = [...event.clipboardData.files]
        if (files.length === 0) return
        event.preventDefault()
        this.addFiles(files)
    }
    async addFiles(files) {
        this.fail(null)
        for (const file of files) await readFile(file).then((read) => this.files.push(read), (error) => this.fail(error))
        this.showFiles()
        this.text.focus()
    }
    showFiles() {
        show(this.chips, this.files.map((f, i) => h('li', { class: 'chip', 'data-key': `${i} ${f.name}` }, f.picture ? h('img', { src: f.picture, alt: '' }) : null, f.picture ? f.name : `${f.name}, ${bytes(f.text.length)}`,
            h('button', { type: 'button', class: 'button quiet small', 'aria-label': `Remove ${f.name}`, onclick: () => (this.files.splice(i, 1), this.showFiles()) }, '×'))))
    }
}

export function open(main, path) {
    const page = new ChatPage(main)
    const close = () => page.close()
    close.go = (next) => page.go(next)
    page.start(path)
    return close
}
