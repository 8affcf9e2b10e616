// SPDX-License-Identifier: MIT
// disk.mjs PORT TOKENS first|second: waits for the model, and prints the time to the first token of a prompt of so many tokens and a few of its
// own. The second prompt must take over the first one's.
const [port, count, which] = process.argv.slice(2)
const api = `http://127.0.0.1:${port}`
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const status = async () => (await fetch(`${api}/caravan/v1/status`)).json()

while (!(await status()).models.some((m) => m.ready)) await sleep(100)
const model = (await (await fetch(`${api}/v1/models`)).json()).data[0].id
const own = which === 'first' ? 7 : 11
const prompt = [...Array.from({ length: Number(count) }, (_, i) => 100 + (i * 131) % 20000), ...Array.from({ length: 16 }, (_, i) => 300 + i * own)]
const began = process.hrtime.bigint()
const response = await fetch(`${api}/v1/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, prompt, max_tokens: 4, temperature: 0, ignore_eos: true, stream: true, stream_options: { include_usage: true } }),
})
let first = 0n, text = ''
for await (const bytes of response.body) {
    text += Buffer.from(bytes).toString()
    if (text.includes('data: ')) first ||= process.hrtime.bigint() // before that, signs of life
}
const cached = Number(/"cached_tokens":(\d+)/.exec(text)?.[1])
if (!response.ok || (which === 'second') !== cached >= 0.9 * Number(count)) throw new Error(`${cached} tokens taken over: ${text}`)
console.log(`disk_${which}_ms ${Number(first - began) / 1e6}`)
