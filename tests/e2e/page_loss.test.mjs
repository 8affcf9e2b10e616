// SPDX-License-Identifier: MIT
// The web page while a machine is lost.
import assert from 'node:assert/strict'
import test from 'node:test'
import { View } from './lib/browser.mjs'
import { until } from './lib/cluster.mjs'
import { QUESTION, openNodes } from './lib/page.mjs'

const [head, ...others] = await openNodes()

test('a machine of the ring is killed in the middle of an answer: the chat says so, and goes on', async () => {
    const view = await View.open(head.api, { path: '#/chat' })
    await view.page.locator('.model option[value="caravan-demo"]').waitFor({ state: 'attached' })
    await view.page.getByRole('button', { name: 'Settings' }).click()
    await view.page.getByRole('dialog').getByLabel('max tokens').fill('950')
    await view.page.getByRole('dialog').getByText('More: penalties').click()
    await view.page.getByRole('dialog').getByLabel('min tokens').fill('950')
    await view.page.getByRole('button', { name: 'Use these' }).click()
    await view.page.getByLabel('Your message').fill(QUESTION)
    await view.page.getByRole('button', { name: 'Send' }).click()
    const prose = view.page.locator('.answer .prose')
    await until('text comes', async () => (await prose.textContent()).length > 40)
    const before = await prose.textContent(), { nodes } = await head.status()
    const victim = others.find((node) => nodes.find((n) => n.name === node.name).stages.length > 0)
    assert.ok(victim, 'the ring has a machine besides the first')
    await victim.stop('SIGKILL')
    await view.page.locator('.answer .move').first().waitFor()
    await until('the answer goes on', async () => (await prose.textContent()).length > before.length + 40)
    assert.ok((await prose.textContent()).startsWith(before.slice(0, 30)))
    await view.page.locator('.answer[aria-busy="false"] footer').waitFor({ timeout: 400000 }) // 950 tokens, on a machine that may be busy
    assert.equal(await view.page.locator('.answer').getByRole('alert').count(), 0)
    await view.page.goto(`${head.api}/#/cluster`)
    await until('it is gone from the page', async () => (await view.page.getByRole('article', { name: victim.name }).count()) === 0)
    await view.close()
})

