// SPDX-License-Identifier: MIT
// GPUs with real nodes, on Mesa's software driver: what the doctor says, slices there against the whole model, further backends.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, caravan, demoModel, run, startCluster, stopCluster, streamChat, until } from './lib/cluster.mjs'
import { vulkan } from './lib/vulkan.mjs'

const tmp = process.env.CARAVAN_TMP
const call = (args, env = {}) => {
    const done = spawnSync(caravan, args, { env: { ...process.env, ...env }, encoding: 'utf8' })
    return { status: done.status, out: done.stdout + done.stderr }
}
const doctor = (env, ...more) => JSON.parse(spawnSync(caravan, ['doctor', '--json', '--no-discovery', ...more], { env: { ...process.env, ...env }, encoding: 'utf8' }).stdout)
const line = (report, check) => report.checks.find((c) => c.check === check)

// A mixture of experts: 15 MB, of which 13 are experts.
const mixture = join(tmp, 'mixture.gguf')
const makeMixture = () => execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-model'), ['--preset', 'tiny-moe', '--type', 'q8_0', '--out', mixture])

// A node on its own, with `count` devices in software, that has loaded the model. The devices are `faster` times as fast as its processor.
async function withNode(name, options, count, test, { env = {}, model = demoModel, faster = 1 } = {}) {
    /* What an earlier measurement has found, so that nothing waits for one. */
    const figures = { memory_total: 2 ** 30, memory_free: 2 ** 30, bandwidth: 5e8, flops: 5e10 }
    const gpus = Array.from({ length: count }, (_, i) => ({ name: `Vulkan${i}`, gpu: true, software: true, ...figures, bandwidth: faster * 5e8 }))
    mkdirSync(join(tmp, name), { recursive: true })
    writeFileSync(join(tmp, name, 'profile.json'), JSON.stringify({ devices: [{ name: 'CPU', ...figures }, ...gpus], disk: 1e9, quiet: true }))
    const [node] = await startCluster([name], { memory: '512M', first: ['--ctx', '1024', '--parallel', '2'], model, options, env: { ...vulkan(count), ...env } })
    try {
        await test(node)
    } catch (error) {
        console.error(node.logText())
        throw error
    }
    await stopCluster([node])
}

