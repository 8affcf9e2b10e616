// SPDX-License-Identifier: MIT
// The web page of real nodes: the ring as it is, a machine that is emptied, where the time of a token goes, charts, the log, settings of clients.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { View } from './lib/browser.mjs'
import { until } from './lib/cluster.mjs'
import { ask, openNodes, shown } from './lib/page.mjs'

const [head, other] = await openNodes({ memory: '31M', own: [['--capture', '4M']] }) // two machines of three suffice

// Where the layers would be without the other machine that has some: on those that are left, in either order. Without the one that has the model's
// file, nowhere.
async function whatIf(view, nodes) {
    const [file, gone] = ['alpha', nodes.find((n) => n.stages.length > 0 && n.name !== 'alpha').name]
    const left = nodes.map((n) => n.name).find((name) => name !== file && name !== gone)
    const cards = [file, gone].map((name) => view.page.getByRole('article', { name }))
    for (const card of cards) await card.getByText('If this machine goes').click()
    await cards[1].getByText(/caravan-demo: /).waitFor()
    await cards[1].getByText(new RegExp(`caravan-demo would then be on (${file} .* and ${left}|${left} .* and ${file}) \\(layers? `)).waitFor()
    await cards[0].getByText("caravan-demo: only this machine has its file.").waitFor()
    assert.equal(await cards[0].getByText('would then').count(), 0)
}

test('the cluster: the ring as it is, tokens while they are made, what happens if a machine goes', async () => {
    const view = await View.open(head.api, { path: '#/cluster' })
    const ring = view.page.locator('.ring')
    await ring.waitFor()
    const { nodes } = await head.status()
    for (const node of nodes) assert.ok(await view.page.getByRole('article', { name: node.name }).isVisible())
    for (const node of nodes.filter((n) => n.stages.length > 0)) assert.match(await ring.textContent(), new RegExp(node.name))
    await until('tokens are seen while they are made', async () => {
        const seen = view.page.locator('.ringcard').getByText('tokens/s now').waitFor({ timeout: 2000 }).then(() => true, () => false)
        assert.equal((await ask(head)).usage.completion_tokens, 60) // on a fast machine over before the page is told
        return seen
    })
    await until('the bytes that were counted on the way', async () => /[1-9][0-9.]* [KM]B so far/.test(await ring.textContent()))
    await shown(view, 'Slowest part:')
    const holds = view.page.getByRole('article', { name: nodes.find((n) => n.stages.length > 0).name })
    await holds.getByText(/ of caravan-demo on .*, \d+ threads?/).waitFor()
    await whatIf(view, nodes)
    await view.page.getByRole('button', { name: 'Add a machine' }).click()
    const dialog = view.page.getByRole('dialog')
    await dialog.getByText(/caravan join [0-9A-Z-]{30}/).waitFor()
    await dialog.locator('.qr path').waitFor({ state: 'attached' })
    await view.check()
    await view.close()
    const far = await View.open(other.api, { path: '#/cluster' }) // a node without the model's file asks the one that has it
    await far.page.locator('.ring').waitFor()
    await whatIf(far, nodes)
    await far.close()
})

test('anatomy and activity show the answer that went through this node', async () => {
    const view = await View.open(head.api, { path: '#/anatomy' })
    await ask(head)
    await view.page.getByRole('region', { name: 'caravan-demo' }).locator('.stack').waitFor()
    await view.page.getByRole('region', { name: 'The last answers' }).getByText('60 answered').first().waitFor()
    await shown(view, /computes/)
    await view.page.locator('.anatomy .notice').waitFor()
    await view.page.goto(`${head.api}/#/activity`)
    await view.page.getByRole('region', { name: 'Table of requests' }).getByText('answered').first().waitFor()
    const { ended, running } = await (await fetch(`${head.api}/caravan/v1/requests`)).json()
    assert.equal(running.length, 0)
    assert.deepEqual([ended[0].state, ended[0].model, ended[0].completion_tokens], ['answered', 'caravan-demo', 60])
    await view.close()
})

