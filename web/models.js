// SPDX-License-Identifier: MIT
// The models' page: what there is, where its file and its copies are, loading and unloading with what will happen said before, deleting.
import { h, question, show, newId } from './dom.js'
import { ago, bytes, count, plural, rate } from './format.js'
import { ask, oneAtATime, troubleNotice } from './api.js'
import { live, tokenRate, watch } from './live.js'
import { colourOf, heldBy } from './cluster_data.js'
import { getModel, pullsPart } from './models_pull.js'

const STATES = { ready: 'good', loading: 'warn', waiting: 'warn', failed: 'bad' }
const CACHE_TYPES = ['f16', 'q8_0', 'q4_0']

// What loading would mean, from what the machines offer now: words, and whether it looks possible.
function outlook(model) {
    const nodes = live.status.nodes.filter((n) => n.state !== 'suspect'), free = nodes.map((n) => ({ name: n.name, free: Math.max(0, n.memory - heldBy(n)) })).sort((a, b) => b.free - a.free)
    const need = model.bytes * 1.1, all = free.reduce((sum, n) => sum + n.free, 0)
    if (!model.bytes) return ['Its size is not known here.', true]
    if (free[0].free >= need) return [`Its weights (${bytes(model.bytes)}) fit on one machine: ${free.filter((n) => n.free >= need).map((n) => n.name).join(', ')}. The KV cache and room to compute come on top.`, true]
    if (all >= need) return [`No machine alone has room for its weights (${bytes(model.bytes)}); together they offer ${bytes(all)}, so it becomes a ring of ${free.filter((n) => n.free > 0).map((n) => n.name).join(', ')}.`, true]
    return [`Its weights need ${bytes(model.bytes)}; all machines together have ${bytes(all)} free. Idle models that nobody loaded by hand make room.`, false]
}

function wishField(name, label, help, input) {
    const id = newId('wish')
    input.id = id
    input.name = name
    return h('div', { class: 'field' }, h('label', { for: id }, label), input, h('p', { class: 'help' }, help))
}

// The fields of a wish: what a model may be loaded with.
export function wishFields(model, onchange) {
    const d = live.status.defaults ?? {}, number = (value, max) => h('input', { type: 'number', min: 1, max, placeholder: value ?? '' })
    return h('div', { class: 'form', onchange },
        wishField('ctx', 'Context', `tokens of one conversation${model.context_trained ? `; trained with ${count(model.context_trained)}` : ''}`, number(d.ctx, 10000000)),
        wishField('parallel', 'Answers at once', 'each has a context of its own', number(d.parallel, 1024)),
        wishField('replicas', 'Copies', 'more answers at once, where it fits whole', number(d.replicas, 64)),
        wishField('cache_type_k', 'KV cache', 'smaller types make longer contexts fit', h('select', null, h('option', { value: '' }, `as set (${d.cache_type_k ?? 'f16'})`), CACHE_TYPES.map((t) => h('option', { value: t }, t)))))
}

// The wish as the form says it; fields that are left empty are as the node is set.
export function wishOf(model, form) {
    const wish = { model: model.name }
    for (const field of form.querySelectorAll('input, select')) if (field.value !== '') wish[field.name] = field.type === 'number' ? Number(field.value) : field.value
    if (wish.cache_type_k) wish.cache_type_v = wish.cache_type_k
    return wish
}

