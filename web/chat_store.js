// SPDX-License-Identifier: MIT
// The conversations of this browser, in IndexedDB; in memory where the browser refuses that. They never leave the browser but as requests.
const NAME = 'caravan', STORE = 'chats'
let opened = null
const memory = new Map()

function open() {
    opened ??= new Promise((resolve) => {
        try {
            const request = indexedDB.open(NAME, 1)
            request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' })
            request.onsuccess = () => resolve(request.result)
            request.onerror = () => resolve(null)
        } catch {
            resolve(null)
        }
    })
    return opened
}

// Runs fn on the store and resolves to its request's result.
async function run(mode, fn, otherwise) {
    const db = await open()
    if (!db) return otherwise()
    return new Promise((resolve, reject) => {
        const transaction = db.transaction(STORE, mode)
        const request = fn(transaction.objectStore(STORE))
        transaction.oncomplete = () => resolve(request.result)
        transaction.onerror = transaction.onabort = () => reject(transaction.error)
    })
}

// The newest first.
export async function listChats() {
    const all = await run('readonly', (store) => store.getAll(), () => [...memory.values()])
    return all.sort((a, b) => b.changed - a.changed)
}

export function saveChat(chat) {
    const copy = structuredClone(chat)
    return run('readwrite', (store) => store.put(copy), () => void memory.set(copy.id, copy))
}

export const dropChat = (id) => run('readwrite', (store) => store.delete(id), () => void memory.delete(id))
export const dropAllChats = () => run('readwrite', (store) => store.clear(), () => memory.clear())

export const newChat = () => ({ id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`, title: '', model: '', system: '', sampling: {}, tools: '', messages: [], made: Date.now(), changed: Date.now() })

function fence(text) {
    let ticks = '```'
    while (text.includes(ticks)) ticks += '`'
    return ticks
}

// The text of a message as the model gets it: its files stand before what was written.
export function textOf(message) {
    const files = (message.files ?? []).filter((f) => f.text !== undefined)
    return [...files.map((f) => `File "${f.name}":\n${fence(f.text)}\n${f.text}\n${fence(f.text)}\n`), message.text].join('\n')
}

// A conversation as Markdown, for people.
export function chatMarkdown(chat) {
    const lines = [`# ${chat.title || 'A conversation'}`, '']
    if (chat.system) lines.push('## System', '', chat.system, '')
    for (const message of chat.messages) {
        lines.push(message.role === 'user' ? '## You' : message.role === 'tool' ? `## Result of ${message.name}` : `## ${message.model ?? 'Answer'}`, '', textOf(message), '')
        for (const file of message.files ?? []) if (file.picture) lines.push(`(picture: ${file.name})`, '')
        for (const call of message.calls ?? []) lines.push(`Calls \`${call.name}\`:`, '', '```json', call.arguments, '```', '')
    }
    return lines.join('\n')
}
