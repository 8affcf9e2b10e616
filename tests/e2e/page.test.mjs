// SPDX-License-Identifier: MIT
// The web page in a browser, on the scripted backend: how its files are served, keys, the chat and its errors, widths and colours.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test, { after } from 'node:test'
import { gunzipSync } from 'node:zlib'
import http from 'node:http'
import { SIZES, THEMES, View, browser } from './lib/browser.mjs'
import { Fake, script, until } from './lib/openai.mjs'

const fake = await new Fake().open()
after(async () => {
    await browser.close()
    await fake.stop()
})
// One more, for one test.
async function another(t, options) {
    const more = await new Fake(options).open()
    t.after(() => more.stop('SIGKILL'))
    return more
}
// A script whose tokens are words of this text.
const saying = (text, more = {}) => script({ pieces: text.match(/[^]{1,12}/g), ...more })

async function send(view, text) {
    await view.page.getByLabel('Your message').last().fill(text)
    await view.page.getByRole('button', { name: 'Send' }).click()
}
const answer = (view) => view.page.locator('.answer').last()
const whole = (view) => view.page.locator('.answer[aria-busy="false"] footer').last().waitFor()
async function chat(options = {}) {
    const view = await View.open(options.api ?? fake.api, { path: '#/chat', ...options })
    await view.page.locator('.model option[value="fake-model"]').waitFor({ state: 'attached' })
    await view.page.locator('.model').selectOption(options.model ?? 'fake-model')
    return view
}

// The bytes as they come: fetch would unpack them.
const raw = (path, headers = {}) => new Promise((resolve, reject) => http.get(fake.api + path, { headers }, (r) => {
    const parts = []
    r.on('data', (part) => parts.push(part)).on('end', () => resolve({ status: r.statusCode, headers: r.headers, body: Buffer.concat(parts) }))
}).on('error', reject))

