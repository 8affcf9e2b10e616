// SPDX-License-Identifier: MIT
// disk.mjs PORT TOKENS first|second text|picture NAME: waits for the model, and prints as NAME_ms the time to the first token of a prompt of
// so many tokens, or of a picture of so many rows, and of a few tokens of its own. The second prompt must take over the first one's.
import { dataUrl, stripes } from '../e2e/lib/pictures.mjs'

const [port, count, which, kind, name] = process.argv.slice(2)
const api = `http://127.0.0.1:${port}`
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const status = async () => (await fetch(`${api}/caravan/v1/status`)).json()

while (!(await status()).models.some((m) => m.ready)) await sleep(100)
const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
const own = which === 'first' ? 7 : 11
const text = () => ({ prompt: [...Array.from({ length: Number(count) }, (_, i) => 100 + (i * 131) % 20000), ...Array.from({ length: 16 }, (_, i) => 300 + i * own)] })
const picture = () => {
    const question = which === 'first' ? 'What is it?' : `Question ${name}: who walks there?`
    return { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: dataUrl(stripes(600, 400)) } }, { type: 'text', text: question }] }] }
}
const body = JSON.stringify({ model, max_tokens: 4, temperature: 0, ignore_eos: true, stream: true, stream_options: { include_usage: true }, ...(kind === 'text' ? text() : picture()) })
const began = process.hrtime.bigint()
const response = await fetch(`${api}/v1/${kind === 'text' ? 'completions' : 'chat/completions'}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
let first = 0n, answer = ''
for await (const bytes of response.body) {
    answer += Buffer.from(bytes).toString()
    if (/"(text|content)":"[^"]/.test(answer)) first ||= process.hrtime.bigint() // before that, signs of life and who speaks
}
const cached = Number(/"cached_tokens":(\d+)/.exec(answer)?.[1])
if (!response.ok || (which === 'second') !== cached >= 0.9 * Number(count)) throw new Error(`${cached} tokens taken over: ${answer}`)
console.log(`${name}_ms ${Number(first - began) / 1e6}`)
