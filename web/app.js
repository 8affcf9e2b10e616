// SPDX-License-Identifier: MIT
// The shell: navigation, the state of the node in one line, light and dark. A page is a module with open(main, path), which shows the page
// in main and returns what ends it.
import { h, s, show, announce } from './dom.js'
import { rate, plural } from './format.js'
import { key, request, setKey } from './api.js'
import { live, startLive, totalRate, watch } from './live.js'

const pages = [
    { id: 'chat', name: 'Chat', icon: 'M4 5h16v11H10l-4 4v-4H4z', load: () => import('./chat.js') },
    { id: 'cluster', name: 'Cluster', icon: 'M12 3a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M5 15a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M19 15a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5M10.8 8 6.3 15M13.2 8l4.5 7M7.5 17.5h9', load: () => import('./cluster.js') },
    { id: 'models', name: 'Models', icon: 'M4 7l8-4 8 4v10l-8 4-8-4zM4 7l8 4 8-4M12 11v10', load: () => import('./models.js') },
    { id: 'plan', name: 'Plan', icon: 'M5 3h14v18H5zM9 8h6M9 12h2M14 12h1M9 16h2M14 16h1', load: () => import('./plan.js') },
    { id: 'connect', name: 'Connect', icon: 'M9 8V3M15 8V3M6 8h12v4a6 6 0 0 1-12 0zM12 18v3', load: () => import('./connect.js') },
    { id: 'anatomy', name: 'Anatomy', title: 'Anatomy of a token', icon: 'M3 6h18M3 12h11M3 18h6', load: () => import('./anatomy.js') },
    { id: 'activity', name: 'Activity', icon: 'M3 12h4l3-8 4 16 3-8h4', load: () => import('./activity.js') },
    { id: 'logs', name: 'Log', icon: 'M5 4h14v16H5zM8 8h8M8 12h8M8 16h5', load: () => import('./logs.js') },
]

const main = document.querySelector('main'), nav = document.querySelector('nav'), menu = document.querySelector('.menu')
let close = null, current = null, trouble

function setMenu(open) {
    nav.classList.toggle('open', open)
    menu.setAttribute('aria-expanded', String(open))
    menu.textContent = open ? 'Close' : 'Menu'
}

function themeSwitch() {
    const root = document.documentElement
    const set = (theme) => {
        root.dataset.theme = theme
        localStorage.setItem('caravan.theme', theme)
        showNav()
    }
    return h('div', { class: 'switch', role: 'group', 'aria-label': 'Colours' },
        [['light', 'Light'], ['system', 'System'], ['dark', 'Dark']].map(([theme, name]) =>
            h('button', { type: 'button', class: 'button', 'aria-pressed': String(root.dataset.theme === theme), onclick: () => set(theme) }, name)))
}

function showNav() {
    show(nav,
        pages.map((page) => h('a', { href: `#/${page.id}`, 'aria-current': page === current && 'page', onclick: () => setMenu(false) }, s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, s('path', { d: page.icon })), page.name)),
        h('div', { class: 'foot' },
            live.trouble?.status === 401 && h('button', { type: 'button', class: 'button small', onclick: () => request('GET', '/caravan/v1/status').catch(() => {}) }, 'Enter the API key'),
            key() && h('button', { type: 'button', class: 'button small', onclick: () => (setKey(''), location.reload()) }, 'Forget the API key'),
            themeSwitch(),
            live.status && h('p', { class: 'muted' }, `Caravan ${live.status.version}`)))
}

function showLive() {
    const line = document.querySelector('.live'), own = live.status?.nodes?.find((n) => n.self)
    line.classList.toggle('good', live.connected)
    line.classList.toggle('bad', Boolean(live.trouble))
    const speed = totalRate()
    const text = live.trouble ? `${own?.name ?? 'The node'}: ${live.trouble.message}`
        : !live.status ? 'Connecting' : `${own?.name ?? 'Connected'}, ${plural(live.status.nodes?.length ?? 1, 'machine')}${speed > 0 ? `, ${rate(speed)} tokens/s` : ''}`
    if (line.textContent !== text) line.replaceChildren(h('span', null, text))
    if (live.trouble && trouble !== live.trouble.message) announce(text)
    trouble = live.trouble?.message
    showNav()
}

async function route() {
    const [id, ...rest] = location.hash.replace(/^#\/?/, '').split('/')
    const page = pages.find((p) => p.id === id) ?? pages[0], path = rest.map(decodeURIComponent)
    setMenu(false)
    if (page === current && close?.go?.(path)) return
    close?.()
    close = null
    current = page
    document.title = `${page.title ?? page.name} - Caravan`
    showNav()
    try {
        const module = await page.load()
        if (current !== page) return
        main.replaceChildren()
        main.scrollTop = 0
        close = module.open(main, path)
    } catch (error) {
        console.error(error)
        show(main, h('p', { class: 'empty' }, 'This page could not be loaded: ', error.message, '. Does the node still run?'))
    }
}

function onKeys(event) {
    if (event.key === 'Escape' && nav.classList.contains('open')) {
        setMenu(false)
        menu.focus()
    }
}

menu.addEventListener('click', () => setMenu(!nav.classList.contains('open')))
document.querySelector('.skip').addEventListener('click', (event) => (event.preventDefault(), main.focus()))
addEventListener('keydown', onKeys)
addEventListener('hashchange', () => route().then(() => announce(current.name)))
watch(showLive)
showLive()
route()
startLive()