test('browsers get the page at /, programs a line of text', async () => {
    for (const accept of [undefined, '*/*', 'application/json', 'text/html;q=0']) {
        const r = await raw('/', accept ? { accept } : {})
        assert.match(r.headers['content-type'], /^text\/plain/)
        assert.match(r.body.toString(), /is running/)
    }
    const page = await raw('/', { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' })
    assert.match(page.headers['content-type'], /^text\/html/)
    assert.match(page.headers['content-security-policy'], /default-src 'none'; script-src 'self'/)
    assert.doesNotMatch(page.body.toString(), /<script(?![^>]* src=)|style=|https?:\/\//)
    assert.equal((await raw('/web/nothing.js')).status, 404)
})

test('files are compressed where the client understands that, and not sent again to whoever has them', async () => {
    const plain = await raw('/web/app.js'), zipped = await raw('/web/app.js', { 'accept-encoding': 'br, gzip' })
    assert.equal(plain.headers['content-encoding'], undefined)
    assert.equal(zipped.headers['content-encoding'], 'gzip')
    assert.ok(zipped.body.length < plain.body.length)
    assert.deepEqual(gunzipSync(zipped.body), plain.body)
    assert.notEqual(plain.headers.etag, zipped.headers.etag)
    const again = await raw('/web/app.js', { 'accept-encoding': 'gzip', 'if-none-match': zipped.headers.etag })
    assert.deepEqual([again.status, again.body.length], [304, 0])
    assert.equal((await raw('/web/app.js', { 'if-none-match': '"other"' })).status, 200)
})

test('an answer comes as formatted text, and nothing of it is executed or fetched', async () => {
    const view = await chat()
    const text = '# Llamas\n\n- one\n- **two**\n\n```python\ndef pack(n):\n    return n + 1\n```\n\n<script>window.bad = 1</script><img src=x onerror="window.bad=2">\n\n' +
        '![gone](http://203.0.113.9/x.png) [link](https://example.org) [bad](javascript:window.bad=3) <b style="color:red" onclick="window.bad=4">b</b> H<sub>2</sub>O\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'
    await send(view, `Please ${saying(text)}`)
    await whole(view)
    const prose = answer(view).locator('.prose')
    assert.equal(await prose.locator('h1').textContent(), 'Llamas')
    assert.equal(await prose.locator('li strong').textContent(), 'two')
    assert.equal(await prose.locator('table td').count(), 2)
    assert.equal(await prose.locator('sub').textContent(), '2')
    await prose.locator('.hljs-keyword').first().waitFor()
    assert.equal(await prose.locator('script, img, [style], [onclick]').count(), 0)
    assert.match(await prose.textContent(), /<script>window.bad = 1<\/script>/)
    assert.equal(await view.page.evaluate(() => window.bad), undefined)
    const link = prose.getByRole('link', { name: 'link', exact: true })
    assert.deepEqual([await link.getAttribute('href'), await link.getAttribute('rel')], ['https://example.org', 'noopener noreferrer'])
    assert.equal(await prose.locator('a[href^="javascript"]').count(), 0)
    await view.context.grantPermissions(['clipboard-read', 'clipboard-write'])
    await prose.locator('.code').getByRole('button', { name: 'Copy' }).click()
    assert.equal(await view.page.evaluate(() => navigator.clipboard.readText()), 'def pack(n):\n    return n + 1\n')
    assert.match(await answer(view).locator('footer').textContent(), /tokens\/s.*first token after/)
    await view.close()
})

test('stop, regenerate, edit; after a new start of the browser tab all is there; export and delete', async () => {
    const view = await chat()
    await send(view, `First ${script({ pieces: ['word '], repeat: 2000, delay_ms: 10 })}`)
    await until('words come', async () => (await answer(view).locator('.prose').textContent()).length > 20)
    await view.page.getByRole('button', { name: 'Stop' }).click()
    await answer(view).getByText('Stopped').waitFor()
    await until('the node has stopped too', async () => (await fake.status()).running === 0)
    const kept = await answer(view).locator('.prose').textContent()
    await view.page.reload()
    assert.equal((await answer(view).locator('.prose').textContent()).trim(), kept.trim())
    await view.page.locator('.question').hover()
    await view.page.getByRole('button', { name: 'Edit' }).click()
    await view.page.locator('.edit textarea').fill(`Second ${saying('a short one')}`)
    await view.page.getByRole('button', { name: 'Ask this instead' }).click()
    await whole(view)
    assert.equal((await answer(view).locator('.prose').textContent()).trim(), 'a short one')
    assert.equal(await view.page.locator('.message').count(), 2)
    const before = (await fake.status()).submitted
    await view.page.getByRole('button', { name: 'Regenerate' }).click()
    await until('it is asked again', async () => (await fake.status()).submitted === before + 1)
    await whole(view)
    assert.equal(await view.page.locator('.message').count(), 2)
    await view.page.getByRole('button', { name: 'Export' }).click()
    const [saved] = await Promise.all([view.page.waitForEvent('download'), view.page.getByRole('dialog').getByRole('button', { name: 'JSON' }).click()])
    assert.equal(JSON.parse(readFileSync(await saved.path(), 'utf8')).messages[1].text, 'a short one')
    await view.page.getByRole('button', { name: 'Delete', exact: true }).click()
    await view.page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click()
    await view.page.getByText('None yet').waitFor()
    assert.equal(await view.page.locator('.message').count(), 0)
    await view.close()
})

test('settings and files are in the request', async () => {
    const view = await chat()
    await view.page.getByRole('button', { name: 'Settings' }).click()
    const dialog = view.page.getByRole('dialog')
    await dialog.getByLabel('System prompt').fill('Speak like a llama.')
    await dialog.getByLabel('temperature').fill('0')
    await dialog.getByLabel('seed').fill('7')
    await dialog.getByRole('button', { name: 'Use these' }).click()
    const files = view.page.locator('input[type=file]')
    await files.setInputFiles([{ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('the road is long') }, { name: 'data.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([1, 0, 255]) }])
    await view.page.getByText('"data.bin" is neither text nor a picture').waitFor()
    await files.setInputFiles([{ name: 'photo.png', mimeType: 'image/png', buffer: Buffer.from([137, 80, 78, 71, 0, 255]) }])
    await view.page.getByText('"photo.png" is no picture that this browser can read').waitFor()
    const [request] = await Promise.all([view.page.waitForRequest('**/v1/chat/completions'), send(view, 'Read this')])
    const body = request.postDataJSON()
    assert.deepEqual([body.temperature, body.seed, body.messages[0]], [0, 7, { role: 'system', content: 'Speak like a llama.' }])
    assert.match(body.messages[1].content, /File "notes.txt":\n```\nthe road is long\n```\n\nRead this/)
    await whole(view)
    await view.close()
})

test('pictures go along, small enough; a model that takes none says so, and is asked without them', async () => {
    const view = await chat({ expected: [/status of [45]/] })
    const files = view.page.locator('input[type=file]'), big = await view.page.evaluate(() => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 3000, height: 60 })
        canvas.getContext('2d').fillRect(0, 0, 3000, 60)
        return canvas.toDataURL('image/png').split(',')[1]
    })
    await files.setInputFiles([{ name: 'wide.png', mimeType: 'image/png', buffer: Buffer.from(big, 'base64') }])
    await view.page.getByRole('button', { name: 'Remove wide.png' }).waitFor()
    await view.check()
    const [request] = await Promise.all([view.page.waitForRequest('**/v1/chat/completions'), send(view, `What is this? ${saying('Nothing')}`)])
    const [picture, words] = request.postDataJSON().messages[0].content
    assert.deepEqual([picture.type, words.type], ['image_url', 'text'])
    assert.match(picture.image_url.url, /^data:image\/png;base64,/)
    const [width, height] = await view.page.evaluate((url) => createImageBitmap(new Blob([Uint8Array.from(atob(url.split(',')[1]), (c) => c.charCodeAt(0))])).then((b) => [b.width, b.height]), picture.image_url.url)
    assert.deepEqual([width, height], [2048, 41])
    await view.page.getByRole('img', { name: 'wide.png' }).waitFor()
    await answer(view).getByRole('alert').waitFor()
    await view.check()
    const [again] = await Promise.all([view.page.waitForRequest('**/v1/chat/completions'), answer(view).getByRole('button', { name: 'Ask without the pictures' }).click()])
    assert.match(again.postDataJSON().messages[0].content, /^What is this/)
    await whole(view)
    assert.equal((await answer(view).locator('.prose').textContent()).trim(), 'Nothing')
    await view.close()
})

// What servers can't decode is drawn anew: by what the file is, not by its name. A camera's note on how it was held is carried out, and left out.
test('pictures of every form that the browser reads are sent as PNG or JPEG', async () => {
    const view = await chat({ expected: [/status of [45]/] })
    // A picture of this width and height in a form; noise: of that every point differs. The upper left is red, the lower left can be seen through.
    const made = async (type, width, height, noise = false) => Buffer.from(await view.page.evaluate(([type, width, height, noise]) => {
        const canvas = Object.assign(document.createElement('canvas'), { width, height }), context = canvas.getContext('2d')
        if (noise) {
            const points = context.createImageData(width, height)
            for (let i = 0, x = 1; i < points.data.length; i++) points.data[i] = i % 4 === 3 ? 255 : (x = (x * 48271) % 2147483647) & 255
            context.putImageData(points, 0, 0)
        } else {
            context.fillStyle = 'red'
            context.fillRect(0, 0, width, height / 2)
        }
        return canvas.toDataURL(type, 1).split(',')[1]
    }, [type, width, height, noise]), 'base64')
    const jpeg = await made('image/jpeg', 60, 20), tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0] // held so that it has to be turned to the right
    const turned = Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xe1, 0, 2 + 6 + tiff.length]), Buffer.from('Exif\0\0'), Buffer.from(tiff), jpeg.subarray(2)])
    const bmp = Buffer.alloc(54 + 8)
    bmp.write('BM')
    bmp.writeUInt32LE(bmp.length, 2)
    for (const [at, value] of [[10, 54], [14, 40], [18, 2], [22, 1], [26, 1 | (24 << 16)], [34, 8]]) bmp.writeUInt32LE(value, at)
    const webp = await made('image/webp', 40, 30), noise = await made('image/webp', 1200, 1000, true), png = await made('image/png', 50, 10), points = await made('image/png', 1000, 900, true)
    assert.equal(webp.toString('latin1', 8, 12), 'WEBP')
    assert.ok(points.length > 2 << 20)
    const files = [ // name, type, bytes; the form and size that is sent; the very bytes?
        ['a.webp', 'image/webp', webp, 'png', 40, 30], ['wrong.png', 'image/png', webp, 'png', 40, 30], ['none', '', webp, 'png', 40, 30],
        ['b.bmp', 'image/bmp', bmp, 'png', 2, 1], ['noise.webp', 'image/webp', noise, 'jpeg', 1200, 1000], ['points.png', 'image/png', points, 'jpeg', 1000, 900],
        ['turned.jpg', 'image/jpeg', turned, 'jpeg', 20, 60], ['c.jpg', 'image/jpeg', jpeg, 'jpeg', 60, 20, true], ['d.jpg', 'image/jpeg', png, 'png', 50, 10, true],
    ]
    await view.page.locator('input[type=file]').setInputFiles(files.map(([name, mimeType, buffer]) => ({ name, mimeType, buffer })))
    for (const [name] of files) await view.page.getByRole('button', { name: `Remove ${name}` }).waitFor()
    const [request] = await Promise.all([view.page.waitForRequest('**/v1/chat/completions'), send(view, 'What are these?')])
    const sent = request.postDataJSON().messages[0].content.filter((part) => part.type === 'image_url').map((part) => part.image_url.url)
    assert.equal(sent.length, files.length)
    for (const [i, [name, , buffer, form, width, height, same]] of files.entries()) {
        const bytes = Buffer.from(sent[i].split(',')[1], 'base64'), magic = bytes.toString('hex', 0, 3)
        assert.ok(sent[i].startsWith(`data:image/${form};base64,`), `${name}: ${sent[i].slice(0, 30)}`)
        assert.equal(magic, form === 'png' ? '89504e' : 'ffd8ff', name)
        assert.ok(bytes.length <= 2 << 20, `${name}: ${bytes.length} bytes`)
        assert.equal(bytes.equals(buffer), same ?? false, name)
        assert.equal(bytes.includes('Exif'), false, name)
        const size = await view.page.evaluate((url) => createImageBitmap(new Blob([Uint8Array.from(atob(url.split(',')[1]), (c) => c.charCodeAt(0))])).then((b) => [b.width, b.height]), sent[i])
        assert.deepEqual(size, [width, height], name)
    }
    await answer(view).getByRole('alert').waitFor()
    await view.close()
})