// What the node plans: which machine gets which layers, and how fast it would be.
export function planPart(plan) {
    if (!plan.fits) return h('div', { class: 'notice warn' }, h('p', null, plan.text), plan.hint && h('p', { class: 'small' }, plan.hint))
    return [h('div', { class: 'strip', role: 'img', 'aria-label': 'Layers by machine' }, plan.stages.map((x) => {
        const part = h('span', { class: `back${colourOf(live.status.nodes.find((n) => n.name === x.node)?.id ?? x.node)}` }, `${x.node} ${x.first_layer}-${x.last_layer}`)
        part.style.flexGrow = String(x.last_layer - x.first_layer + 1)
        return part
    })),
    h('p', { class: 'number' }, `${plan.stages.length === 1 ? `Whole on ${plan.stages[0].node}` : `A ring of ${plan.stages.length} machines`}, ${bytes(plan.stages.reduce((sum, x) => sum + x.bytes, 0))} of memory${plan.tokens_per_second ? `, about ${rate(plan.tokens_per_second)} tokens/s for one answer` : ''}.`),
    h('details', null, h('summary', null, 'The plan in words'), h('pre', { class: 'code wrap', tabindex: '0' }, plan.text))]
}

async function loadModel(model, page) {
    const [words, possible] = outlook(model)
    const place = h('div', { class: 'plan', 'aria-live': 'polite' }, h('p', { class: possible ? 'notice' : 'notice warn' }, words))
    const form = wishFields(model, () => plan())
    const plan = oneAtATime(async (counts) => {
        try {
            const answer = await ask('POST', '/caravan/v1/models/plan', wishOf(model, form))
            if (counts()) show(place, planPart(answer))
        } catch (error) {
            if (counts() && error.status !== 404) show(place, h('div', { class: 'notice warn' }, h('p', null, error.message), error.hint && h('p', { class: 'small' }, error.hint))) // 404: the file is on another machine, which will plan it
        }
    })
    plan()
    const yes = await question({ title: `Load ${model.name}?`, body: [place, form], buttons: [{ name: 'Cancel' }, { name: 'Load it', value: true, kind: 'primary' }] })
    if (yes) await page.act('/caravan/v1/models/load', wishOf(model, form))
}

async function unloadModel(model, page) {
    const running = model.instances.reduce((sum, i) => sum + i.requests, 0), size = live.status.nodes.flatMap((n) => n.stages).filter((x) => model.instances.some((i) => i.instance === x.instance)).reduce((sum, x) => sum + x.bytes, 0)
    const yes = await question({ title: `Unload ${model.name}?`, body: [h('p', null, `${bytes(size)} of memory become free. ${running > 0 ? `${plural(running, 'answer')} that runs now ${running === 1 ? 'is' : 'are'} broken off or continued when it is loaded again.` : 'No answer runs now.'} Its file stays, and it is loaded again when somebody asks it.`)], buttons: [{ name: 'Keep it loaded' }, { name: 'Unload it', value: true, kind: 'danger' }] })
    if (yes) await page.act('/caravan/v1/models/unload', { model: model.name })
}

async function deleteModel(model, page) {
    const own = live.status.nodes.find((n) => n.self).name, others = model.files.filter((name) => name !== own)
    const yes = await question({
        title: `Delete ${model.name} from ${own}?`, buttons: [{ name: 'Keep it' }, { name: 'Delete the file', value: true, kind: 'danger' }],
        body: h('p', null, others.length > 0 ? `The file (${bytes(model.bytes)}) stays on ${others.join(', ')}.` : `No other machine has this file (${bytes(model.bytes)}): the cluster loses the model.`),
    })
    if (yes) await page.act(`/caravan/v1/models/${model.name.split('/').map(encodeURIComponent).join('/')}`, undefined, 'DELETE')
}

