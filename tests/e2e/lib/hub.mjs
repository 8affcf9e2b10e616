// SPDX-License-Identifier: MIT
// A server that behaves as model hubs do: Hugging Face's listing in pages and its redirects to a store with signed addresses that run out,
// Ollama's manifests and blobs, plain files with and without ranges; and, on demand, their failures. Also a proxy.
import { createHash } from 'node:crypto'
import http from 'node:http'

export const sha256 = (data) => createHash('sha256').update(data).digest('hex')

// Serves `data` with ranges, a piece each `delay` ms; when `hold` bytes have been sent to all, none follow until it is null.
async function sendFile(hub, request, response, data, headers = {}) {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const ranges = hub.ranges && range
    const first = ranges ? Number(range[1]) : 0
    const end = ranges && range[2] !== '' ? Math.min(Number(range[2]) + 1, data.length) : data.length
    response.setMaxListeners(0) // one for each time that it is full
    hub.served.push({ url: request.url, first, end })
    response.writeHead(ranges ? 206 : 200, {
        'content-length': end - first, etag: hub.etag ?? `"${sha256(data).slice(0, 16)}"`, ...(ranges ? { 'content-range': `bytes ${first}-${end - 1}/${data.length}` } : {}),
        ...(hub.ranges ? { 'accept-ranges': 'bytes' } : {}), ...headers,
    })
    for (let at = first; at < end && !response.destroyed;) {
        const step = Math.min(hub.piece, end - at)
        if (hub.hold !== null && hub.bytes >= hub.hold) {
            await new Promise((resolve) => setTimeout(resolve, 10))
            continue
        }
        if (hub.cutAfter !== null && hub.bytes + step > hub.cutAfter) {
            hub.cutAfter = hub.cuts-- > 1 ? hub.bytes + hub.cutEvery : null
            response.destroy() // in the middle of the promised bytes
            return
        }
        if (!response.write(data.subarray(at, at + step))) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve))
        hub.bytes += step
        at += step
        if (hub.delay > 0) await new Promise((resolve) => setTimeout(resolve, hub.delay))
    }
    response.end()
}

