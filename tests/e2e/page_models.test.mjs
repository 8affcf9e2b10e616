// SPDX-License-Identifier: MIT
// The web page's models and keys on real nodes: pulls with progress, loads with what they mean, questions before anything goes.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { View } from './lib/browser.mjs'
import { demoModel, until } from './lib/cluster.mjs'
import { Hub, sha256 } from './lib/hub.mjs'
import { openNodes, shown } from './lib/page.mjs'

const hub = await new Hub().open()
after(() => hub.close())
const model = readFileSync(demoModel), name = 'owner/other-GGUF'
model[model.indexOf('general.name') + 'general.name'.length + 12] ^= 1 // a letter of its name: it is another model
hub.files = { [`${name}@main/other-Q4_K_M.gguf`]: model, [`${name}@main/other-Q8_0.gguf`]: Buffer.from('this is no model, whatever its name says') }
const folders = ['alpha', 'beta'].map((node) => join(process.env.CARAVAN_TMP, `models-${node}`))
folders.forEach((folder) => mkdirSync(folder))
const [head, other] = await openNodes({ names: ['alpha', 'beta'], memory: '34M', options: ['--hf-endpoint', hub.url], own: folders.map((folder) => ['--models-dir', folder]) })

// Asks for a model in the page's dialog.
async function get(view, source, node) {
    const dialog = view.page.getByRole('dialog')
    await view.page.getByRole('button', { name: 'Get a model' }).click()
    await dialog.getByLabel('Model', { exact: true }).fill(source)
    if (node) await dialog.getByLabel('Into the models folder of').selectOption({ label: node })
    await dialog.getByRole('button', { name: 'Fetch it' }).click()
}
const row = (view, source) => view.page.getByRole('region', { name: 'Models on their way' }).getByRole('listitem').filter({ hasText: source })

test('a model is fetched while the page shows how far it is; stopped, it keeps what has come, and goes on', async () => {
    const view = await View.open(head.api, { path: '#/models' })
    Object.assign(hub, { hold: 4 << 20, bytes: 0 })
    await get(view, `hf:${name}`)
    await row(view, name).getByText(/[1-9][0-9.]* (KB|MB) of 7\.1 MB/).waitFor()
    await view.check()
    await row(view, name).getByRole('button', { name: 'Stop' }).click()
    await until('it has ended', async () => (await row(view, name).count()) === 0)
    assert.ok(readdirSync(folders[0]).some((file) => file.endsWith('.part')), 'what has come is kept')
    hub.hold = null
    await get(view, `hf:${name}`)
    await row(view, name).getByText('other-Q4_K_M is in the list below').waitFor()
    assert.equal(sha256(readFileSync(join(folders[0], 'other-Q4_K_M.gguf'))), sha256(model))
    await view.page.getByRole('article', { name: 'other-Q4_K_M' }).getByRole('button', { name: 'Load' }).waitFor()
    await row(view, name).getByRole('button', { name: 'Dismiss' }).click()
    await until('it is no longer listed', async () => (await row(view, name).count()) === 0)
    await view.close()
})

test('a model is fetched to another machine; what fails says why, and can be tried again', async () => {
    const view = await View.open(head.api, { path: '#/models' })
    await get(view, `hf:${name}:Q8_0`, 'beta')
    await row(view, `${name}:Q8_0`).getByText('failed').waitFor()
    await row(view, `${name}:Q8_0`).getByText(/no model that can be used/).waitFor()
    assert.deepEqual(readdirSync(folders[1]), [])
    await row(view, `${name}:Q8_0`).getByRole('button', { name: 'Dismiss' }).click()
    await get(view, `hf:${name}`, 'beta')
    await row(view, name).getByText('here', { exact: true }).waitFor()
    assert.ok(existsSync(join(folders[1], 'other-Q4_K_M.gguf')))
    assert.equal((await other.status()).nodes.find((n) => n.self).pulls[0].state, 'done')
    await view.close()
})

test('the admin routes of pulls say what is wrong', async () => {
    const post = (path, body) => fetch(`${head.api}/caravan/v1/models/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    for (const [path, body, status, text] of [
        ['pull', { model: 'nonsense' }, 400, /hf:OWNER\/REPO/], ['pull', {}, 400, /model/], ['pull', { model: `hf:${name}`, node: 'nobody' }, 404, /nobody.* is linked to this one/],
        ['unpull', { model: 'hf:a/b' }, 404, /not being fetched/], ['pull', { model: `hf:a/${'x'.repeat(600)}` }, 400, /longer than 511|too long|hf:/],
    ]) {
        const response = await post(path, body)
        assert.equal(response.status, status, JSON.stringify(body))
        assert.match(JSON.stringify(await response.json()), text)
    }
})

test('models: unload with a question, load with what it means, delete only after one', async () => {
    const view = await View.open(head.api, { path: '#/models' })
    const card = view.page.getByRole('article', { name: 'caravan-demo' }), dialog = view.page.getByRole('dialog')
    await card.getByRole('button', { name: 'Unload' }).click()
    await dialog.getByText(/become free/).waitFor()
    await dialog.getByRole('button', { name: 'Unload it' }).click()
    await card.getByText('not loaded').waitFor()
    await card.getByRole('button', { name: 'Load' }).click()
    await dialog.getByText(/tokens\/s for one answer/).waitFor()
    const before = await dialog.locator('pre').textContent()
    await view.check()
    await dialog.getByLabel('Context').fill('256')
    await dialog.getByLabel('Answers at once').fill('1')
    await until('it is planned anew', async () => (await dialog.locator('pre').textContent()) !== before)
    assert.equal((await head.status()).models.length, 0)
    await dialog.getByRole('button', { name: 'Load it' }).click()
    await card.getByText('256 tokens of context').waitFor()
    await head.ready()
    await view.close()
})

test('a key that is made here is asked for from then on; one without "admin" may look, and is told what it may not', async () => {
    const view = await View.open(head.api, { path: '#/activity', expected: [/status of 40[13]/] })
    await view.page.getByRole('button', { name: 'Make a key' }).click()
    const dialog = view.page.getByRole('dialog')
    await dialog.getByLabel('Whose it is').fill('reader')
    await dialog.getByRole('button', { name: 'Make it' }).click()
    const secret = await dialog.locator('pre').textContent()
    await dialog.getByRole('button', { name: 'Done' }).click()
    await dialog.getByLabel('API key').fill(secret)
    await dialog.getByRole('button', { name: 'Use this key' }).click()
    await shown(view, 'is not marked "admin"')
    await view.page.goto(`${head.api}/#/cluster`)
    await view.page.locator('.ring').waitFor()
    await view.close()
})
