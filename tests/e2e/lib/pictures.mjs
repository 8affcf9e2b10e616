// SPDX-License-Identifier: MIT
// Pictures and sounds for tests: PNG files of any size, WAV files, tiny models that see and hear, and Debian's llama-server beside them.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import zlib from 'node:zlib'
import { caravan, until } from './cluster.mjs'
import { freePort } from './port.mjs'

const tmp = process.env.CARAVAN_TMP
const root = join(process.env.CARAVAN_SYSROOT_DIR ?? join(process.env.CARAVAN_SOURCE, 'build'), 'sysroot-test')

// ---- files ----

const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]), frame = Buffer.alloc(8)
    frame.writeUInt32BE(data.length, 0)
    frame.writeUInt32BE(crc(body), 4)
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
}
function crc(bytes) {
    let c = 0xffffffff
    for (const byte of bytes) {
        c ^= byte
        for (let i = 0; i < 8; i++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
    }
    return (c ^ 0xffffffff) >>> 0
}
// data: what is packed; else the pixels that paint(x, y) gives, as [red, green, blue].
export function png(width, height, paint, data = undefined) {
    const head = Buffer.alloc(13)
    head.writeUInt32BE(width, 0)
    head.writeUInt32BE(height, 4)
    head.set([8, 2, 0, 0, 0], 8)
    const row = 1 + 3 * width
    const raw = data ?? Buffer.alloc(row * height)
    for (let y = 0; y < height && !data; y++) for (let x = 0; x < width; x++) raw.set(paint(x, y).map((v) => v & 255), y * row + 1 + 3 * x)
    return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', head), chunk('IDAT', zlib.deflateSync(raw)), chunk('IEND', Buffer.alloc(0))])
}
export const stripes = (width, height, a = 3, b = 5) => png(width, height, (x, y) => [x * a, y * b, x * y])
export const dataUrl = (file, type = 'image/png') => `data:${type};base64,${file.toString('base64')}`

// seconds of a falling tone, 16 bits, one channel
export function wav(seconds, rate = 16000) {
    const n = Math.floor(seconds * rate), file = Buffer.alloc(44 + 2 * n)
    file.write('RIFF', 0)
    file.writeUInt32LE(36 + 2 * n, 4)
    file.write('WAVEfmt ', 8)
    file.writeUInt32LE(16, 16)
    file.writeUInt16LE(1, 20)
    file.writeUInt16LE(1, 22)
    file.writeUInt32LE(rate, 24)
    file.writeUInt32LE(2 * rate, 28)
    file.writeUInt16LE(2, 32)
    file.writeUInt16LE(16, 34)
    file.write('data', 36)
    file.writeUInt32LE(2 * n, 40)
    for (let i = 0; i < n; i++) file.writeInt16LE(Math.round(12000 * Math.sin((i * 600) / (rate + i))), 44 + 2 * i)
    return file
}

// ---- models ----

const KINDS = {
    llava: { preset: 'tiny', width: 256 },
    gemma3: { preset: 'tiny-gemma3', width: 64 },
    'qwen2.5vl': { preset: 'tiny-qwen2vl', width: 64 },
    gemma4: { preset: 'tiny-gemma4', width: 64, projector: 'llava' },
    cogvlm: { preset: 'tiny-cogvlm', width: 64, projector: 'llava' },
    qwen2a: { preset: 'tiny', width: 256 },
}
// A tiny model and its projector beside it, in a folder of their own; `alone`: without the projector there.
export function makeModel(like, { alone = false } = {}) {
    const { preset, width, projector = like } = KINDS[like], tools = dirname(caravan)
    const folder = join(tmp, alone ? `${like}-alone` : like), model = join(folder, `${preset}.gguf`), mmproj = join(alone ? tmp : folder, `mmproj-${like}.gguf`)
    mkdirSync(folder, { recursive: true })
    if (!existsSync(model)) execFileSync(join(tools, 'make-model'), ['--preset', preset, '--type', 'f32', '--out', model])
    if (!existsSync(mmproj)) execFileSync(join(tools, 'make-projector'), ['--like', projector, '--width', `${width}`, '--out', mmproj])
    return { model, mmproj, name: preset }
}

// ---- llama-server ----

function command() {
    const program = join(root, 'usr/bin/llama-server'), lib = join(root, 'usr/lib')
    const libraries = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith('-linux-gnu')).map((name) => join(lib, name))[0] : undefined
    const loader = libraries && readdirSync(libraries).find((name) => name.startsWith('ld-linux'))
    return loader && existsSync(program) ? [join(libraries, loader), '--library-path', `${libraries}:${join(libraries, 'llama')}`, program] : null
}
export const hasServer = command() !== null

const running = new Set()
process.on('exit', () => running.forEach((p) => p.kill('SIGKILL')))

export async function startServer({ model, mmproj }) {
    const port = await freePort(), log = join(tmp, `llama-server-${port}.log`), out = openSync(log, 'a')
    const [program, ...args] = command()
    const p = spawn(program, [...args, '-m', model, '--mmproj', mmproj, '--no-mmproj-offload', '--host', '127.0.0.1', '--port', `${port}`, '-t', '1', '-ngl', '0', '-c', '2048', '-np', '1', '--no-webui'], { stdio: ['ignore', out, out] })
    running.add(p)
    const exited = new Promise((resolve) => p.on('exit', resolve))
    p.unref()
    await until('llama-server', () => readFileSync(log, 'utf8').includes('listening on http') || p.exitCode !== null || p.signalCode !== null).catch(() => p.kill('SIGKILL'))
    assert.ok(readFileSync(log, 'utf8').includes('listening on http'), readFileSync(log, 'utf8').slice(0, 2000))
    return {
        api: `http://127.0.0.1:${port}`,
        async stop() {
            p.kill('SIGKILL')
            running.delete(p)
            await exited
        },
    }
}
