// SPDX-License-Identifier: MIT
// GPUs with real nodes, on Mesa's software driver: what the doctor says, slices there against the whole model, further backends.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, caravan, demoModel, run, startCluster, stopCluster, until } from './lib/cluster.mjs'
import { vulkan } from './lib/vulkan.mjs'

const tmp = process.env.CARAVAN_TMP
const call = (args, env = {}) => {
    const done = spawnSync(caravan, args, { env: { ...process.env, ...env }, encoding: 'utf8' })
    return { status: done.status, out: done.stdout + done.stderr }
}
const doctor = (env, ...more) => JSON.parse(spawnSync(caravan, ['doctor', '--json', '--no-discovery', ...more], { env: { ...process.env, ...env }, encoding: 'utf8' }).stdout)
const line = (report, check) => report.checks.find((c) => c.check === check)

// A node on its own, with `count` devices in software, that has loaded the demo model.
async function withNode(name, options, count, test, env = {}) {
    /* What an earlier measurement has found, so that nothing waits for one. */
    const figures = { memory_total: 2 ** 30, memory_free: 2 ** 30, bandwidth: 5e9, flops: 5e10 }
    const gpus = Array.from({ length: count }, (_, i) => ({ name: `Vulkan${i}`, gpu: true, software: true, ...figures }))
    mkdirSync(join(tmp, name), { recursive: true })
    writeFileSync(join(tmp, name, 'profile.json'), JSON.stringify({ devices: [{ name: 'CPU', ...figures }, ...gpus], disk: 1e9, quiet: true }))
    const [node] = await startCluster([name], { memory: '512M', first: ['--ctx', '1024', '--parallel', '2'], options, env: { ...vulkan(count), ...env } })
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
        return withNode('part', ['--device', 'Vulkan0', '--gpu-memory', '30M'], 1, async (node) => {
            const [self] = (await node.status()).nodes
            const [stage] = self.stages
            assert.equal(stage.on.length, 1)
            assert.equal(stage.on[0].device, 'Vulkan0')
            assert(stage.on[0].bytes > 1e6 && stage.on[0].bytes <= 30 * 2 ** 20, JSON.stringify(stage))
            assert(stage.on[0].bytes < stage.bytes)
            assert.match(node.logText(), /Vulkan0: layers \d-7 and the output head, .*; RAM: layers 0-\d, the embedding, /)
            assert.equal((await ask(node.api, 'Who are you?', { max_tokens: 3 })).error, null)
            const gone = call(['unload', 'caravan-demo', '--api', node.api.slice('http://'.length)])
            assert.equal(gone.status, 0, gone.out)
            await until('no stage is left', async () => node.stages().length === 0)
            await until('nothing is held', async () => (await node.status()).nodes[0].stages.length === 0)
        })
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