test('reasoning is folded away; a call of a tool is shown, and its result goes back to the model', async () => {
    const view = await chat({ model: 'hermes' })
    await view.page.getByRole('button', { name: 'Settings' }).click()
    const dialog = view.page.getByRole('dialog')
    await dialog.getByText('Tools that the model may call').click()
    await dialog.getByLabel('Tools, as OpenAI writes them').fill('[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]')
    await dialog.getByRole('button', { name: 'Use these' }).click()
    await send(view, saying('They ask for the weather.</think>\n<tool_call>\n{"name": "weather", "arguments": {"city": "Cusco"}}\n</tool_call>'))
    await answer(view).getByRole('heading', { name: 'Calls weather' }).waitFor()
    assert.match(await answer(view).locator('.call pre').textContent(), /"city": "Cusco"/)
    const reasoning = answer(view).locator('.reasoning')
    assert.equal(await reasoning.locator('div').isVisible(), false)
    await reasoning.locator('summary').click()
    assert.match(await reasoning.locator('div').textContent(), /ask for the weather/)
    await answer(view).getByLabel('Its result').fill(`sunny ${saying('</think>It is sunny.')}`)
    await answer(view).getByRole('button', { name: 'Give this result' }).click()
    await view.page.locator('.answer').getByText('It is sunny.').waitFor()
    await whole(view)
    await view.check()
    await view.close()
})