export class Hub {
    constructor(address = '127.0.0.1') {
        Object.assign(this, {
            address,
            files: {}, ranges: true, etag: null, piece: 64 * 1024, delay: 0, bytes: 0, served: [], asked: [], refuse: [], hold: null, cutAfter: null, cutEvery: 0, cuts: 0,
            gated: null, signature: 1, signatureUses: Infinity, pageSize: 1000, pagesFrom: null,
        })
    }
    async open() {
        this.server = http.createServer((request, response) => this.answer(request, response).catch((error) => response.destroy(error)))
        await new Promise((resolve) => this.server.listen(0, this.address, resolve))
        this.url = `http://${this.address}:${this.server.address().port}`
        // Where the redirects lead: another host, which must never see the token.
        this.store = http.createServer((request, response) => this.answerStore(request, response).catch((error) => response.destroy(error)))
        await new Promise((resolve) => this.store.listen(0, this.address, resolve))
        this.storeUrl = `http://${this.address === '127.0.0.1' ? 'localhost' : this.address}:${this.store.address().port}`
        return this
    }
    close() {
        for (const server of [this.server, this.store]) {
            server.close()
            server.closeAllConnections()
        }
    }
    async answer(request, response) {
        const url = new URL(request.url, this.url)
        this.asked.push({ path: url.pathname, token: request.headers.authorization ?? null, accept: request.headers.accept })
        const refusal = this.refuse.find((r) => r.times > 0 && url.pathname.includes(r.path))
        if (refusal) {
            refusal.times--
            response.writeHead(refusal.status, refusal.headers ?? {}).end(refusal.body ?? 'no')
            return
        }
        if (this.gated && url.pathname.includes(this.gated.repo) && request.headers.authorization !== `Bearer ${this.gated.token}`) {
            response.writeHead(request.headers.authorization ? 403 : 401).end('{"error":"Access to this model is restricted"}')
            return
        }
        const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)$/.exec(url.pathname)
        const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname)
        const manifest = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(url.pathname)
        const blob = /^\/v2\/.+\/blobs\/sha256:([0-9a-f]+)$/.exec(url.pathname)
        if (tree) return this.answerTree(url, tree[1], tree[2], response)
        if (resolve) {
            const data = this.files[`${resolve[1]}@${resolve[2]}/${decodeURIComponent(resolve[3])}`]
            if (!data) return void response.writeHead(404).end()
            response.writeHead(302, { location: `${this.storeUrl}/${sha256(data)}?signature=${this.signature}`, 'x-linked-etag': `"${sha256(data)}"`, 'x-linked-size': data.length }).end()
            return
        }
        if (manifest) {
            const layers = this.files[`ollama/${manifest[1]}:${manifest[2]}`]
            if (!layers) return void response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            const list = layers.map(({ type, data }) => ({ mediaType: type, digest: `sha256:${sha256(data)}`, size: data.length }))
            response.writeHead(200, { 'content-type': request.headers.accept }).end(JSON.stringify({ schemaVersion: 2, layers: list }))
            return
        }
        if (blob) return void response.writeHead(307, { location: `${this.storeUrl}/${blob[1]}?signature=${this.signature}` }).end()
        const plain = this.files[url.pathname]
        if (!plain) return void response.writeHead(404).end()
        return sendFile(this, request, response, plain)
    }
    answerTree(url, repo, revision, response) {
        const prefix = `${repo}@${revision}/`
        const names = Object.keys(this.files).filter((name) => name.startsWith(prefix)).sort()
        if (names.length === 0) return void response.writeHead(404).end()
        const page = Number(url.searchParams.get('cursor') ?? 0), end = page + this.pageSize
        const entries = names.slice(page, end).map((name) => {
            const data = this.files[name]
            return { type: 'file', path: name.slice(prefix.length), size: data.length, oid: 'f00', ...(data.length > 10000 ? { lfs: { oid: sha256(data), size: data.length, pointerSize: 134 } } : {}) }
        })
        const next = end < names.length ? { link: `<${this.pagesFrom ?? this.url}${url.pathname}?recursive=true&cursor=${end}>; rel="next"` } : {}
        response.writeHead(200, { 'content-type': 'application/json', ...next }).end(JSON.stringify([{ type: 'directory', path: 'folder', size: 0 }, ...entries]))
    }
    async answerStore(request, response) {
        const url = new URL(request.url, this.storeUrl)
        this.asked.push({ store: true, path: url.pathname, token: request.headers.authorization ?? null })
        const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)$/.exec(url.pathname)
        if (tree) return this.answerTree(url, tree[1], tree[2], response)
        if (Number(url.searchParams.get('signature')) !== this.signature) return void response.writeHead(403).end('expired')
        if (this.signatureUses-- <= 0) {
            this.signature++
            this.signatureUses = Infinity
            return void response.writeHead(403).end('expired')
        }
        const all = Object.values(this.files).flatMap((x) => (Array.isArray(x) ? x.map((layer) => layer.data) : [x]))
        const data = all.find((x) => sha256(x) === url.pathname.slice(1))
        if (!data) return void response.writeHead(404).end()
        return sendFile(this, request, response, this.corrupt ? Buffer.concat([data.subarray(0, data.length - 1), Buffer.from([data.at(-1) ^ 1])]) : data)
    }
}

// A forward proxy for plain HTTP; counts the requests through it.
export async function openProxy() {
    const proxy = { count: 0 }
    proxy.server = http.createServer((request, response) => {
        proxy.count++
        const onward = http.request(request.url, { method: request.method, headers: request.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers)
            answer.pipe(response)
        })
        onward.on('error', () => response.destroy())
        request.pipe(onward)
    })
    await new Promise((resolve) => proxy.server.listen(0, '127.0.0.1', resolve))
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`
    return proxy
}