function instanceRow(instance, model) {
    const done = instance.progress, speed = tokenRate(instance.instance)
    const left = Math.max(0, ...instance.stages.map((x) => x.seconds_left ?? 0))
    return h('li', { 'data-key': instance.instance },
        h('p', null, h('span', { class: `chip ${STATES[instance.state] ?? ''}` }, instance.state), ' ', h('span', { class: 'small number' }, `${plural(instance.context, 'token')} of context, ${plural(instance.parallel, 'answer')} at once, ${instance.requests} running${speed > 0 ? `, ${rate(speed)} tokens/s` : ''}${instance.since ? `, loaded ${ago(instance.since)}` : ''}`)),
        instance.state === 'loading' && [h('progress', { max: 100, value: done, 'aria-label': `Loading of ${model.name}` }), h('p', { class: 'small muted number' }, `${done} %${left > 0 ? `, about ${left} s left` : ''}`)],
        instance.state !== 'ready' && instance.message && h('p', { class: `notice small${instance.state === 'failed' ? ' bad' : ''}` }, instance.message),
        instance.stages.length > 0 && h('ul', { class: 'stages' }, [...instance.stages].sort((a, b) => a.stage - b.stage).map((x) => h('li', { class: 'chip' }, h('span', { class: `swatch back${colourOf(live.status.nodes.find((n) => x.node === n.name || x.node.startsWith(`${n.name} (`))?.id)}` }), `${x.node}: ${x.first_layer}-${x.last_layer}, ${bytes(x.bytes)}`))))
}

function modelCard(model, page) {
    const facts = [model.parameters && `${count(model.parameters)} parameters`, model.quantisation, model.architecture, model.bytes && bytes(model.bytes), model.layers && plural(model.layers, 'layer')].filter(Boolean)
    const loaded = model.instances.some((i) => i.state !== 'failed'), own = live.status.nodes.find((n) => n.self).name
    return h('article', { class: 'card modelcard', 'data-key': model.name, 'aria-label': model.name },
        h('header', null, h('h2', null, model.name), h('span', { class: `chip ${STATES[model.state] ?? ''}` }, model.state)),
        h('p', { class: 'muted small' }, facts.join(', ')),
        h('p', { class: 'small' }, model.files.length > 0 ? `File on ${model.files.join(', ')}` : 'No file in a models folder: it was loaded by its path'),
        h('ul', { class: 'instances' }, model.instances.map((i) => instanceRow(i, model))),
        h('div', { class: 'actions' },
            model.state === 'ready' && h('a', { class: 'button small primary', href: '#/chat', onclick: () => localStorage.setItem('caravan.model', model.name) }, 'Chat'),
            !loaded && h('button', { type: 'button', class: 'button small primary', onclick: () => loadModel(model, page) }, 'Load'),
            model.instances.length > 0 && h('button', { type: 'button', class: 'button small', onclick: () => unloadModel(model, page) }, 'Unload'),
            model.files.includes(own) && h('button', { type: 'button', class: 'button small danger', onclick: () => deleteModel(model, page) }, 'Delete')))
}

export function open(main) {
    const root = h('div', { class: 'page' })
    main.append(root)
    const page = {
        trouble: null,
        async act(path, body, method = 'POST') {
            page.trouble = null
            await ask(method, path, body).catch((error) => (page.trouble = error))
            draw()
        },
    }
    const draw = () => {
        if (!live.status?.nodes) return show(root, h('p', { class: 'empty' }, live.trouble?.message ?? 'Connecting to the node'))
        const order = { ready: 0, loading: 1, waiting: 2, failed: 3 }, models = [...live.models].sort((a, b) => (order[a.state] ?? 4) - (order[b.state] ?? 4) || a.name.localeCompare(b.name))
        show(root, h('header', null, h('h1', null, 'Models'), h('div', { class: 'actions' }, h('button', { type: 'button', class: 'button primary', onclick: () => getModel(page) }, 'Get a model'))),
            page.trouble && troubleNotice(page.trouble),
            pullsPart(page),
            models.length === 0 && h('p', { class: 'card muted' }, 'There is no model yet.', live.status.models_dir && [' A GGUF file in ', h('code', { class: 'break' }, live.status.models_dir), ' is found by itself.']),
            h('div', { class: 'cards' }, models.map((m) => modelCard(m, page))),
            live.unusable.length > 0 && h('section', { class: 'card', 'aria-label': 'Files that cannot be used' }, h('h2', null, 'Files that cannot be used'), h('ul', { class: 'points small' }, live.unusable.map((f) => h('li', null, h('code', { class: 'break' }, f.file), `: ${f.message}`)))))
    }
    const unwatch = watch(draw)
    draw()
    return unwatch
}
