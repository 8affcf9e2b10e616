// SPDX-License-Identifier: MIT
// A GPU in software for end-to-end tests: Mesa's lavapipe out of the test sysroot. vulkan(n) gives the environment in which a node sees n such devices;
// vulkan(0) one in which it has the driver, and no device.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(process.env.CARAVAN_SYSROOT_DIR ?? join(process.env.CARAVAN_SOURCE, 'build'), 'sysroot-test')

function libraries() {
    const folder = join(root, 'usr/lib')
    const name = existsSync(folder) && readdirSync(folder).find((file) => file.endsWith('-linux-gnu'))
    return name ? join(folder, name) : null
}

export function vulkan(count) {
    const folder = libraries()
    const descriptions = join(root, 'usr/share/vulkan/icd.d')
    const description = folder && existsSync(descriptions) && readdirSync(descriptions).find((file) => file.startsWith('lvp_icd'))
    if (!description || process.env.CARAVAN_SANITIZE) {
        console.log('skipped: no software driver for GPUs (make sysroot-test)')
        process.exit(77)
    }
    // The description names the driver's library as it is found in a system: write the real place into it.
    const home = join(process.env.CARAVAN_TMP, 'vulkan')
    mkdirSync(home, { recursive: true })
    const text = JSON.parse(readFileSync(join(descriptions, description), 'utf8'))
    text.ICD.library_path = join(folder, text.ICD.library_path.split('/').at(-1))
    writeFileSync(join(home, 'lvp_icd.json'), JSON.stringify(text))
    const env = { VK_DRIVER_FILES: join(home, 'lvp_icd.json'), VK_LOADER_LAYERS_DISABLE: '~all~', LD_LIBRARY_PATH: folder, CARAVAN_GPU_LAYERS: undefined, CARAVAN_UBATCH: undefined,
        LP_NUM_THREADS: '1', /* its threads wait for one another, for ever on a busy machine */
        MESA_SHADER_CACHE_DIR: join(process.env.CARAVAN_BUILD, 'vulkan-cache') /* compiling shaders takes most of the time of these tests */ }
    /* A processor counts as a device only when it is named. */
    return count > 0 ? { ...env, GGML_VK_VISIBLE_DEVICES: Array(count).fill(0).join(',') } : env
}
