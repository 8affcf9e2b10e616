// SPDX-License-Identifier: MIT
// One answer that streams in: what is sent, what comes, and what is told of a machine that goes meanwhile. It runs on when another page is
// looked at. Events go to `changed`.
import { events, request } from './api.js'
import { textOf } from './chat_store.js'

const SILENT_MS = 1500 // without a token for so long, the answer waits for something

// The messages of the API for those of a conversation.
function wireMessages(chat) {
    const list = chat.system ? [{ role: 'system', content: chat.system }] : []
    for (const message of chat.messages) {
        if (message.role === 'tool') list.push({ role: 'tool', tool_call_id: message.call, content: message.text })
        else if (message.role === 'user') list.push({ role: 'user', content: content(message) })
        else if (message.text || message.calls?.length) list.push({ role: 'assistant', content: message.text, ...(message.calls?.length ? { tool_calls: message.calls.map((c) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.arguments } })) } : {}) })
    }
    return list
}

function content(message) {
    const pictures = (message.files ?? []).filter((f) => f.picture)
    if (pictures.length === 0) return textOf(message)
    return [...pictures.map((f) => ({ type: 'image_url', image_url: { url: f.picture } })), { type: 'text', text: textOf(message) }]
}

export function bodyOf(chat) {
    const { max_tokens, seed, stop, effort, ...sampling } = chat.sampling
    const body = { model: chat.model, messages: wireMessages(chat), stream: true, stream_options: { include_usage: true }, caravan_stats: true, ...sampling }
    if (max_tokens !== undefined) body.max_tokens = max_tokens
    if (seed !== undefined) body.seed = seed
    if (stop) body.stop = stop
    if (effort) body.reasoning_effort = effort
    if (chat.tools?.trim()) body.tools = JSON.parse(chat.tools)
    return body
}

function addCalls(answer, deltas) {
    answer.calls ??= []
    for (const { index, id, function: fn } of deltas) {
        const call = (answer.calls[index] ??= { id, name: '', arguments: '' })
        call.id ??= id
        call.name += fn?.name ?? ''
        call.arguments += fn?.arguments ?? ''
    }
}

export class Run {
    constructor(chat, answer, changed) {
        Object.assign(this, { chat, answer, changed, controller: new AbortController(), began: performance.now(), tokens: 0, silent: false })
    }
    stop() {
        this.controller.abort()
    }
    // Tokens a second since the first one; of the last moment, a pause counts. The text may come in one piece, long after it was computed, so
    // the time that the node measured counts if it is longer.
    get rate() {
        const tokens = this.answer.stats?.completion_tokens ?? this.tokens
        return this.tokens > 1 ? (1000 * (tokens - 1)) / Math.max(this.last - this.first, this.answer.stats?.decode_ms ?? 0) : 0
    }
    // Who answers: a node and one copy of the model, as in "alpha/3f2-1; model=name".
    place(text) {
        const [, node, instance] = /^([^/]*)\/([^;]*)/.exec(text) ?? []
        if (!node) return // told again: the same copy, on other machines
        if (this.tokens > 0) this.moved = node
        this.answer.node = node
        this.answer.instance = instance
    }
    // A token that comes after a move or a long pause says so.
    token() {
        const now = performance.now()
        if (this.tokens > 0 && (this.moved || this.silent)) (this.answer.moves ??= []).push({ to: this.moved, pause: (now - this.last) / 1000, at: this.tokens })
        this.moved = undefined
        this.silent = false
        this.first ??= now
        this.last = this.quiet = now
        this.tokens++
    }
    take(chunk) {
        const choice = chunk.choices?.[0], delta = choice?.delta ?? {}
        if (chunk.error) throw Object.assign(new Error(chunk.error.message), { hint: chunk.error.hint, status: 200 })
        if (delta.reasoning_content) {
            this.answer.reasoning = (this.answer.reasoning ?? '') + delta.reasoning_content
            this.thinking ??= performance.now()
        }
        if (delta.content) this.answer.text += delta.content
        if (delta.tool_calls) addCalls(this.answer, delta.tool_calls)
        if (this.thinking && !this.answer.thought && (delta.content || delta.tool_calls)) this.answer.thought = (performance.now() - this.thinking) / 1000
        if (delta.reasoning_content || delta.content || delta.tool_calls) this.token()
        if (choice?.finish_reason) this.answer.finish = choice.finish_reason
        if (chunk.usage) this.answer.stats = { ...chunk.usage, ...chunk.caravan, first_ms: this.first - this.began }
    }
    async read() {
        const response = await request('POST', '/v1/chat/completions', bodyOf(this.chat), { signal: this.controller.signal })
        this.place(response.headers.get('x-caravan-served-by') ?? '')
        this.changed(this)
        for await (const { data, comment } of events(response)) {
            if (comment?.startsWith('x-caravan-served-by: ')) this.place(comment.slice(21))
            if (data && data !== '[DONE]') this.take(JSON.parse(data))
            if (data === '[DONE]') this.whole = true
            this.changed(this)
        }
        if (!this.whole) throw new Error('the connection to this node was lost')
    }
    // Resolves when nothing comes any more; answer.error says what went wrong.
    async run() {
        this.quiet = performance.now()
        const timer = setInterval(() => {
            const silent = performance.now() - this.quiet > SILENT_MS
            if (silent !== this.silent || silent) {
                this.silent = silent
                this.changed(this)
            }
        }, 250)
        try {
            await this.read()
        } catch (error) {
            if (error.name === 'AbortError') this.answer.stopped = true
            else this.answer.error = { message: error.status === undefined ? 'the connection to this node was lost' : error.message, hint: error.hint ?? '' }
        } finally {
            clearInterval(timer)
            this.done = true
            if (this.tokens > 1) this.answer.rate = this.rate
        }
    }
}
