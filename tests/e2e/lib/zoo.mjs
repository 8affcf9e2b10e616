// SPDX-License-Identifier: MIT
// Tiny models of architectures, as llama.cpp's own test writes them (random weights), with their layers repeated to 8.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const tmp = process.env.CARAVAN_TMP
const root = join(process.env.CARAVAN_SYSROOT_DIR ?? join(process.env.CARAVAN_SOURCE, 'build'), 'sysroot-test')
const find = (folder, ...how) => {
    try {
        return execFileSync('find', [folder, ...how], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0]
    } catch {
        return ''
    }
}
const maker = find(join(root, 'usr'), '-name', 'test-llama-archs', '-type', 'f')
// Why tests that need such models are skipped; false: they aren't.
export const noZoo = maker === '' && "llama.cpp's tests are not here; make sysroot-test fetches them"

// Architectures of which llama.cpp's test writes no model.
const OURS = { gemma4: 'tiny-gemma4', rwkv6: 'tiny-rwkv6', rwkv6qwen2: 'tiny-rwkv6qwen2', rwkv7: 'tiny-rwkv7', arwkv7: 'tiny-arwkv7' }

// The paths of the models of one architecture. context: what they were trained with; such models also have a vocabulary with texts, the
// others can only be given tokens.
export function makeZoo(architecture, { context } = {}) {
    if (OURS[architecture]) {
        const model = join(tmp, `${architecture}.gguf`)
        execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make-model'), ['--preset', OURS[architecture], '--type', 'f32', '--out', model])
        return [model]
    }
    const libraries = find(join(root, 'usr/lib'), '-maxdepth', '1', '-type', 'd', '-name', '*-linux-gnu*')
    const backends = find(join(libraries, 'ggml'), '-maxdepth', '1', '-type', 'd', '-name', 'backends*')
    const loader = find(libraries, '-maxdepth', '1', '-name', 'ld-linux*.so.*') || find(join(root, 'usr/lib64'), '-maxdepth', '1', '-name', 'ld-linux*.so.*')
    const raw = join(tmp, `raw-${architecture}`)
    mkdirSync(raw)
    execFileSync(loader, ['--library-path', libraries, maker, '--out', raw, '--arch', `^${architecture}$`, '--seed', '1'], { cwd: backends, stdio: 'ignore' })
    const models = readdirSync(raw).map((name) => {
        const model = join(tmp, name)
        execFileSync(join(process.env.CARAVAN_BUILD, 'bin/zoo-deepen'), [join(raw, name), model, ...(context ? ['--context', `${context}`] : [])], { stdio: 'ignore' })
        return model
    })
    rmSync(raw, { recursive: true })
    return models
}
