// SPDX-License-Identifier: MIT
// The npm `openai` client against real nodes: two that carry the demo model together. (openai.test.mjs has the same suite on a scripted backend.)
import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { startCluster, stopCluster, streamChat } from './lib/cluster.mjs'
import { counters, until } from './lib/openai.mjs'
import { Matrix } from './lib/matrix.mjs'
import { suite } from './lib/openai_suite.mjs'

const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '8'] })
const matrix = new Matrix()
after(() => stopCluster(nodes).then(() => matrix.check()))
const model = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id
const requests = async () => (await Promise.all(nodes.map((n) => n.status()))).reduce((sum, s) => sum + s.requests, 0)
suite({ api: await matrix.open('openai', nodes[1].api), model, idle: requests })

test('clients that go: their sequences are freed at both nodes, and their generated tokens are counted', async () => {
    const idle = () => until('no request runs any more', async () => (await requests()) === 0)
    const messages = [{ role: 'user', content: 'Count to 100.' }]
    for (const node of nodes) {
        const before = await counters(node.api)
        const controller = new AbortController()
        let seen = 0
        const heard = () => ++seen === 30 && controller.abort()
        const asked = Array.from({ length: 9 }, () => streamChat(node.api, { messages, max_tokens: 900, ignore_eos: true }, heard, controller.signal)) // one more than there are sequences
        for (const r of await Promise.allSettled(asked)) assert.equal(r.reason?.name, 'AbortError')
        await idle()
        const used = await counters(node.api, before)
        assert.equal(used.caravan_requests_gone_total, 9)
        assert(used.caravan_completion_tokens_total >= seen && used.caravan_completion_tokens_total < 9 * 900, JSON.stringify(used))
        const one = await streamChat(node.api, { messages, max_tokens: 5, stream_options: { include_usage: true } })
        assert.equal((await counters(node.api, before)).caravan_completion_tokens_total, used.caravan_completion_tokens_total + one.usage.completion_tokens)
    }
})
