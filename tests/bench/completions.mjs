// SPDX-License-Identifier: MIT
// N streams at once against a llama-server (llama.cpp): completions.mjs PORT STREAMS TOKENS prints tokens a second, counted as ring_bench does:
// from the moment when every stream has its first token until the first of them has its last. Each has a prompt of its own, of about 16 tokens.
import http from 'node:http';

const [port, streams, tokens] = process.argv.slice(2).map(Number);
const state = { begun: 0, ended: 0, started: 0, counted: 0, firstCount: 0 };

function onToken(stream) {
    const now = process.hrtime.bigint();
    if (state.ended) return;
    state.counted++;
    if (++stream.seen === 1 && ++state.started === streams) [state.begun, state.firstCount] = [now, state.counted];
    if (stream.seen === tokens) state.ended = now;
}

function one(index) {
    const body = JSON.stringify({
        prompt: Array.from({ length: 16 }, (_, i) => 1000 + ((index * 977 + i * 131) % 20000)), n_predict: tokens, stream: true, ignore_eos: true,
        temperature: 0, cache_prompt: false,
    });
    return new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, path: '/completion', method: 'POST',
            headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (response) => {
            const stream = { seen: 0 };
            let rest = '';
            response.setEncoding('utf8');
            response.on('data', (text) => {
                const events = (rest + text).split('\n\n');
                rest = events.pop();
                for (const event of events) if (event.startsWith('data: ') && !event.includes('"stop":true')) onToken(stream);
            });
            response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}: ${rest}`))));
        });
        request.on('error', reject);
        request.end(body);
    });
}

await Promise.all(Array.from({ length: streams }, (_, i) => one(i)));
if (!state.ended) throw new Error('the answers were shorter than asked for');
console.log(((state.counted - state.firstCount) / (Number(state.ended - state.begun) / 1e9)).toFixed(3));
