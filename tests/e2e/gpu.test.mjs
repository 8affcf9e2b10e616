// SPDX-License-Identifier: MIT
// GPUs with real nodes, on Mesa's software driver: what the doctor says, slices there against the whole model, a model larger than the card, further
// backends. Experts: gpu_experts.test.mjs; several cards and lost ones: gpu_cards.test.mjs.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, caravan, demoModel, run, until } from './lib/cluster.mjs'
import { call, verifyClose, withNode } from './lib/gpu.mjs'
import { vulkan } from './lib/vulkan.mjs'

const tmp = process.env.CARAVAN_TMP
const doctor = (env, ...more) => JSON.parse(spawnSync(caravan, ['doctor', '--json', '--no-discovery', ...more], { env: { ...process.env, ...env }, encoding: 'utf8' }).stdout)
const line = (report, check) => report.checks.find((c) => c.check === check)

// A driver that never answers: the doctor gives it up after half a minute, while the other tests run.
const hangs = new Promise((resolve) => {
    const env = { ...process.env, ...vulkan(1), LD_PRELOAD: join(process.env.CARAVAN_BUILD, 'lib/broken_vulkan.so'), VK_CARAVAN_HANGS: 'yes' }
    execFile(caravan, ['doctor', '--json', '--no-discovery'], { env }, (_, out) => resolve(out))
})

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

    'slices on the GPU are close to the whole model; a model without experts has no copies of any'() {
        const options = ['--cpu-moe', 'all', '--moe-cache-mib', '4', '--tokens', '4', '--prompt-tokens', '48']
        assert.doesNotMatch(verifyClose(demoModel, '3, 2, 3', options, { ...vulkan(1), CARAVAN_LOG_LEVEL: 'debug' }), /MoE cache size/)
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

    'a driver in software is not used unless it is named'() {
        return withNode('plain', [], 1, async (node) => {
            const [self] = (await node.status()).nodes
            assert(!self.devices.some((device) => device.gpu))
            assert.deepEqual(self.stages[0].on ?? [], [])
            assert.match(self.stages[0].device, /^CPU/)
            assert.doesNotMatch(node.logText(), /asks for a GPU/)
        })
    },

    async 'where a GPU is asked for and there is none, the node says so, and the processor computes'() {
        for (const [name, options] of [['all', ['--gpu-layers', 'all']], ['named', ['--device', 'Vulkan7']]])
            await withNode(name, options, 0, (node) => until('it is said', () => node.logText().includes(`${options[0]} asks for a GPU, and none can be used here`)))
    },

    'further backends: this version of ggml is taken, another one refused by name'() {
        const version = /^ggml (\S+)$/m.exec(call(['version']).out)[1]
        const module = readdirSync(process.env.CARAVAN_SOURCE + '/build/sysroot-test/usr/lib', { recursive: true }).find((f) => f.endsWith('libggml-vulkan.so'))
        const folder = (name, ...files) => {
            mkdirSync(join(tmp, name), { recursive: true })
            copyFileSync(join(process.env.CARAVAN_SOURCE, 'build/sysroot-test/usr/lib', module), join(tmp, name, 'libggml-vulkan.so'))
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
        /* It takes the place of Caravan's own, so the device is there once. */
        assert.equal(line(doctor(vulkan(1), '--backends', good), 'devices').text.match(/Vulkan0/g).length, 1)
        /* One that is none, beside it: the doctor says what is wrong with it, and the other is used all the same. */
        writeFileSync(join(good, 'libggml-cuda.so'), 'this is no module')
        const report = doctor(vulkan(1), '--backends', good)
        assert.match(line(report, 'devices').text, /Vulkan0/)
        assert.equal(line(report, 'backends').verdict, 'fail')
        assert.match(line(report, 'backends').text, /libggml-cuda\.so" cannot be loaded: .*(file too short|invalid ELF header)/)
        assert.match(line(report, 'backends').hint, /ldd/)
        /* The same folder in the state folder. Of another version, it is left out with a warning. */
        assert.equal(line(doctor(vulkan(1), '--backends', join(tmp, 'other')), 'devices').verdict, 'fail')
        const state = join(tmp, 'own')
        mkdirSync(state)
        symlinkSync(join(tmp, 'other'), join(state, 'backends'))
        assert.match(call(['doctor', '--no-discovery', '--state-dir', state], vulkan(1)).out, /was built with ggml 0\.1\.2.*: not used/)
    },

    async 'a driver that never answers ends the look at it, not the report'() {
        const report = JSON.parse(await hangs)
        assert.equal(line(report, 'devices').verdict, 'fail')
        assert.match(line(report, 'devices').text, /a driver of a GPU has not answered here for 30 s/)
    },
})