await run({
    'the doctor lists a device, and says where there is only a driver in software'() {
        const one = doctor(vulkan(1))
        assert.match(line(one, 'devices').text, /^CPU \(.*\), Vulkan0 \(llvmpipe .*, by Vulkan, .* free\)$/)
        assert.match(line(doctor(vulkan(2)), 'devices').text, /Vulkan0 .*Vulkan1 /)
        assert.doesNotMatch(line(doctor(vulkan(0)), 'devices').text, /Vulkan/)
    },

    'a measurement finds it, and that it is none but in software'() {
        assert.equal(call(['profile', join(tmp, 'measured.json'), '', '--gpu-layers', 'auto'], vulkan(1)).status, 0)
        const { devices } = JSON.parse(readFileSync(join(tmp, 'measured.json'), 'utf8'))
        assert.deepEqual(devices.map(({ name, gpu, software }) => [name, gpu, software ?? false]), [['CPU', false, false], ['Vulkan0', true, true]])
        assert(devices[1].memory_free > 0)
        call(['profile', join(tmp, 'without.json'), '', '--gpu-layers', '0'], vulkan(1))
        assert.equal(JSON.parse(readFileSync(join(tmp, 'without.json'), 'utf8')).devices.length, 1)
    },

    'a driver that crashes ends neither the report nor the node'() {
        const env = { ...vulkan(1), LD_PRELOAD: join(process.env.CARAVAN_BUILD, 'lib/broken_vulkan.so') }
        const report = doctor(env)
        assert.equal(line(report, 'devices').verdict, 'fail')
        assert.match(line(report, 'devices').text, /a driver of a GPU has crashed here/)
    },

    'slices on the GPU are close to the whole model'() {
        const { status, out } = call(['verify', demoModel, '--stages', '3', '--gpu-layers', 'all', '--tokens', '4', '--prompt-tokens', '48'], vulkan(1))
        assert.match(out, /in 3 slices of 3, 2, 3 layers: (close|identical)/)
        assert([0, 2].includes(status))
    },

    'a model larger than the card: some layers on it, the others in RAM; and unloading gives the memory back'() {
        return withNode('part', ['--device', 'Vulkan0', '--gpu-memory', '14M'], 1, async (node) => {
            const [self] = (await node.status()).nodes
            const [stage] = self.stages
            assert.equal(stage.on.length, 1)
            assert.equal(stage.on[0].device, 'Vulkan0')
            assert(stage.on[0].bytes > 1e6 && stage.on[0].bytes <= 14 * 2 ** 20, JSON.stringify(stage))
            assert(stage.on[0].bytes < stage.bytes)
            assert.match(node.logText(), /Vulkan0: layers \d-7 and the output head, .*; RAM: layers 0-\d, the embedding, /)
            /* The plan counts what libllama said of that GPU, although the model was named before the GPU was known. */
            const { sizes } = JSON.parse(readFileSync(join(tmp, 'part', 'sizes.json'), 'utf8'))
            assert(sizes.some((model) => model.whole.gpu > 0), JSON.stringify(sizes))
            assert.equal((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error, null)
            const gone = call(['unload', 'caravan-demo', '--api', node.api.slice('http://'.length)])
            assert.equal(gone.status, 0, gone.out)
            await until('no stage is left', async () => node.stages().length === 0)
            await until('nothing is held', async () => (await node.status()).nodes[0].stages.length === 0)
        })
    },

    async 'a mixture of experts larger than the card: its experts stay in RAM, the rest is on the card'() {
        makeMixture()
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
        }, { model: mixture, faster: 100 })
        /* Where the node says how many, that many, although all would fit; none when it wants none. */
        await withNode('experts-3', ['--device', 'Vulkan0', '--cpu-moe', '3'], 1, async (node) => {
            assert.equal((await node.status()).nodes[0].stages[0].cpu_moe, 3)
        }, { model: mixture, faster: 100 })
        await withNode('experts-0', ['--device', 'Vulkan0', '--gpu-memory', '24M', '--cpu-moe', '0'], 1, async (node) => {
            assert.equal((await node.status()).nodes[0].stages[0].cpu_moe, undefined)
            assert.match(node.logText(), /RAM: layers 0-\d, the embedding, /)
        }, { model: mixture, faster: 100 })
    },

    'slices with experts in RAM are close to the whole model'() {
        makeMixture()
        const { status, out } = call(['verify', mixture, '--stages', '2', '--gpu-layers', 'all', '--cpu-moe', 'all', '--tokens', '4', '--prompt-tokens', '48'], vulkan(1))
        assert.match(out, /in 2 slices of 4, 4 layers: (close|identical)/)
        assert([0, 2].includes(status))
    },

    async 'copies of experts on the card: the slices stay close, a model without experts has none, and the node offers less of the card'() {
        makeMixture()
        const env = { ...vulkan(1), CARAVAN_LOG_LEVEL: 'debug' }
        const verify = (model) => call(['verify', model, '--stages', '2', '--gpu-layers', 'all', '--cpu-moe', 'all', '--moe-cache-mib', '4', '--tokens', '2', '--prompt-tokens', '16'], env)
        const { out } = verify(mixture)
        assert.match(out, /in 2 slices of 4, 4 layers: (close|identical)/)
        assert.match(out, /Vulkan0 MoE cache size = +3\.\d\d MiB for .* of host experts/)
        const dense = verify(demoModel).out
        assert.match(dense, /in 2 slices of 4, 4 layers: (close|identical)/)
        assert.doesNotMatch(dense, /MoE cache size/)
        await withNode('copies', ['--device', 'Vulkan0', '--gpu-memory', '28M', '--cpu-moe', 'all', '--moe-cache-mib', '4', '--log-level', 'debug'], 1, async (node) => {
            const [self] = (await node.status()).nodes
            assert.equal(self.devices.find((d) => d.name === 'Vulkan0').memory_free, 24 * 2 ** 20)
            assert.equal((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error, null)
            assert.match(node.logText(), /Vulkan0 MoE cache size = +3\.\d\d MiB/)
        }, { model: mixture, faster: 100 })
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
        const { status, out } = call(['verify', demoModel, '--stages', '2', '--gpu-layers', 'all', '--split-mode', 'tensor', '--tokens', '2', '--prompt-tokens', '8'], vulkan(2))
        assert.match(out, /in 2 slices of 4, 4 layers: (close|identical)/)
        assert([0, 2].includes(status))
    },

    'a driver in software is not used unless it is named'() {
        return withNode('plain', [], 1, async (node) => {
            const [self] = (await node.status()).nodes
            assert(!self.devices.some((device) => device.gpu))
            assert.deepEqual(self.stages[0].on ?? [], [])
            assert.match(self.stages[0].device, /^CPU/)
        })
    },

    'further backends: this version of ggml is taken, another one refused by name'() {
        const version = /^ggml (\S+)$/m.exec(call(['version']).out)[1]
        const module = readdirSync(process.env.CARAVAN_SOURCE + '/build/sysroot-test/usr/lib', { recursive: true }).find((f) => f.endsWith('libggml-vulkan.so'))
        const folder = (name, ...files) => {
            mkdirSync(join(tmp, name), { recursive: true })
            symlinkSync(join(process.env.CARAVAN_SOURCE, 'build/sysroot-test/usr/lib', module), join(tmp, name, 'libggml-vulkan.so'))
            for (const file of files) writeFileSync(join(tmp, name, file), '')
            return join(tmp, name)
        }
        const refused = (name, words, ...files) => {
            const { status, out } = call(['verify', demoModel, '--tokens', '4', '--backends', folder(name, ...files)])
            assert.notEqual(status, 0)
            assert.match(out, words)
            assert.match(out, /libggml-vulkan\.so/)
        }
        refused('other', /was built with ggml 0\.1\.2, and this program has/, 'libggml-base.so.0.1.2')
        refused('unknown', /cannot tell which ggml/)
        const good = folder('good', `libggml-base.so.${version}`)
        assert.equal(call(['verify', demoModel, '--tokens', '4', '--backends', good]).status, 0)
        /* The same folder in the state folder. Of another version, it is left out with a warning. */
        assert.match(line(doctor(vulkan(1), '--backends', good), 'devices').text, /Vulkan0/)
        assert.equal(line(doctor(vulkan(1), '--backends', join(tmp, 'other')), 'devices').verdict, 'fail')
        const state = join(tmp, 'own')
        mkdirSync(state)
        symlinkSync(join(tmp, 'other'), join(state, 'backends'))
        assert.match(call(['doctor', '--no-discovery', '--state-dir', state], vulkan(1)).out, /was built with ggml 0\.1\.2.*: not used/)
    },
})
