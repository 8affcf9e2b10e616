// SPDX-License-Identifier: MIT
// What a cluster tells of its requests: their ids through every node, log lines for programs, traces for a collector, metrics.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Node, caravan, run, sleep, startCluster, stopCluster, until } from './lib/cluster.mjs'

const three = ['--placement', '3,2,3', '--ctx', '2048', '--parallel', '2']

const chat = (node, headers = {}, body = {}, path = '/v1/chat/completions') => fetch(`${node.api}${path}`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Why do llamas walk in a line?' }], max_tokens: 8, temperature: 0, ...body }),
})

// The log lines of a node and of its stages, which are all JSON but for what libraries write.
const lines = (node) => node.logText().split('\n').filter((line) => line.startsWith('{"time"')).map((line) => JSON.parse(line))

// A collector that takes OTLP by HTTP in JSON, and answers as `answer` says: a status, or null for never.
class Collector {
    constructor() {
        this.spans = []
        this.requests = []
        this.resources = []
        this.answer = () => 200
    }
    async open() {
        this.server = createServer((request, response) => {
            let text = ''
            request.on('data', (data) => text += data)
            request.on('end', () => {
                const status = this.answer(this.requests.length)
                this.requests.push({ path: request.url, headers: request.headers, text, status })
                if (status === null) return
                if (status < 300)
                    for (const r of JSON.parse(text).resourceSpans)
                        for (const scope of r.scopeSpans)
                            for (const span of scope.spans) {
                                this.spans.push({ ...span, attributes: values(span.attributes) })
                                this.resources.push(values(r.resource.attributes))
                            }
                response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {}).end('{}')
            })
        })
        await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve))
        this.url = `http://127.0.0.1:${this.server.address().port}`
        return this
    }
    close() {
        this.server.closeAllConnections()
        this.server.close()
    }
    // The spans of a trace, once its first one is there, by name.
    async trace(id) {
        await until('the trace has come', () => this.spans.some((s) => s.traceId === id && s.kind === 2))
        return this.spans.filter((s) => s.traceId === id)
    }
}

const values = (attributes) => Object.fromEntries(attributes.map(({ key, value: v }) =>
    [key, v.stringValue ?? v.doubleValue ?? v.boolValue ?? (v.intValue !== undefined ? Number(v.intValue) : v.arrayValue.values.map((e) => e.stringValue))]))

// Each span but the first lies within its parent, which is there.
function checkTree(spans, parent) {
    const byId = new Map(spans.map((s) => [s.spanId, s]))
    assert.equal(byId.size, spans.length, 'ids are unique')
    for (const s of spans) {
        assert.match(s.spanId, /^[0-9a-f]{16}$/)
        assert(BigInt(s.startTimeUnixNano) <= BigInt(s.endTimeUnixNano), s.name)
        assert(Math.abs(Number(BigInt(s.startTimeUnixNano) / 1_000_000n) - Date.now()) < 600_000, 'times are those of the wall')
        if (s.kind === 2) {
            assert.equal(s.parentSpanId, parent)
            continue
        }
        const p = byId.get(s.parentSpanId)
        assert(p, `${s.name} has a parent`)
        assert(BigInt(p.startTimeUnixNano) <= BigInt(s.startTimeUnixNano) && BigInt(s.endTimeUnixNano) <= BigInt(p.endTimeUnixNano), `${s.name} lies within ${p.name}`)
    }
}

const nameTree = (spans, root) => spans.filter((s) => s.parentSpanId === root.spanId).map((s) => s.name).sort()
const traceOf = (n) => n.toString(16).padStart(32, 'a')
const parentOf = (n, flags = '01') => `00-${traceOf(n)}-00f067aa0ba902b7-${flags}`

const metric = async (node, name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await (await fetch(`${node.api}/metrics`)).text())[1])

