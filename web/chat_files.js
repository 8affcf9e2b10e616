// SPDX-License-Identifier: MIT
// Files for a question: text as it is, pictures as data URLs in a form and a size that models take.
import { bytes } from './format.js'

const TEXT_MAX = 4 << 20, PICTURE_MAX = 64 << 20, SIDE_MAX = 2048, QUALITY = 0.9
const SENT_MAX = 2 << 20 // of one picture: a request may have 10 MB of them, and a conversation sends all of its pictures again

const readUrl = (blob) => new Promise((resolve, reject) => Object.assign(new FileReader(), { onload() { resolve(this.result) }, onerror() { reject(this.error) } }).readAsDataURL(blob))
const blobOf = (canvas, type) => new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY))

// The form that every server can decode, by the first bytes: files often have the name and the type of another form. undefined: another one.
function formOf(head) {
    const starts = (...mark) => mark.every((byte, i) => head[i] === byte)
    return starts(0xff, 0xd8, 0xff) ? 'image/jpeg' : starts(0x89, 0x50, 0x4e, 0x47) ? 'image/png' : undefined
}

// Says how a camera was held: browsers turn such a picture, servers don't. It also says where it was taken.
const hasExif = (head) => /Exif\0\0|eXIf/.test(new TextDecoder('latin1').decode(head))

// As PNG, which keeps every pixel and may have no ground, if that isn't too long; else as JPEG, on white.
async function drawn(bitmap, scale, form) {
    const canvas = Object.assign(document.createElement('canvas'), { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) })
    const context = canvas.getContext('2d')
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
    const whole = form === 'image/jpeg' ? null : await blobOf(canvas, 'image/png')
    if (whole && whole.size <= SENT_MAX) return { canvas, blob: whole }
    context.globalCompositeOperation = 'destination-over'
    context.fillStyle = 'white'
    context.fillRect(0, 0, canvas.width, canvas.height)
    return { canvas, blob: await blobOf(canvas, 'image/jpeg') }
}

// A JPEG or PNG that is small enough stays as it is; all else that the browser can read (WebP, AVIF, GIF) is drawn anew.
async function pictureOf(file, wrong) {
    if (file.size > PICTURE_MAX) throw new Error(`"${file.name}" is too large: ${bytes(file.size)}, at most ${bytes(PICTURE_MAX)}`)
    const bitmap = await createImageBitmap(file).catch(() => {
        throw new Error(wrong)
    })
    const { width, height } = bitmap, scale = Math.min(1, SIDE_MAX / Math.max(width, height))
    const head = new Uint8Array(await file.slice(0, 64 << 10).arrayBuffer()), form = formOf(head)
    if (scale === 1 && form && file.size <= SENT_MAX && !hasExif(head)) return { name: file.name, picture: await readUrl(new Blob([file], { type: form })), width, height }
    const { canvas, blob } = await drawn(bitmap, scale, form)
    if (!blob) throw new Error(wrong)
    return { name: file.name, picture: await readUrl(blob), width: canvas.width, height: canvas.height }
}

// A file without a type, or with a wrong one, may be a picture all the same.
async function textFileOf(file) {
    const large = `"${file.name}" is too large: ${bytes(file.size)}, at most ${bytes(TEXT_MAX)}`
    if (file.size > PICTURE_MAX) throw new Error(large)
    if (file.size > TEXT_MAX) return pictureOf(file, large)
    const text = await file.text()
    if (text.includes('\0') || text.includes('\ufffd')) return pictureOf(file, `"${file.name}" is neither text nor a picture`)
    return { name: file.name, text }
}

// { name, text } or { name, picture, width, height }; an error says why a file can't be taken.
export const readFile = (file) => (file.type.startsWith('image/') && file.type !== 'image/svg+xml' ? pictureOf(file, `"${file.name}" is no picture that this browser can read`) : textFileOf(file))
