// SPDX-License-Identifier: MIT
// Mixtures of experts on GPUs, with real nodes and Mesa's software driver: experts in RAM, copies of them on the card.
import assert from 'node:assert/strict'
import { ask, run } from './lib/cluster.mjs'
import { makeMixture, verifyClose, withNode } from './lib/gpu.mjs'
import { vulkan } from './lib/vulkan.mjs'

vulkan(1)
const mixture = makeMixture()
const onCard = { model: mixture, faster: 100 }

await run({
    async 'a mixture of experts larger than the card: its experts stay in RAM, the rest is on the card'() {
        const first = async (node) => {
            const { choices } = await (await fetch(`${node.api}/v1/completions`, {
                method: 'POST', headers: { 'content-type': 'application/json' },
                body: JSON.stringify({ model: 'mixture', prompt: 'Eight llamas carry what one could not carry.', max_tokens: 2, temperature: 0, logprobs: 1 }) })).json()
            return choices[0].logprobs
        }
        let alone
        await withNode('experts-none', ['--gpu-layers', '0'], 0, async (node) => void (alone = await first(node)), { model: mixture })
        await withNode('experts', ['--device', 'Vulkan0', '--gpu-memory', '24M', '--cpu-moe', 'all'], 1, async (node) => {
            const [self] = (await node.status()).nodes
            const [stage] = self.stages
            assert.equal(self.cpu_moe, -1) // which of the two ways is quicker depends on the machine: test_plan_spread has the choice
            assert(stage.cpu_moe > 0, JSON.stringify(stage))
            assert.equal(stage.on[0].device, 'Vulkan0')
            assert(stage.on[0].bytes > 1e6 && stage.on[0].bytes <= 24 * 2 ** 20, JSON.stringify(stage))
            assert.match(node.logText(), /Vulkan0: layers 0-7 and the output head without the experts of 0-\d, .*; RAM: the experts of layers 0-\d, the embedding, /)
            const apart = await first(node)
            assert.equal(apart.tokens[0], alone.tokens[0])
            assert(Math.abs(apart.token_logprobs[0] - alone.token_logprobs[0]) < 0.1, JSON.stringify([apart, alone]))
        }, onCard)
        /* Where the node says how many, that many, although all would fit; none when it wants none. */
        await withNode('experts-3', ['--device', 'Vulkan0', '--cpu-moe', '3'], 1, async (node) => {
            assert.equal((await node.status()).nodes[0].stages[0].cpu_moe, 3)
        }, onCard)
        await withNode('experts-0', ['--device', 'Vulkan0', '--gpu-memory', '24M', '--cpu-moe', '0'], 1, async (node) => {
            assert.equal((await node.status()).nodes[0].stages[0].cpu_moe, undefined)
            assert.match(node.logText(), /RAM: layers 0-\d, the embedding, /)
        }, onCard)
    },

    'slices with experts in RAM are close to the whole model'() {
        verifyClose(mixture, '4, 4', ['--cpu-moe', 'all', '--tokens', '4', '--prompt-tokens', '48'], vulkan(1))
    },

    async 'copies of experts on the card: the slices stay close, and the node offers less of the card'() {
        const options = ['--cpu-moe', 'all', '--moe-cache-mib', '4']
        const out = verifyClose(mixture, '4, 4', [...options, '--tokens', '2', '--prompt-tokens', '16'], { ...vulkan(1), CARAVAN_LOG_LEVEL: 'debug' })
        assert.equal(out.match(/Vulkan0 MoE cache size = +3\.\d\d MiB for .* of host experts/g).length, 2 + 1, out) // of the slices and the whole
        await withNode('copies', ['--device', 'Vulkan0', '--gpu-memory', '28M', ...options, '--log-level', 'debug'], 1, async (node) => {
            const [self] = (await node.status()).nodes
            assert.equal(self.devices.find((d) => d.name === 'Vulkan0').memory_free, 24 * 2 ** 20)
            assert.equal((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error, null)
            assert.match(node.logText(), /Vulkan0 MoE cache size = +3\.\d\d MiB/)
        }, onCard)
    },
})
