// SPDX-License-Identifier: MIT
// For tests of GPUs: nodes with devices in software (lib/vulkan.mjs), slices there beside the whole model, a mixture of experts.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { caravan, demoModel, startCluster, stopCluster } from './cluster.mjs'
import { vulkan } from './vulkan.mjs'

const tmp = process.env.CARAVAN_TMP

export function call(args, env = {}) {
    const done = spawnSync(caravan, args, { env: { ...process.env, ...env }, encoding: 'utf8' })
    return { status: done.status, out: done.stdout + done.stderr }
}

// Slices on the devices must be close to the whole model; layers: those of each slice, as text. Gives what the command and its stages said.
export function verifyClose(model, layers, options, env) {
    const stages = layers.split(',').length
    const { status, out } = call(['verify', model, '--stages', `${stages}`, '--gpu-layers', 'all', ...options], env)
    assert(out.includes(`in ${stages} slices of ${layers} layers: close`) || out.includes(`in ${stages} slices of ${layers} layers: identical`), out)
    assert([0, 2].includes(status), `status ${status}`)
    return out
}

// 15 MB, of which 13 are experts.
export function makeMixture() {
    const path = join(tmp, 'mixture.gguf')
    execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-model'), ['--preset', 'tiny-moe', '--type', 'q8_0', '--out', path])
    return path
}

// A node on its own, with `count` devices in software, that has loaded the model. The devices are `faster` times as fast as its processor.
export async function withNode(name, options, count, test, { env = {}, model = demoModel, faster = 1 } = {}) {
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