await run({
    async 'a request has its id in the answer, in errors, and in the log lines of every node and stage that computes it'() {
        const nodes = await startCluster(['alpha', 'beta', 'gamma'], { memory: '64M', first: three, options: ['--log-format', 'json'] })
        const answer = await chat(nodes[1], { 'x-request-id': 'client/7-of:9' })
        assert.equal(answer.status, 200)
        assert.equal(answer.headers.get('x-request-id'), 'client/7-of:9')
        await answer.json()
        const mine = (node) => lines(node).filter((l) => l.request_id === 'client/7-of:9')
        const who = (node) => new Set(mine(node).map((l) => `${l.process ?? ''} ${l.component}`.trim()))
        await until('every stage has told of it', () => nodes.every((node) => [...who(node)].some((w) => /^stage \d stage$/.test(w))))
        assert(who(nodes[1]).has('gateway'), [...who(nodes[1])].join())
        assert(nodes.some((node) => who(node).has('calls')), 'the head lies on another node, which passes the request on')
        const ends = nodes.flatMap(mine).filter((l) => l.message === 'request ended')
        assert.equal(ends.length, 1)
        assert.equal(ends[0].process, 'stage 0')
        assert.equal(ends[0].fields.completion_tokens, 8)
        for (const node of nodes)
            for (const l of lines(node)) {
                assert.match(l.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/)
                assert(Math.abs(Date.parse(l.time) - Date.now()) < 600_000, l.time)
                assert(['error', 'warn', 'info', 'debug'].includes(l.level) && l.node === node.name && typeof l.message === 'string', JSON.stringify(l))
            }

        const told = mine(nodes[1]).find((l) => l.message === 'request answered')
        assert.equal(told.level, 'info')
        assert.deepEqual([told.fields.model, told.fields.api, told.fields.completion_tokens, told.fields.error], ['caravan-demo', 'openai chat', 8, undefined])
        assert.match(told.fields.served_by, /^alpha\//)
        assert(told.fields.duration_us > 0)

        const made = await Promise.all([0, 1].map(() => fetch(`${nodes[0].api}/health`)))
        assert.match(made[0].headers.get('x-request-id'), /^req_[0-9a-f]{24}$/)
        assert.notEqual(made[0].headers.get('x-request-id'), made[1].headers.get('x-request-id'))
        for (const bad of ['two words', 'a"b', 'x'.repeat(129), 'back\\slash', '\u00e9'])
            assert.match((await fetch(`${nodes[0].api}/health`, { headers: { 'x-request-id': bad } })).headers.get('x-request-id'), /^req_[0-9a-f]{24}$/, bad)
        assert.equal((await fetch(`${nodes[0].api}/health`, { headers: { 'x-request-id': 'x'.repeat(128) } })).headers.get('x-request-id'), 'x'.repeat(128))

        for (const path of ['/v1/chat/completions', '/v1/messages', '/api/chat', '/v1/embeddings', '/nowhere']) {
            const refused = await chat(nodes[0], { 'x-request-id': 'refused-1' }, { model: 'nosuch', input: 'a', stream: false }, path)
            assert(refused.status >= 400, path)
            assert.equal(refused.headers.get('x-request-id'), 'refused-1', path)
            assert.equal((await refused.json()).request_id, 'refused-1', path)
        }
        const failed = lines(nodes[0]).filter((l) => l.request_id === 'refused-1' && l.message === 'request failed')
        assert.equal(failed.length, 4, 'one line for each request to a model')
        for (const l of failed) assert(l.fields.error === 'NO_MODEL' && l.fields.why.includes('"nosuch"'), JSON.stringify(l))
        const stream = await chat(nodes[0], { 'x-request-id': 'cut-1' }, { stream: true, max_tokens: 2000, ignore_eos: true })
        const reader = stream.body.getReader()
        await reader.read()
        assert.equal(spawnSync(caravan, ['unload', 'caravan-demo', '--api', nodes[0].api.slice(7)]).status, 0)
        let rest = ''
        for (let part; !(part = await reader.read()).done;) rest += Buffer.from(part.value).toString()
        assert.match(rest, /data: \{"error":.*"request_id":"cut-1"\}/)
        await stopCluster(nodes)
    },

    async 'caravan logs tells as text and as JSON what was logged in either form'() {
        for (const form of ['text', 'json']) {
            const [node] = await startCluster([`logs-${form}`], { memory: '64M', first: ['--ctx', '512'], options: ['--log-format', form] })
            await (await chat(node, { 'x-request-id': 'kept-1' })).json()
            await stopCluster([node])
            const logs = (...args) => spawnSync(caravan, ['logs', '--state-dir', node.dir, '-n', 'all', ...args], { encoding: 'utf8' }).stdout.trim().split('\n')
            const text = logs().filter((l) => l.includes('(request kept-1)')), json = logs('--json').map((l) => JSON.parse(l)).filter((l) => l.request_id === 'kept-1')
            assert(text.length > 5)
            assert.equal(text.length, json.length)
            text.forEach((line, i) => {
                const l = json[i]
                assert.equal(line.slice(0, 23), `${l.time.slice(0, 10)} ${l.time.slice(11, 23)}`)
                assert(line.includes(` ${l.process ? l.process + ' ' : ''}${l.component}: ${l.message}`), line)
            })
            assert.equal(node.logText().includes('{"time"'), form === 'json')
        }
    },

    async 'the trace of a request over a ring of three nodes is a tree of spans that lie within each other'() {
        const collector = await new Collector().open()
        const env = { OTEL_SERVICE_NAME: 'llamas', OTEL_EXPORTER_OTLP_HEADERS: 'x-team=blue%20one, x-key=k' }
        const nodes = await startCluster(['t1', 't2', 't3'], { memory: '64M', first: three, options: ['--otlp-endpoint', collector.url, '--trace-sample', '0'], env })
        const answer = await chat(nodes[1], { traceparent: parentOf(1), tracestate: 'rojo=1', 'x-request-id': 'traced-1' }, { seed: 5, top_p: 0.5 })
        const body = await answer.json()
        const spans = await collector.trace(traceOf(1))
        checkTree(spans, '00f067aa0ba902b7')
        const root = spans.find((s) => s.kind === 2), asked = spans.find((s) => s.name === 'chat caravan-demo')
        assert.equal(root.name, 'POST /v1/chat/completions')
        assert.equal(root.traceState, 'rojo=1')
        assert.deepEqual(nameTree(spans, root), ['chat caravan-demo', 'queue', 'render'])
        assert.deepEqual(nameTree(spans, asked), ['decode', 'hop 0 to 1', 'hop 1 to 2', 'hop 2 to 0', 'prefill', 'stage 0', 'stage 1', 'stage 2', 'wait for slot'])
        assert.equal(root.attributes['http.response.status_code'], 200)
        assert.equal(root.attributes['caravan.request_id'], 'traced-1')
        assert.equal(root.attributes['gen_ai.response.id'], body.id)
        for (const s of [root, asked]) {
            assert.equal(s.attributes['gen_ai.usage.input_tokens'], body.usage.prompt_tokens)
            assert.equal(s.attributes['gen_ai.usage.output_tokens'], 8)
        }
        const wanted = { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'caravan', 'gen_ai.request.model': 'caravan-demo', 'gen_ai.response.model': 'caravan-demo',
            'gen_ai.request.max_tokens': 8, 'gen_ai.request.seed': 5, 'gen_ai.request.temperature': 0, 'gen_ai.request.top_p': 0.5, 'gen_ai.response.finish_reasons': ['length'] }
        for (const [key, value] of Object.entries(wanted)) assert.deepEqual(asked.attributes[key], value, key)
        const status = await nodes[1].status()
        for (const k of [0, 1, 2]) {
            const a = spans.find((s) => s.name === `stage ${k}`).attributes
            const holder = status.nodes.find((n) => n.stages.some((s) => s.stage === k))
            assert.equal(a['caravan.node'], holder.name)
            assert.equal(a['caravan.layers'], ['0-2', '3-4', '5-7'][k])
            assert(a['caravan.frames'] > 0 && a['caravan.compute_us'] > 0)
        }
        const sent = collector.requests[0]
        assert.equal(sent.path, '/v1/traces')
        assert.equal(sent.headers['content-type'], 'application/json')
        assert.deepEqual([sent.headers['x-team'], sent.headers['x-key']], ['blue one', 'k'])
        assert.equal(collector.resources[0]['service.name'], 'llamas')
        assert.equal(collector.resources[0]['service.instance.id'], 't2')
        for (const node of nodes) {
            const { stdout } = spawnSync(caravan, ['logs', '--json', '-n', 'all', '--state-dir', node.dir], { encoding: 'utf8' })
            const mine = stdout.trim().split('\n').map((line) => JSON.parse(line)).filter((l) => l.request_id === 'traced-1' && l.process)
            assert(mine.length > 0 && mine.every((l) => l.trace_id === traceOf(1) && l.span_id === asked.spanId), 'the trace goes on in each stage')
        }
        assert(!nodes[1].logText().includes('blue one'), 'headers may be keys')

        /* Not recorded: no parent, with a ratio of 0; a parent that is not; a broken parent. Recorded: streams, errors, embeddings, clients that go. */
        await (await chat(nodes[0])).json()
        await (await chat(nodes[0], { traceparent: parentOf(2, '00') })).json()
        await (await chat(nodes[0], { traceparent: 'nonsense' })).json()
        const before = collector.spans.length
        await (await chat(nodes[0], { traceparent: parentOf(3) }, { stream: true, n: 2 })).text()
        const two = await collector.trace(traceOf(3))
        checkTree(two, '00f067aa0ba902b7')
        assert.equal(two.filter((s) => s.name === 'chat caravan-demo').length, 2)
        assert.equal(collector.spans.length - before, two.length, 'the others have left nothing')
        assert.equal((await chat(nodes[0], { traceparent: parentOf(4) }, { model: 'nosuch' })).status, 404)
        const failed = (await collector.trace(traceOf(4))).find((s) => s.kind === 2)
        assert.equal(failed.status.code, 2)
        assert.match(failed.status.message, /nosuch/)
        assert.equal(failed.attributes['http.response.status_code'], 404)
        assert.equal(failed.attributes['error.type'], 'NO_MODEL')
        const abort = new AbortController()
        const left = await fetch(`${nodes[0].api}/v1/chat/completions`, { method: 'POST', signal: abort.signal, headers: { 'content-type': 'application/json', traceparent: parentOf(5) },
            body: JSON.stringify({ messages: [{ role: 'user', content: 'Count.' }], stream: true, max_tokens: 2000, ignore_eos: true }) })
        const reader = left.body.getReader()
        for (let text = ''; (text.match(/"content":"[^"]/g) ?? []).length < 3;) text += new TextDecoder().decode((await reader.read()).value) /* decoding has begun */
        abort.abort()
        const gone = await collector.trace(traceOf(5))
        checkTree(gone, '00f067aa0ba902b7')
        assert.equal(gone.find((s) => s.kind === 2).attributes['caravan.end'], 'left by its client')
        assert(gone.some((s) => s.name === 'decode'), 'what was seen of it')
        await stopCluster(nodes)
        collector.close()
    },

    async 'a collector that refuses, is busy or never answers slows no request, and what it misses is counted'() {
        const collector = await new Collector().open()
        const [node] = await startCluster(['lone'], { memory: '64M', first: ['--ctx', '512'], options: ['--otlp-endpoint', `${collector.url}/v1/traces`] })
        const ask = async () => assert.equal((await (await chat(node)).json()).usage.completion_tokens, 8)
        await ask()
        await until('traces without a parent are recorded', () => collector.spans.some((s) => s.kind === 2))
        const root = collector.spans.find((s) => s.kind === 2)
        assert.equal(root.parentSpanId, undefined)
        assert.deepEqual(collector.spans.filter((s) => /^hop/.test(s.name)), [])
        const exported = await metric(node, 'caravan_spans_exported_total')
        assert.equal(exported, collector.spans.length)

        collector.answer = () => 500
        await ask()
        await until('refused spans are lost', async () => await metric(node, 'caravan_spans_dropped_total') > 0)
        assert.match(node.logText(), /warn {2}trace: the collector of traces answers with HTTP 500; requests go on without it/)

        const busy = collector.requests.length
        collector.answer = (n) => n < busy + 2 ? 429 : 200
        const dropped = await metric(node, 'caravan_spans_dropped_total')
        await ask()
        await until('the spans come again, and are taken', async () => await metric(node, 'caravan_spans_exported_total') > exported)
        const [a, b, c] = collector.requests.slice(busy)
        assert(a.status === 429 && b.status === 429 && c.status === 200 && a.text === b.text && b.text === c.text)
        assert.equal(await metric(node, 'caravan_spans_dropped_total'), dropped)
        assert.match(node.logText(), /info {2}trace: the collector of traces takes spans again/)

        collector.answer = () => null
        await ask()
        await until('it is asked, and does not answer', () => collector.requests.at(-1).status === null)
        const asked = collector.requests.length
        for (let i = 0; i < 10; i++) await ask()
        assert.equal(collector.requests.length, asked, 'one request at a time')
        assert(await metric(node, 'caravan_spans_waiting') > 50)
        collector.close()
        await ask()
        await stopCluster([node])
        assert.deepEqual(await node.exited, { code: 0, signal: null })
    },

    async 'nothing is sent when traces are off, and bad settings are refused'() {
        const collector = await new Collector().open()
        for (const [args, env, words] of [[['--otlp-endpoint', 'localhost:4318'], {}, /no http:\/\/ or https:\/\/ address.*\n?.*hint: .*4318/s],
            [['--otlp-endpoint', collector.url], { OTEL_EXPORTER_OTLP_HEADERS: 'secret' }, /written name=value/],
            [['--otlp-endpoint', collector.url, '--trace-sample', '1.5'], {}, /trace-sample/]]) {
            const { status, stderr } = spawnSync(caravan, ['up', '--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--state-dir', join(process.env.CARAVAN_TMP, 'refused'), ...args],
                { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 60_000 })
            assert(status > 0, stderr)
            assert.match(stderr, words)
            assert(!stderr.includes('secret'))
        }
        const [node] = await startCluster(['off'], { memory: '64M', first: ['--ctx', '512'], env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SDK_DISABLED: 'true' } })
        await (await chat(node, { traceparent: parentOf(6) })).json()
        await stopCluster([node])
        assert.deepEqual(collector.requests, [])
        collector.close()
    },

    async 'a trace goes on at an upstream; metrics are well-formed, whole, and tell money to administrators only'() {
        const collector = await new Collector().open()
        const asked = []
        const upstream = createServer((request, response) => {
            asked.push(request.headers)
            request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({
                id: 'x', object: 'chat.completion', model: 'big', choices: [{ index: 0, message: { role: 'assistant', content: 'Hm.' }, finish_reason: 'stop' }],
                usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 } })))
        })
        await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve))
        const port = upstream.address().port, routes = join(process.env.CARAVAN_TMP, 'routes.json')
        writeFileSync(routes, JSON.stringify({ upstreams: { acme: { url: `http://127.0.0.1:${port}/v1`, prices: { '*': { input: 1e4, output: 1e4 } } } },
            models: { far: { targets: [{ upstream: 'acme', model: 'big' }] } } }))
        const [node] = await startCluster(['metrics'], { memory: '64M', first: ['--ctx', '512'], options: ['--routes', routes, '--cache', 'on', '--otlp-endpoint', collector.url] })
        const far = await chat(node, { traceparent: parentOf(7), tracestate: 'rojo=7' }, { model: 'far' })
        assert.equal((await far.json()).choices[0].message.content, 'Hm.')
        assert.equal(far.headers.get('x-caravan-cache'), 'bypass')
        const spans = await collector.trace(traceOf(7))
        checkTree(spans, '00f067aa0ba902b7')
        const cloud = spans.find((s) => s.name === 'chat big')
        assert.equal(cloud.kind, 3)
        assert.equal(asked[0].traceparent, `00-${traceOf(7)}-${cloud.spanId}-01`)
        assert.equal(asked[0].tracestate, 'rojo=7')
        const wanted = { 'server.address': '127.0.0.1', 'server.port': port, 'gen_ai.provider.name': 'openai', 'gen_ai.usage.input_tokens': 7, 'caravan.cost': 0.09, 'caravan.upstream': 'acme' }
        for (const [name, value] of Object.entries(wanted)) assert.equal(cloud.attributes[name], value, name)
        await (await chat(node)).json()
        await (await chat(node, { traceparent: parentOf(8) })).json()
        assert((await collector.trace(traceOf(8))).some((s) => s.name === 'cache'))

        const home = ['--state-dir', node.dir]
        const key = (name, ...more) => spawnSync(caravan, ['keys', 'add', name, ...more, ...home], { encoding: 'utf8' }).stdout.trim()
        const read = async (secret) => (await fetch(`${node.api}/metrics`, { headers: { authorization: `Bearer ${secret}` } })).text()
        const plain = await read(key('plain')), boss = await read(key('boss', '--admin'))
        const rows = [...readFileSync(join(process.env.CARAVAN_SOURCE, 'tables/metrics.def'), 'utf8').matchAll(/^METRIC\(\w+, +"(\w+)", +(\w+),/gm)]
        assert(rows.length > 35)
        for (const [, name, kind] of rows) {
            assert(boss.includes(`# TYPE ${name} `), name)
            assert.equal(plain.includes(`# TYPE ${name} `), !kind.startsWith('CLOUD'), name)
        }
        assert(boss.includes('caravan_upstream_cost_total{upstream="acme"} 0.09\n') && !plain.includes('acme'))
        assert.match(plain, /^caravan_stage_compute_seconds_total\{model="caravan-demo",stage="0"\} \d+\.\d{6}$/m)
        checkExposition(boss)
        checkExposition(plain)
        await stopCluster([node])
        collector.close()
        upstream.close()
    },
})

