// SPDX-License-Identifier: MIT
// Makes the pictures of the web page in docs/: the ring of three real nodes on loopback that carry the demo's model while they answer, and a
// chat, both in light and dark. `make screenshots` runs it.
import { join } from 'node:path'
import { View, browser } from '../tests/e2e/lib/browser.mjs'
import { Node, demoModel } from '../tests/e2e/lib/cluster.mjs'

const docs = join(process.env.CARAVAN_SOURCE, 'docs')
const options = ['--memory', '29M', '--batch', '64', '--ctx', '512', '--parallel', '2']
const nodes = [await new Node('studio', [demoModel, '--placement', '3,3,2', ...options]).open()]
for (const name of ['laptop', 'tower']) nodes.push(await new Node(name, ['--peer', nodes[0].listen, ...options]).open())
const { api } = nodes[0]
await nodes[0].ready()

const messages = [{ role: 'user', content: 'Tell me a long story about llamas.' }]
const ask = () => fetch(`${api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'caravan-demo', max_tokens: 300, ignore_eos: true, messages }) }).then((r) => r.json())

// Answers one after another until the work is done: while a picture is taken, tokens are made.
async function whileAnswering(work) {
    let over = false
    const answers = async () => {
        while (!over) await ask()
    }
    await Promise.all([answers(), work().finally(() => { over = true })])
}

async function ring(theme, file) {
    const view = await View.open(api, { path: '#/cluster', width: 1120, height: 760, theme })
    await ask() // so that the times of each machine are known
    await whileAnswering(async () => {
        const card = view.page.locator('.ringcard')
        await card.getByText('tokens/s now').waitFor()
        await card.locator('.dot').first().waitFor()
        await card.screenshot({ path: join(docs, file) })
    })
    await view.close()
}

async function chat(theme, file) {
    const view = await View.open(api, { path: '#/chat', width: 1280, height: 720, theme })
    await view.page.locator('.model option[value="caravan-demo"]').waitFor({ state: 'attached' })
    for (const [i, text] of ['Why do llamas walk in a line?', 'What do llamas carry?'].entries()) {
        await view.page.getByLabel('Your message').last().fill(text)
        await view.page.getByRole('button', { name: 'Send' }).click()
        await view.page.locator('.answer[aria-busy="false"]').nth(i).locator('footer').waitFor()
    }
    await view.page.screenshot({ path: join(docs, file) })
    await view.close()
}

for (const theme of ['light', 'dark']) {
    const suffix = theme === 'dark' ? '-dark' : ''
    await ring(theme, `page-ring${suffix}.png`)
    await chat(theme, `page-chat${suffix}.png`)
}
await browser.close()
for (const node of nodes) await node.stop()
