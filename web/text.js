// SPDX-License-Identifier: MIT
// A model's text as Markdown: parsed by marked, cleaned by DOMPurify, code coloured by highlight.js. The text is foreign: what comes out has
// no scripts, styles, pictures or forms, and its links open elsewhere. Without those libraries (made.js) the text stays as it is.
import { copyText, h } from './dom.js'
import { complete, languages } from './made.js'

const TAGS = ['a', 'b', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'i', 'input', 'kbd', 'li', 'ol', 'p', 'pre', 's', 'span', 'strong', 'sub', 'sup', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'u', 'ul']
const CLEAN = { ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ['href', 'title', 'class', 'start', 'align', 'type', 'checked', 'disabled'], ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i, RETURN_DOM_FRAGMENT: true }
const PLAIN_TAG = /&lt;(\/?)(b|br|del|em|i|kbd|s|strong|sub|sup|u) ?\/?&gt;/gi // the HTML that a text may have; the rest is shown as it is written
const OTHER_NAMES = { sh: 'bash', shell: 'bash', zsh: 'bash', console: 'bash', js: 'javascript', mjs: 'javascript', jsx: 'javascript', ts: 'typescript', tsx: 'typescript', py: 'python', 'c++': 'cpp', cc: 'cpp', h: 'c', 'c#': 'csharp', cs: 'csharp', golang: 'go', html: 'xml', svg: 'xml', yml: 'yaml', rs: 'rust', rb: 'ruby', md: 'markdown', toml: 'ini', kt: 'kotlin', make: 'makefile', patch: 'diff', docker: 'dockerfile' }

let marked = null, purify = null, loading = null, highlight = null
const known = new Map() // language -> promise of its rules

export function prepareText() {
    if (!complete) return Promise.resolve()
    loading ??= Promise.all([import('./lib/marked.js'), import('./lib/purify.js')]).then(([m, p]) => {
        marked = new m.Marked({ gfm: true, breaks: true, renderer: { html: ({ text }) => escape(text).replace(PLAIN_TAG, '<$1$2>'), image: ({ href, text }) => `<a href="${encodeURI(href)}">picture: ${escape(text || href)}</a>` } })
        purify = p.default
        purify.addHook('afterSanitizeAttributes', (node) => {
            if (node.nodeName === 'A') {
                node.setAttribute('target', '_blank')
                node.setAttribute('rel', 'noopener noreferrer')
            }
            if (node.nodeName === 'INPUT') node.setAttribute('disabled', '')
        })
    })
    return loading
}

const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])

async function colour(code, language) {
    const name = OTHER_NAMES[language] ?? language
    if (!languages.includes(name) || code.textContent.length > 100000) return
    highlight ??= import('./lib/highlight.js').then((m) => m.default)
    const hljs = await highlight
    if (!known.has(name)) known.set(name, import(`./lib/highlight-${name}.js`).then((m) => hljs.registerLanguage(name, m.default)))
    await known.get(name)
    code.replaceChildren(purify.sanitize(hljs.highlight(code.textContent, { language: name }).value, CLEAN))
}

// A block of code gets its language's name, a button that copies it, and colours once it is complete.
function dressCode(pre, done) {
    const code = pre.querySelector('code')
    const language = /language-(\S+)/.exec(code?.className ?? '')?.[1]?.toLowerCase() ?? ''
    if (!code) return
    const box = h('div', { class: 'code' })
    pre.replaceWith(box)
    const button = h('button', { type: 'button', class: 'button small quiet', onclick: () => copyText(code.textContent, button) }, 'Copy')
    pre.tabIndex = 0 // it scrolls
    box.append(h('div', { class: 'code-head' }, h('span', { class: 'muted' }, language || 'text'), button), pre)
    if (done) colour(code, language).catch(() => {})
}

function renderBlock(token, done) {
    const block = h('div', { class: 'block' })
    block.append(purify.sanitize(marked.parser([token]), CLEAN))
    for (const pre of block.querySelectorAll('pre')) dressCode(pre, done)
    for (const table of block.querySelectorAll('table')) {
        const box = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table' })
        table.replaceWith(box)
        box.append(table)
    }
    for (const box of block.querySelectorAll('input')) box.setAttribute('aria-label', box.checked ? 'done' : 'open')
    return block
}

// Shows text in the element. While it grows (done false), blocks that have not changed stay as they are, so that they can be selected.
export function renderText(element, text, done) {
    if (!marked) {
        element.classList.add('plain')
        if (element.textContent !== text) element.textContent = text
        return
    }
    element.classList.remove('plain')
    const tokens = marked.lexer(text).filter((token) => token.type !== 'space')
    const had = element.blocks ?? []
    element.blocks = tokens.map((token, i) => ({ raw: token.raw, done: done || i < tokens.length - 1 }))
    let same = 0
    while (same < had.length && same < tokens.length && had[same].raw === tokens[same].raw && had[same].done === element.blocks[same].done) same++
    if (had.length === 0) element.replaceChildren()
    while (element.childNodes.length > same) element.lastChild.remove()
    for (let i = same; i < tokens.length; i++) element.append(renderBlock(tokens[i], element.blocks[i].done))
}
