// SPDX-License-Identifier: MIT
// Files for a question: text as it is, pictures as data URLs in a form and a size that models take.
import { bytes } from './format.js'

const TEXT_MAX = 4 << 20, PICTURE_MAX = 64 << 20, SIDE_MAX = 2048, QUALITY = 0.9
const AS_THEY_ARE = ['image/jpeg', 'image/png'] // what every server can decode

const readUrl = (blob) => new Promise((resolve, reject) => Object.assign(new FileReader(), { onload() { resolve(this.result) }, onerror() { reject(this.error) } }).readAsDataURL(blob))

// A picture that is small enough stays as it is; others are drawn anew: smaller, and as JPEG, or as PNG where they may have no ground.
async function pictureOf(file) {
    if (file.size > PICTURE_MAX) throw new Error(`"${file.name}" is too large: ${bytes(file.size)}, at most ${bytes(PICTURE_MAX)}`)
    const bitmap = await createImageBitmap(file).catch(() => {
        throw new Error(`"${file.name}" is no picture that this browser can read`)
    })
    const { width, height } = bitmap, scale = Math.min(1, SIDE_MAX / Math.max(width, height))
    if (scale === 1 && AS_THEY_ARE.includes(file.type)) return { name: file.name, picture: await readUrl(file), width, height }
    const canvas = Object.assign(document.createElement('canvas'), { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) })
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height)
    const type = file.type === 'image/jpeg' ? 'image/jpeg' : 'image/png'
    return { name: file.name, picture: canvas.toDataURL(type, QUALITY), width: canvas.width, height: canvas.height }
}

async function textFileOf(file) {
    if (file.size > TEXT_MAX) throw new Error(`"${file.name}" is too large: ${bytes(file.size)}, at most ${bytes(TEXT_MAX)}`)
    const text = await file.text()
    if (text.includes('\0') || text.includes('\ufffd')) throw new Error(`"${file.name}" is neither text nor a picture`)
    return { name: file.name, text }
}

// { name, text } or { name, picture, width, height }; an error says why a file can't be taken.
export const readFile = (file) => (file.type.startsWith('image/') && file.type !== 'image/svg+xml' ? pictureOf(file) : textFileOf(file))