test('the texts of requests are kept where the owner has asked for that, and nowhere else', async () => {
    const secret = 'sk-this-must-not-be-kept', { id: answered } = await ask(head)
    const body = JSON.stringify({ model: 'caravan-demo', stream: true, max_tokens: 5, messages: [{ role: 'user', content: `${secret} <b>who</b>?` }] })
    const streamed = await fetch(`${head.api}/v1/chat/completions`, { method: 'POST', body, headers: { authorization: `Bearer ${secret}` } })
    const said = await streamed.text(), id = streamed.headers.get('x-request-id')
    const look = (node, which) => fetch(`${node.api}/caravan/v1/requests/${which}`)
    const kept = await (await look(head, id)).json()
    assert.equal(kept.request.text, body.replace(secret, '*'.repeat(secret.length)))
    assert.equal(kept.answer.text, said)
    const refused = await fetch(`${head.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'nothing', messages: [] }) })
    assert.equal(refused.status >= 400, true)
    assert.match((await (await look(head, refused.headers.get('x-request-id'))).json()).error, /nothing|messages/)
    const view = await View.open(head.api, { path: '#/activity' })
    await view.page.getByRole('button', { name: `Texts of request ${id}` }).click()
    const dialog = view.page.getByRole('dialog')
    assert.match(await dialog.getByLabel('Asked').textContent(), /"content": "\*+ <b>who<\/b>\?"/)
    assert.match(await dialog.getByLabel('Answered').textContent(), /data: \[DONE\]/)
    await view.checkSizes([360])
    await dialog.getByRole('button', { name: 'Close' }).click()
    await view.close()
    const elsewhere = await fetch(`${other.api}/v1/chat/completions`, { method: 'POST', body })
    await elsewhere.text()
    const none = await look(other, elsewhere.headers.get('x-request-id'))
    assert.equal(none.status, 404)
    assert.match(await none.text(), /--capture/)
    assert.ok((await (await fetch(`${other.api}/caravan/v1/requests`)).json()).ended.every((r) => !r.captured))
    assert.ok(answered)
})

test('charts show what the node has kept, at every span; the samples are those of the requests', async () => {
    await ask(head)
    const history = (query) => fetch(`${head.api}/caravan/v1/history?${query}`).then((r) => r.json())
    const seen = await until('the answer is in the samples', async () => {
        const { series, rows } = await history('step=5')
        const at = (name) => 1 + series.findIndex((s) => s.name === name)
        const sum = (name) => rows.reduce((all, row) => all + 5 * (row[at(name)] ?? 0), 0)
        return sum('tokens') > 50 && sum('requests') > 0.5 && rows.some((row) => row[at('compute')] > 0 && row[at('hops')] > 0) && { rows, at }
    })
    assert.ok(seen.rows[0].slice(1).every((v) => v === null), 'the first row says that the node was started')
    assert.ok(seen.rows.at(-1)[seen.at('held')] > 1e6 && seen.rows.at(-1)[seen.at('offered')] > seen.rows.at(-1)[seen.at('held')])
    const last = seen.rows.at(-1)[0]
    assert.ok((await history(`step=5&after=${last}`)).rows.every((row) => row[0] >= last))
    assert.equal((await fetch(`${head.api}/caravan/v1/history?step=7`)).status, 400)
    const view = await View.open(head.api, { path: '#/activity' })
    await view.page.locator('.charts canvas').nth(4).waitFor()
    await until('the figures are there', async () => /generated [0-9.]+/.test(await view.page.locator('.charts figure').first().textContent()))
    for (const span of ['the last day', 'the last 30 days', 'the last hour']) {
        await view.page.getByLabel('Show').selectOption({ label: span })
        await view.page.locator('.charts canvas').nth(4).waitFor()
    }
    await view.checkWidth()
    await view.close()
})

test('the log comes as it is written, filtered by level and by word; who may not administer may not read it', async () => {
    const view = await View.open(head.api, { path: '#/logs' })
    const lines = view.page.getByRole('region', { name: 'Log lines' })
    await lines.getByRole('listitem').first().waitFor()
    assert.equal(await lines.getByText('GET /caravan').count(), 0, 'no debug lines')
    await view.page.getByLabel('Up to').selectOption('debug')
    await lines.getByText('GET /caravan/v1/logs').first().waitFor()
    const id = `page-${process.pid}`
    await fetch(`${head.api}/v1/chat/completions`, { method: 'POST', headers: { 'x-request-id': id }, body: JSON.stringify({ model: 'caravan-demo', max_tokens: 2, messages: [{ role: 'user', content: 'hi' }] }) })
    const all = await lines.getByRole('listitem').count()
    await view.page.getByLabel('Only lines with').fill(id)
    await until('only the lines of this request', async () => {
        const few = await lines.getByRole('listitem').count()
        return few > 0 && few < all
    })
    await view.page.getByLabel('Only lines with').fill('')
    await view.page.getByRole('button', { name: 'Pause' }).click()
    const before = await lines.getByRole('listitem').count()
    await head.status()
    assert.equal(await lines.getByRole('listitem').count(), before)
    const [saved] = await Promise.all([view.page.waitForEvent('download'), view.page.getByRole('button', { name: 'Save' }).click()])
    assert.match(readFileSync(await saved.path(), 'utf8'), /^\d{4}-\S+ (debug|info) .+: /m)
    await view.page.getByLabel('Up to').selectOption('error')
    assert.equal((await fetch(`${head.api}/caravan/v1/logs?level=loud`)).status, 400)
    await view.close()
})

test('a machine is emptied: its layers move to the others, and it takes none until it is let in again', async () => {
    const view = await View.open(head.api, { path: '#/cluster' })
    const node = (await head.status()).nodes.find((n) => !n.self && n.stages.length > 0), card = view.page.getByRole('article', { name: node.name })
    const of = async () => (await head.status()).nodes.find((n) => n.id === node.id)
    await card.getByRole('button', { name: 'Empty it' }).click()
    await view.page.getByRole('dialog').getByRole('button', { name: 'Leave it as it is' }).click()
    assert.equal((await of()).drained, false)
    await card.getByRole('button', { name: 'Empty it' }).click()
    await view.page.getByRole('dialog').getByRole('button', { name: 'Empty it' }).click()
    await card.getByText(/is being emptied|empty: it can be switched off/).waitFor()
    await card.getByText('empty: it can be switched off').waitFor()
    assert.equal((await of()).stages.length, 0)
    await head.ready()
    assert.equal((await ask(head)).usage.completion_tokens, 60)
    await card.getByRole('button', { name: 'Let it take layers again' }).click()
    await card.getByRole('button', { name: 'Empty it' }).waitFor()
    assert.equal((await of()).drained, false)
    await view.close()
})

test('connect: what is shown works when it is pasted', async () => {
    const view = await View.open(head.api, { path: '#/connect/openai-js' })
    await view.page.getByText("baseURL: '").waitFor()
    await until('the model is filled in', async () => (await view.page.locator('.snippet pre').textContent()).includes("model: 'caravan-demo'"))
    assert.match(await view.page.locator('.snippet pre').textContent(), new RegExp(`baseURL: '${head.api}/v1'`))
    for (const name of ['curl', 'Claude Code', 'Codex', 'OpenCode', 'Continue', 'Cline', 'Open WebUI', 'LangChain (Python)']) {
        await view.page.getByRole('button', { name, exact: true }).click()
        assert.ok((await view.page.locator('.snippet pre').first().textContent()).includes(head.api), name)
    }
    await view.close()
})