test('errors: before the answer, in the middle of it, and a model that is gone', async () => {
    const view = await chat({ expected: [/429|status of [45]/] })
    await send(view, script({ refuse: 'CONTEXT' }))
    await answer(view).getByRole('alert').waitFor()
    assert.match(await answer(view).getByRole('alert').textContent(), /the script made this request be refused/)
    await send(view, saying('some words before the end', { fail: 'ENGINE', fail_after: 2 }))
    await answer(view).getByText('the script made this request fail').waitFor()
    assert.match(await answer(view).locator('.prose').textContent(), /some words/)
    assert.ok(await answer(view).getByRole('button', { name: 'Try again' }).isVisible())
    await view.close()
})

test('a place that is lost in the middle of an answer shows as a pause, and no word is missing', async (t) => {
    const slow = await another(t, { env: { FAKE_AWAIT: '4000' } })
    const view = await chat({ api: slow.api })
    await send(view, saying('one two three four five six seven', { lose: [2] }))
    await view.page.locator('.answer .notice.warn').waitFor()
    await whole(view)
    assert.equal((await answer(view).locator('.prose').textContent()).trim(), 'one two three four five six seven')
    await answer(view).getByText(/After 2 tokens the answer paused for \d+\.\d s/).waitFor()
    await view.close()
})

