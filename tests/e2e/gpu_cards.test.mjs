// SPDX-License-Identifier: MIT
// Several cards in one node, and a card that fails in mid-answer, with real nodes and Mesa's software driver.
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, demoModel, run, streamChat } from './lib/cluster.mjs'
import { verifyClose, withNode } from './lib/gpu.mjs'
import { vulkan } from './lib/vulkan.mjs'

const tmp = process.env.CARAVAN_TMP

await run({
    async 'two cards share a model: layers of its own on each, or a part of every layer'() {
        const two = ['--device', 'Vulkan0,Vulkan1']
        await withNode('layers', [...two, '--gpu-memory', '18M'], 2, async (node) => {
            const [stage] = (await node.status()).nodes[0].stages
            assert.deepEqual(stage.on.map((gpu) => gpu.device).sort(), ['Vulkan0', 'Vulkan1'])
            assert((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error === null)
        })
        await withNode('tensors', [...two, '--gpu-layers', 'all', '--split-mode', 'tensor'], 2, async (node) => {
            const [stage] = (await node.status()).nodes[0].stages
            assert.deepEqual(stage.on.map((gpu) => gpu.device).sort(), ['Vulkan0', 'Vulkan1'])
            assert.equal(stage.on[0].bytes, stage.on[1].bytes)
            assert(stage.on[0].bytes + stage.on[1].bytes <= stage.bytes && 2 * stage.on[0].bytes > stage.weights, JSON.stringify(stage))
            assert((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error === null)
        })
        verifyClose(demoModel, '4, 4', ['--split-mode', 'tensor', '--tokens', '2', '--prompt-tokens', '8'], vulkan(2))
    },

    async 'a device that is lost or full in mid-answer is a lost stage, and the answer goes on: on the device again, or without it'() {
        const tale = { messages: [{ role: 'user', content: 'Count to 100' }], max_tokens: 24, ignore_eos: true, stream_options: { include_usage: true } }
        const fault = join(tmp, 'fault')
        const env = { LD_PRELOAD: join(process.env.CARAVAN_BUILD, 'lib/losing_vulkan.so'), VK_CARAVAN_FAULT: fault }
        await withNode('lost', ['--device', 'Vulkan0'], 1, async (node) => {
            const whole = async (result) => {
                let pieces = 0
                const [old] = node.stages()
                const answer = await streamChat(node.api, tale, () => { if (++pieces === 4) writeFileSync(fault, result) })
                assert.equal(answer.error, null)
                assert.equal(answer.usage.completion_tokens, tale.max_tokens)
                assert.notEqual(node.stages()[0], old)
                return (await node.status()).nodes[0].stages[0].on ?? []
            }
            const lost = -4, full = -2 // VK_ERROR_DEVICE_LOST, VK_ERROR_OUT_OF_DEVICE_MEMORY
            assert.equal((await whole(`${full} once`)).length, 1)
            assert(!existsSync(fault))
            assert.equal((await whole(`${lost} once`)).length, 1)
            assert.deepEqual(await whole(`${lost}`), [])
        }, { env, faster: 100 })
    },
})
