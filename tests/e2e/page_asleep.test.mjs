// SPDX-License-Identifier: MIT
// The web page's machines that are asleep: a node of this machine is never one, so the state that the page gets has some added here; what the
// button asks goes to the real node. e2e_wake wakes one in earnest.
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { browser, View } from './lib/browser.mjs'
import { Node } from './lib/cluster.mjs'

const head = await new Node('alpha', ['--memory', '34M']).open()
after(async () => {
    await browser.close()
    await head.stop()
})

test('machines that are asleep stand where those are that are not in, and are woken from there', async () => {
    const asleep = [{ id: '00000000000000aa', name: 'gaming-pc', state: 'asleep', memory: 24 * 1024 ** 3, seen: Math.floor(Date.now() / 1000) - 7200 }, { id: '00000000000000bb', name: 'attic', state: 'waking', memory: 0, seen: 0 }]
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    await context.route('**/caravan/v1/events', async (route) => {
        const status = await head.status()
        await route.fulfill({ contentType: 'text/event-stream', body: `event: state\ndata: ${JSON.stringify({ status: { ...status, asleep }, listing: { models: [] } })}\n\n` })
    })
    const view = await View.open(head.api, { path: '#/cluster', context, expected: [/status of 404/] })
    const part = view.page.getByRole('region', { name: 'Not in' })
    await part.getByText('asleep, or its node has ended; seen 2 h ago. It has 24.0 GB.').waitFor()
    await part.getByText('it is being woken').waitFor()
    assert.equal(await part.getByRole('button').count(), 1, 'who is being woken is not woken again')
    const [asked] = await Promise.all([view.page.waitForRequest('**/caravan/v1/nodes/wake'), part.getByRole('button', { name: 'Wake gaming-pc' }).click()])
    assert.deepEqual(asked.postDataJSON(), { name: '00000000000000aa' })
    await view.page.getByRole('alert').first().waitFor() // this node has never met it
    await view.checkSizes([360])
    await view.close()
})
