// SPDX-License-Identifier: MIT
// Real nodes for tests of the web page: some that carry the demo model together.
import { after } from 'node:test'
import { browser } from './browser.mjs'
import { Node, demoModel } from './cluster.mjs'

export const QUESTION = 'Tell me a long story about llamas that walk over the mountains'
export const shown = (view, text) => view.page.locator('main').getByText(text).first().waitFor()

// The first node serves the demo model, the others join it; all end with the test. options: of each node; own: of one of them, in their order.
// A model that two of the nodes can hold, and one cannot, goes on when the third one is lost: from 29M to 35M each.
export async function openNodes({ names = ['alpha', 'beta', 'gamma'], memory = '33M', options = [], own = [] } = {}) {
    const all = ['--memory', memory, '--batch', '64', '--ctx', '1024', '--parallel', '1', ...options]
    const nodes = [await new Node(names[0], [demoModel, ...all, ...(own[0] ?? [])]).open()]
    for (const name of names.slice(1)) nodes.push(await new Node(name, ['--peer', nodes[0].listen, ...all, ...(own[nodes.length] ?? [])]).open())
    after(async () => {
        await browser.close()
        for (const node of nodes) await node.stop()
    })
    await nodes[0].ready()
    return nodes
}

// One answer of 60 tokens.
export const ask = (node) => fetch(`${node.api}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'caravan-demo', max_tokens: 60, ignore_eos: true, messages: [{ role: 'user', content: QUESTION }] }) }).then((r) => r.json())