// https://prometheus.io/docs/instrumenting/exposition_formats/
function checkExposition(text) {
    assert(text.endsWith('\n'))
    const types = new Map(), series = new Set()
    let last = ''
    for (const line of text.trimEnd().split('\n')) {
        const head = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
        if (head) {
            if (head[1] === 'TYPE') {
                assert(['counter', 'gauge', 'histogram'].includes(head[3]) && !types.has(head[2]), line)
                assert(last === head[2], `HELP stands before TYPE: ${line}`)
                types.set(head[2], head[3])
            }
            last = head[2]
            continue
        }
        const value = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\[\\"n])*",?)*)\})? (\S+)$/.exec(line)
        assert(value, line)
        assert(Number.isFinite(Number(value[4])) && !series.has(value[1] + value[3]), line)
        series.add(value[1] + value[3])
        const name = types.get(last) === 'histogram' ? value[1].replace(/_(bucket|sum|count)$/, '') : value[1]
        assert.equal(name, last, `the samples of a metric stand together: ${line}`)
        if (types.get(last) === 'counter') assert(name.endsWith('_total') && Number(value[4]) >= 0, line)
    }
    for (const [name, type] of types) {
        if (type !== 'histogram') continue
        const buckets = [...text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)$`, 'gm'))]
        assert.equal(buckets.at(-1)[1], '+Inf')
        buckets.forEach((b, i) => assert(i === 0 || (Number(b[2]) >= Number(buckets[i - 1][2]) && (b[1] === '+Inf' || Number(b[1]) > Number(buckets[i - 1][1])))))
        assert.equal(new RegExp(`^${name}_count (\\d+)$`, 'm').exec(text)[1], buckets.at(-1)[2])
    }
}
