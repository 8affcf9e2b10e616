// SPDX-License-Identifier: MIT
// Files and batches on real nodes, by the npm `openai` client: from the upload to the results, what is refused, keys, cancel, a node that
// is killed in the middle, and what clients that wait notice of it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, demoModel, run, stopCluster, until } from './lib/cluster.mjs'
import { Matrix } from './lib/matrix.mjs'
import { load } from './lib/openai.mjs'

const { default: OpenAI, toFile } = await load('openai')
const CHAT = '/v1/chat/completions', MODEL = 'caravan-demo'

const start = async (name, ...more) => {
    const node = await new Node(name, [demoModel, '--memory', '128M', '--ctx', '512', ...more]).open()
    const key = more[more.indexOf('--api-key') + 1], headers = { authorization: `Bearer ${key}` }
    await until('the model is ready', async () => (await (await fetch(`${node.api}/v1/models`, { headers })).json()).data?.some((m) => m.ready))
    return node
}
const client = (node, apiKey = 'none') => new OpenAI({ baseURL: `${node.api}/v1`, apiKey, maxRetries: 0 })
const matrix = new Matrix()
const noted = async (node) => client({ api: await matrix.open('openai', node.api) }) // what it sends stands in docs/API.md

const chat = (i, more = {}) => ({
    custom_id: `line ${i}`, method: 'POST', url: CHAT,
    body: { model: MODEL, temperature: 0, max_tokens: 4 + (i * 7) % 9, messages: [{ role: 'user', content: `Say ${i}.` }], ...more },
})
const jsonl = (lines) => lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)) + '\n').join('')
const upload = async (api, lines) => api.files.create({ file: await toFile(Buffer.from(jsonl(lines)), 'in.jsonl'), purpose: 'batch' })
const begin = async (api, lines, endpoint = CHAT) =>
    api.batches.create({ input_file_id: (await upload(api, lines)).id, endpoint, completion_window: '24h' })
const over = (api, batch) => until(`${batch.id} has come to its end`, async () => {
    const now = await api.batches.retrieve(batch.id)
    return ['completed', 'failed', 'expired', 'cancelled'].includes(now.status) && now
}, 300)
const lines = async (api, file) => (await (await api.files.content(file)).text()).trimEnd().split('\n').filter(Boolean).map((line) => JSON.parse(line))
const refused = (status, what) => (error) => error.status === status && what.test(error.message) || assert.fail(`${error.status} ${error.message}`)