test('the node goes in the middle of an answer: what came stays, and the page goes on when the node is back', async (t) => {
    const first = await another(t)
    const view = await chat({ api: first.api, expected: [/ERR_|status of/] })
    await send(view, script({ pieces: ['word '], repeat: 2000, delay_ms: 10 }))
    await until('words come', async () => (await answer(view).locator('.prose').textContent()).length > 20)
    await first.stop('SIGKILL')
    await answer(view).getByText('the connection to this node was lost').waitFor()
    assert.match(await answer(view).locator('.prose').textContent(), /word word/)
    await view.page.locator('.live.bad').waitFor()
    await view.close()
})

test('a key: asked for, refused when wrong, kept for this tab only', async (t) => {
    const closed = await another(t, { key: 'right-key' })
    const view = await View.open(closed.api, { path: '#/chat', expected: [/status of 401/] })
    const dialog = view.page.getByRole('dialog')
    await dialog.getByRole('heading', { name: 'This node asks for an API key' }).waitFor()
    assert.equal(await view.page.getByRole('dialog').count(), 1)
    await view.check()
    await dialog.getByLabel('API key').fill('wrong')
    await dialog.getByRole('button', { name: 'Use this key' }).click()
    await dialog.getByText('the API key is not known here').waitFor()
    await dialog.getByLabel('API key').fill('right-key')
    await dialog.getByRole('button', { name: 'Use this key' }).click()
    await view.page.locator('.model option[value="fake-model"]').waitFor({ state: 'attached' })
    await view.page.locator('.live.good').waitFor()
    assert.deepEqual(await view.page.evaluate(() => [JSON.stringify(localStorage).includes('right-key'), JSON.stringify(sessionStorage).includes('right-key')]), [false, true])
    await view.page.reload()
    await view.page.locator('.live.good').waitFor()
    assert.equal(await dialog.count(), 0)
    await view.close()
})

test('the keyboard is enough: pages, chat, menu', async () => {
    const view = await chat({ width: 768 })
    await view.page.keyboard.press('Tab')
    await view.page.getByRole('button', { name: 'Menu' }).focus()
    await view.page.keyboard.press('Enter')
    assert.equal(await view.page.getByRole('navigation').isVisible(), true)
    await view.page.keyboard.press('Escape')
    assert.equal(await view.page.getByRole('navigation').isVisible(), false)
    await view.page.getByLabel('Your message').focus()
    await view.page.keyboard.type(saying('typed'))
    await view.page.keyboard.press('Shift+Enter')
    await view.page.keyboard.press('Enter')
    await whole(view)
    assert.equal((await answer(view).locator('.prose').textContent()).trim(), 'typed')
    await view.close()
})

test('nobody watches, nothing is looked at: the stream ends with the tab, and there are not too many', async () => {
    const streams = [], open = new AbortController()
    for (let i = 0; i < 64; i++) streams.push(await fetch(`${fake.api}/caravan/v1/events`, { signal: open.signal }))
    const refused = await fetch(`${fake.api}/caravan/v1/events`)
    assert.equal(refused.status, 503)
    const text = new TextDecoder().decode((await streams[0].body.getReader().read()).value)
    assert.match(text, /^event: state\ndata: \{"status":/)
    open.abort()
    await until('there is room again', async () => {
        const r = await fetch(`${fake.api}/caravan/v1/events`)
        await r.body.cancel()
        return r.status === 200
    })
})

for (const theme of THEMES)
    test(`${SIZES} px wide, ${theme}: nothing is cut off, axe finds nothing`, async () => {
        const view = await chat({ theme })
        await view.checkSizes()
        await send(view, `Question ${saying('# Title\n\nText with `code` and [a link](https://example.org).\n\n> quote\n\n```js\nconst a = "b" // c\n```\n\n1. one\n2. two\n')}`)
        await whole(view)
        await answer(view).locator('.hljs-keyword').first().waitFor()
        await view.checkSizes()
        await view.page.getByRole('button', { name: 'Settings' }).click()
        await view.checkSizes()
        await view.close()
    })