await run({
    async 'a batch from its file to its results, in the order of the lines'() {
        const node = await start('whole', '--parallel', '4'), api = await noted(node)
        const asked = Array.from({ length: 40 }, (_, i) => chat(i))
        asked[7] = chat(7, { max_tokens: -5 })
        const file = await upload(api, asked)
        assert.deepEqual([file.object, file.purpose, file.filename, file.bytes], ['file', 'batch', 'in.jsonl', jsonl(asked).length])
        assert.equal(await (await api.files.content(file.id)).text(), jsonl(asked))
        const batch = await api.batches.create({ input_file_id: file.id, endpoint: CHAT, completion_window: '24h', metadata: { of: 'a test' } })
        assert.equal(batch.status, 'validating')
        await assert.rejects(api.files.delete(file.id), refused(400, /a batch that runs needs the file/))
        const done = await over(api, batch)
        assert.equal(done.status, 'completed', JSON.stringify(done))
        assert.deepEqual(done.request_counts, { total: 40, completed: 39, failed: 1 })
        assert.deepEqual([done.metadata, done.model], [{ of: 'a test' }, MODEL])
        assert(done.in_progress_at >= done.created_at && done.completed_at >= done.in_progress_at && done.expires_at === done.created_at + 86400)

        const results = await lines(api, done.output_file_id), errors = await lines(api, done.error_file_id)
        assert.deepEqual(results.map((r) => r.custom_id), asked.filter((_, i) => i !== 7).map((line) => line.custom_id))
        for (const r of results) {
            assert.deepEqual([r.error, r.response.status_code, r.response.body.object], [null, 200, 'chat.completion'])
            assert.match(r.response.served_by, /^whole\/.*; model=caravan-demo$/)
        }
        assert.deepEqual(errors.map((r) => [r.custom_id, r.response.status_code, r.response.body.error.param]), [['line 7', 400, 'max_tokens']])
        const direct = await api.chat.completions.create(asked[3].body)
        assert.equal(results[3].response.body.choices[0].message.content, direct.choices[0].message.content, 'the same request, the same answer')
        assert.equal((await api.files.retrieve(done.output_file_id)).bytes, (await (await api.files.content(done.output_file_id)).text()).length)

        const completions = await begin(api, [0, 1].map((i) => ({ custom_id: `${i}`, method: 'POST', url: '/v1/completions', body: { model: MODEL, prompt: 'Once', max_tokens: 3 } })), '/v1/completions')
        assert.equal((await lines(api, (await over(api, completions)).output_file_id))[1].response.body.object, 'text_completion')
        const responses = await begin(api, [{ custom_id: 'r', method: 'POST', url: '/v1/responses', body: { model: MODEL, input: 'Hello', max_output_tokens: 16 } }], '/v1/responses')
        assert.equal((await lines(api, (await over(api, responses)).output_file_id))[0].response.body.object, 'response')

        const listed = []
        for await (const b of api.batches.list({ limit: 2 })) listed.push(b.id)
        assert.deepEqual(listed, [responses.id, completions.id, batch.id])
        const files = []
        for await (const f of api.files.list({ purpose: 'batch' })) files.push(f.id)
        assert.equal(files.length, 3)
        for (const id of [...files, done.output_file_id]) assert.equal((await api.files.delete(id)).deleted, true)
        await assert.rejects(api.files.content(done.output_file_id), refused(404, /there is no file/))
        assert.deepEqual(readdirSync(join(node.dir, 'files')), [], 'nothing of them is left')
        await assert.rejects(api.batches.cancel(batch.id), refused(400, /is completed: it cannot be cancelled/))
        await stopCluster([node])
    },

    async 'vectors: in the order of the lines, those that a client gets, and by all places'() {
        const file = join(process.env.CARAVAN_TMP, 'mean.gguf')
        execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make_variant'), [demoModel, file, 'mean'])
        const node = await new Node('vectors', [file, '--memory', '128M', '--ctx', '256', '--parallel', '2']).open()
        await until('the model is ready', async () => (await node.status()).models.some((m) => m.ready))
        const api = await noted(node), model = 'mean'
        const asked = Array.from({ length: 30 }, (_, i) => ({ custom_id: `text ${i}`, method: 'POST', url: '/v1/embeddings', body: { model, input: i % 3 ? `The llama ${i}.` : [`One ${i}.`, `Two ${i}.`] } }))
        asked[4].body.input = []
        const done = await over(api, await begin(api, asked, '/v1/embeddings'))
        assert.deepEqual(done.request_counts, { total: 30, completed: 29, failed: 1 })
        const results = await lines(api, done.output_file_id), errors = await lines(api, done.error_file_id)
        assert.deepEqual(results.map((r) => r.custom_id), asked.filter((_, i) => i !== 4).map((line) => line.custom_id))
        assert.deepEqual(errors.map((r) => [r.custom_id, r.response.status_code]), [['text 4', 400]])
        const direct = await api.embeddings.create({ ...asked[3].body, encoding_format: 'float' })
        const vectors = results[3].response.body.data
        assert.deepEqual([vectors.length, vectors[0].object, vectors[1].index], [2, 'embedding', 1])
        const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0)
        for (const i of [0, 1]) assert(cosine(vectors[i].embedding, direct.data[i].embedding) > 0.9999)
        assert.equal(results[3].response.body.usage.prompt_tokens, direct.usage.prompt_tokens)
        await stopCluster([node])
    },

    async 'what is wrong is said with its line, and nothing is asked'() {
        const node = await start('wrong'), api = client(node)
        const fails = async (asked, want, endpoint) => {
            const failed = await over(api, await begin(api, asked, endpoint))
            assert.equal(failed.status, 'failed')
            assert.deepEqual(failed.errors.data.map((f) => [f.code, f.line]), want, JSON.stringify(failed.errors))
            for (const f of failed.errors.data) assert(f.message.length > 0)
        }
        await fails([chat(0), '{"custom_id":', chat(0), { ...chat(3), url: '/v1/embeddings' }, chat(4, { model: 'other' }), chat(5, { stream: true }), { ...chat(6), method: 'GET' }],
            [['invalid_json_line', 2], ['duplicate_custom_id', 3], ['mismatched_endpoint', 4], ['mismatched_model', 5], ['unsupported', 6], ['invalid_request', 7]])
        await fails([chat(0, { model: 'nobody-has-this' })], [['model_not_found', 1]])
        await fails(['', '  '], [['empty_file', null]])
        const { id } = await upload(api, [chat(0)])
        const order = { input_file_id: id, endpoint: CHAT, completion_window: '24h' }
        await assert.rejects(api.batches.create({ ...order, input_file_id: 'file-none' }), refused(400, /there is no file "file-none"/))
        await assert.rejects(api.batches.create({ ...order, endpoint: '/v1/models' }), refused(400, /field "endpoint"/))
        await assert.rejects(api.batches.create({ ...order, completion_window: '1h' }), refused(400, /field "completion_window"/))
        await assert.rejects(api.batches.retrieve('batch_none'), refused(404, /there is no batch/))
        await assert.rejects(api.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'assistants' }), refused(400, /purpose/))
        await assert.rejects(api.files.create({ file: await toFile(Buffer.from(''), 'x'), purpose: 'batch' }), refused(400, /empty/))
        const form = (body, type = 'multipart/form-data; boundary=B') => fetch(`${node.api}/v1/files`, { method: 'POST', body, headers: { 'content-type': type } })
        for (const [body, type] of [['--B\r\n', undefined], ['{}', 'application/json'], ['--B--', 'multipart/form-data'], [`--B\r\n${'x'.repeat(20000)}`, undefined]])
            assert.equal((await form(body, type)).status >= 400 && (await form(body, type)).status < 500, true)
        assert.equal((await fetch(`${node.api}/v1/files/..%2F..%2Fstate.db/content`)).status, 404)
        assert.equal(readdirSync(join(node.dir, 'files')).length, 4, 'of uploads that were refused nothing is left')
        const metrics = await (await fetch(`${node.api}/metrics`)).text()
        assert.match(metrics, /^caravan_requests_total 0$/m)
        await stopCluster([node])
    },

    async 'a batch and its files belong to the key that made them'() {
        const node = await start('keys', '--api-key', 'first-key-of-this-test', '--api-key', 'second-key-of-this-test')
        const api = client(node, 'first-key-of-this-test'), other = client(node, 'second-key-of-this-test')
        const batch = await begin(api, Array.from({ length: 6 }, (_, i) => chat(i)))
        await assert.rejects(other.batches.retrieve(batch.id), refused(404, /there is no batch/))
        await assert.rejects(other.batches.cancel(batch.id), refused(404, /there is no batch/))
        await assert.rejects(other.files.content(batch.input_file_id), refused(404, /there is no file/))
        await assert.rejects(other.batches.create({ input_file_id: batch.input_file_id, endpoint: CHAT, completion_window: '24h' }), refused(400, /there is no file/))
        assert.equal((await other.batches.list()).data.length + (await other.files.list()).data.length, 0)
        await assert.rejects(client(node, 'no key').batches.list(), refused(401, /not known/))
        const done = await over(api, batch)
        assert.equal(done.request_counts.completed, 6, 'it is asked as the key that made it may')
        await assert.rejects(other.files.delete(done.output_file_id), refused(404, /there is no file/))
        assert.equal((await lines(api, done.output_file_id)).length, 6)
        await stopCluster([node])
    },

    async 'a cancelled batch frees its places at once, and what it has is there'() {
        const node = await start('cancel', '--parallel', '2'), api = await noted(node)
        const batch = await begin(api, Array.from({ length: 300 }, (_, i) => chat(i, i > 3 ? { max_tokens: 400, ignore_eos: true } : {})))
        const some = await until('some lines are answered', async () => {
            const now = await api.batches.retrieve(batch.id)
            return now.request_counts.completed > 1 && now
        }, 300)
        assert.equal(some.status, 'in_progress')
        assert((await lines(api, some.output_file_id)).length > 1, 'results can be read while it runs')
        assert.equal((await api.batches.cancel(batch.id)).status, 'cancelling')
        const done = await over(api, batch)
        assert.equal(done.status, 'cancelled')
        assert.equal((await lines(api, done.output_file_id)).length, done.request_counts.completed)
        await until('no request runs', async () => (await node.status()).requests === 0)
        assert.equal((await api.batches.cancel(batch.id)).status, 'cancelled', 'cancelling it again does no harm')
        await stopCluster([node])
    },

    async 'a node that is killed goes on where it was: each line has one result'() {
        const COUNT = 120
        let node = await start('killed', '--parallel', '4')
        const asked = Array.from({ length: COUNT }, (_, i) => chat(i, { max_tokens: 40, ignore_eos: true }))
        const batch = await begin(client(node), asked)
        let kills = 0, known = 0, asking = 0
        for (;;) {
            const api = client(node)
            const now = await until('more lines are answered', async () => {
                const b = await api.batches.retrieve(batch.id)
                return (b.request_counts.completed >= known + 30 || b.status === 'completed') && b
            }, 300)
            known = now.request_counts.completed
            asking += Number(/^caravan_requests_total (\d+)/m.exec(await (await fetch(`${node.api}/metrics`)).text())[1])
            if (now.status === 'completed') break
            await node.stop('SIGKILL')
            kills++
            node = await new Node('killed', [demoModel, '--memory', '128M', '--ctx', '512', '--parallel', '4']).open()
        }
        assert(kills >= 2, `${kills} kills`)
        const api = client(node), done = await over(api, batch)
        assert.deepEqual(done.request_counts, { total: COUNT, completed: COUNT, failed: 0 })
        assert.deepEqual((await lines(api, done.output_file_id)).map((r) => r.custom_id), asked.map((line) => line.custom_id))
        assert(asking <= COUNT + kills * 12, `${asking} requests were made: lines that had their results were not asked again`)
        await stopCluster([node])
    },

    async 'clients that wait go first'() {
        const node = await start('first', '--parallel', '2', '--api-key', 'key-of-the-batch', '--api-key', 'key-of-the-clients')
        const batch = await begin(client(node, 'key-of-the-batch'), Array.from({ length: 400 }, (_, i) => chat(i, { max_tokens: 30, ignore_eos: true })))
        const api = client(node, 'key-of-the-clients')
        await until('the batch runs', async () => (await client(node, 'key-of-the-batch').batches.retrieve(batch.id)).request_counts.completed > 0, 300)
        const ids = new Set(await Promise.all(Array.from({ length: 12 }, async () => (await api.chat.completions.create(chat(1).body)).id)))
        const turns = readFileSync(node.log, 'utf8').matchAll(/gateway: (chatcmpl-\w+): (rendering -> queuing|queuing -> running)/g)
        let queued = 0, ran = 0, between = 0
        for (const [, id, step] of turns) {
            if (step.endsWith('queuing')) queued += ids.has(id)
            else if (ids.has(id)) ran++
            else between += queued === ids.size && ran < ids.size
        }
        assert.deepEqual([queued, ran], [12, 12])
        assert.equal(between, 0, 'a line of the batch began while clients waited')
        await client(node, 'key-of-the-batch').batches.cancel(batch.id)
        await stopCluster([node])
    },

    async 'a line that runs gives its place to a client of another node, and goes on where it was'() {
        const node = await start('gives', '--parallel', '2', '--exact'), other = await new Node('takes', ['--peer', node.listen, '--memory', '16M']).open()
        await until('the other node knows the model', async () => (await (await fetch(`${other.api}/v1/models`)).json()).data?.some((m) => m.ready))
        const asked = Array.from({ length: 6 }, (_, i) => chat(i, { max_tokens: 300, ignore_eos: true }))
        const api = client(node), batch = await begin(api, asked)
        await until('a line gives way', async () => {
            assert.equal((await client(other).chat.completions.create(chat(99).body)).object, 'chat.completion')
            return /gives way/.test(node.logText())
        })
        const done = await over(api, batch)
        assert.equal(done.request_counts.completed, 6, JSON.stringify(done))
        for (const [i, r] of (await lines(api, done.output_file_id)).entries()) {
            const direct = await api.chat.completions.create(asked[i].body)
            assert.equal(r.response.body.choices[0].message.content, direct.choices[0].message.content)
            const counts = ({ prompt_tokens, completion_tokens }) => [prompt_tokens, completion_tokens]
            assert.deepEqual(counts(r.response.body.usage), counts(direct.usage))
        }
        await stopCluster([other, node])
    },

    async '`caravan batch`: stopped, its node killed, and run again'() {
        const tmp = process.env.CARAVAN_TMP, input = join(tmp, 'docs.jsonl'), out = join(tmp, 'answers.jsonl'), errors = join(tmp, 'answers.errors.jsonl')
        const command = (...more) => {
            const child = spawn(caravan, ['batch', input, '--output', out, '--state-dir', join(tmp, 'cli'), ...more], { stdio: ['ignore', 'pipe', 'pipe'] })
            child.text = ''
            for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { child.text += data })
            child.exited = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, text: child.text })))
            return child
        }
        // Lines as people write them: what is the same everywhere is left out. The last one can't be answered.
        const bodies = Array.from({ length: 30 }, (_, i) => ({ max_tokens: i === 29 ? -1000 : i < 5 ? 2 : 60, ignore_eos: true, messages: [{ role: 'user', content: `Say ${i}.` }] }))
        writeFileSync(input, jsonl(bodies.map((body) => ({ body }))))
        const unnamed = await command().exited
        assert.equal(unnamed.code, 65)
        assert.match(unnamed.text, /docs\.jsonl" line 1: field "body\.model": it is missing\nhint: --model/)
        assert.equal((await command('--model', MODEL, '--api', '127.0.0.1:9').exited).code, 69)

        let node = await start('cli')
        const first = command('--model', MODEL)
        const batch = await until('some lines are answered', async () => {
            const { data } = await client(node).batches.list()
            return data[0]?.request_counts.completed > 2 && data[0]
        }, 300)
        first.kill('SIGINT')
        const stopped = await first.exited
        assert.equal(stopped.signal, 'SIGINT')
        assert.match(stopped.text, /the batch batch_\w+ goes on at the node/)
        assert(!existsSync(out), 'there is no output that is not complete')
        await node.stop('SIGKILL')
        node = await new Node('cli', [demoModel, '--memory', '128M', '--ctx', '512']).open()
        const done = await command('--model', MODEL).exited
        assert.equal(done.code, 1, done.text)
        assert.match(done.text, new RegExp(`30 lines, batch ${batch.id} goes on`))
        const read = (file) => readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line))
        assert.deepEqual(read(out).map((r) => r.custom_id), bodies.slice(0, 29).map((_, i) => `line-${i + 1}`))
        assert.deepEqual(read(errors).map((r) => [r.custom_id, r.response.status_code]), [['line-30', 400]])
        assert(!done.text.includes('%'), 'a progress bar is for terminals')
        assert.deepEqual(readdirSync(join(node.dir, 'files')), [], 'the node keeps nothing of it')
        const again = await command('--model', MODEL).exited
        assert.equal(again.code, 65)
        assert.match(again.text, /answers\.jsonl" is there already\nhint: .*--force/)
        const nowhere = await command('--model', MODEL, '--output', join(tmp, 'no', 'such', 'folder')).exited
        assert.equal(nowhere.code, 74, nowhere.text)
        assert.match(nowhere.text, /^caravan: cannot write ".*folder\.part": No such file or directory\nhint: --output/, 'before the node is asked')
        const none = await command('--model', MODEL, '--cancel').exited
        assert.equal(none.code, 66, none.text)
        await stopCluster([node])
    },
})
if (!process.env.CARAVAN_TEST) matrix.check()
