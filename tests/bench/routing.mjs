// SPDX-License-Identifier: MIT
// Clients of real nodes for `make bench SECTIONS=routing`:
//   ready PORT COPIES            waits until so many copies are ready
//   closed CLIENTS TOKENS SECONDS PORT [PORT]   clients that ask again at once, each of the ports in turn; prints tokens a second
//   prefixes SEED PORT [PORT]    eight beginnings in random order, of the ports in turn; prints the 90th percentile of the time to the first text
//                                (ms), and the percentage of the prompts' tokens that were computed
//   arrivals PORT SECONDS        measures the capacity, then sends a trace at 80 % of it; prints `arrivals.NAME VALUE` lines
import http from 'node:http';

const [what, ...args] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1024 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

// Numbers from 0 to 1, always the same ones for a seed (splitmix32).
function random(seed) {
    let a = seed >>> 0;
    return () => {
        a = (a + 0x9e3779b9) >>> 0;
        let t = a ^ (a >>> 16);
        t = Math.imul(t, 0x21f0aaad);
        t ^= t >>> 15;
        t = Math.imul(t, 0x735a2d97);
        return ((t ^ (t >>> 15)) >>> 0) / 4294967296;
    };
}
const normal = (r) => Math.sqrt(-2 * Math.log(1 - r())) * Math.cos(2 * Math.PI * r());
const BEGINNING = 1000; // words
const percentile = (list, p) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))] ?? 0;
// Gamma distributed, of order 1/4 and mean 1 (Marsaglia and Tsang, with the usual step for orders below 1).
function burst(r) {
    const order = 0.25, d = order + 1 - 1 / 3, c = 1 / Math.sqrt(9 * d);
    for (;;) {
        const x = normal(r), v = (1 + c * x) ** 3;
        if (v > 0 && Math.log(1 - r()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v * (1 - r()) ** (1 / order) / order;
    }
}
const length = (r, median, sigma, most) => Math.max(1, Math.min(most, Math.round(median * Math.exp(sigma * normal(r)))));

const words = 'llama caravan desert mountain water salt road star night fire wool market stone river wind song'.split(' ');
const text = (r, n) => Array.from({ length: n }, () => words[Math.floor(r() * words.length)]).join(' ');

// One streamed chat: {error, first, tokens, prompt, cached, stats}; first: seconds to the first text.
function ask(port, content, tokens) {
    const body = JSON.stringify({ model: 'caravan-demo', messages: [{ role: 'user', content }], max_tokens: tokens, stream: true, ignore_eos: true, temperature: 0, caravan_stats: true });
    const began = seconds(), result = { error: null, first: 0, tokens: 0, prompt: 0, cached: 0, stats: null };
    return new Promise((resolve) => {
        const fail = (why) => resolve({ ...result, error: String(why) });
        const request = http.request({ host: '127.0.0.1', port, path: '/v1/chat/completions', method: 'POST', agent,
            headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (response) => {
            let rest = '';
            response.setEncoding('utf8');
            response.on('data', (part) => {
                const events = (rest + part).split('\n\n');
                rest = events.pop();
                for (const event of events) {
                    if (!event.startsWith('data: {')) continue;
                    const data = JSON.parse(event.slice(6));
                    if (data.error) result.error = data.error.message;
                    if (result.first === 0 && data.choices?.[0]?.delta?.content) result.first = seconds() - began;
                    if (data.usage) Object.assign(result, { tokens: data.usage.completion_tokens, prompt: data.usage.prompt_tokens, cached: data.usage.prompt_tokens_details.cached_tokens });
                    if (data.caravan) result.stats = data.caravan;
                }
            });
            response.on('end', () => (response.statusCode === 200 ? resolve(result) : fail(`status ${response.statusCode}: ${rest}`)));
            response.on('error', fail);
        });
        request.on('error', fail);
        request.end(body);
    });
}
const must = (answer) => {
    if (answer.error) throw new Error(answer.error);
    return answer;
};

async function ready(port, copies) {
    for (let i = 0; i < 1200; i++) {
        const status = await fetch(`http://127.0.0.1:${port}/caravan/v1/status`).then((r) => r.json(), () => null);
        if (status?.models?.filter((m) => m.ready).length >= copies) return;
        await sleep(100);
    }
    throw new Error('no copy is ready');
}

// Clients that ask again at once, for so long. Returns the answers of the time in which all of them asked.
async function keepBusy(ports, clients, time, make) {
    const end = seconds() + time, answers = [];
    const client = async (i) => {
        for (let k = 0; seconds() < end; k++) {
            const answer = must(await ask(ports[i % ports.length], ...make(i, k)));
            if (seconds() < end) answers.push(answer);
        }
    };
    await Promise.all(Array.from({ length: clients }, (_, i) => client(i)));
    return answers;
}

async function closed(clients, tokens, time, ...ports) {
    const answers = await keepBusy(ports, clients, time, (i, k) => [`Tell me the story number ${i}, ${k}.`, tokens]);
    console.log((answers.reduce((sum, a) => sum + a.tokens, 0) / time).toFixed(1));
}

async function prefixes(seed, ports) {
    const fixed = random(8), r = random(seed), begins = Array.from({ length: 8 }, (_, i) => `${i} ${text(fixed, BEGINNING)}`), times = [];
    let sent = 0, prompts = 0, computed = 0;
    const client = async () => {
        while (sent < 84) {
            const number = sent++, begin = begins[Math.floor(r() * begins.length)];
            const answer = must(await ask(ports[number % ports.length], `${begin} Question ${seed} ${number}: ${text(r, 5)}?`, 8));
            if (number < 24) continue; // these make them known
            times.push(answer.first * 1000);
            prompts += answer.prompt;
            computed += answer.prompt - answer.cached;
        }
    };
    await Promise.all(Array.from({ length: 4 }, client));
    console.log(`${percentile(times, 0.9).toFixed(1)} ${((100 * computed) / prompts).toFixed(1)}`);
}

async function arrivals(port, time) {
    const make = (r) => [`${Math.floor(r() * 1e9)} ${text(r, length(r, 24, 0.9, 300))}`, length(r, 40, 0.7, 300)];
    const sample = random(1), trial = Math.min(30, time);
    const capacity = (await keepBusy([port], 16, trial, () => make(sample))).length / trial;
    const r = random(20261129), answers = [], running = [];
    const begin = seconds();
    let due = 0;
    for (;;) {
        due += burst(r) / (0.8 * capacity);
        if (due > time) break;
        const request = make(r), wait = begin + due - seconds();
        if (wait > 0) await sleep(wait * 1000);
        running.push(ask(port, ...request).then((answer) => answers.push(answer)));
    }
    await Promise.all(running);
    const good = answers.filter((a) => !a.error && a.stats), waits = good.map((a) => a.stats.queued_ms / 1000);
    const against = good.map((a) => (a.stats.queued_ms + 250) / (a.stats.expected_ms + 250));
    for (const why of new Set(answers.filter((a) => a.error).map((a) => a.error))) console.error(why);
    const out = { requests: answers.length, errors: answers.length - good.length, capacity: capacity.toFixed(2), ratio_p95: percentile(against, 0.95).toFixed(2),
        wait_p50: percentile(waits, 0.5).toFixed(2), wait_p95: percentile(waits, 0.95).toFixed(2) };
    for (const [name, value] of Object.entries(out)) console.log(`arrivals.${name} ${value}`);
}

const n = args.map(Number);
if (what === 'ready') await ready(...n);
else if (what === 'closed') await closed(...n);
else if (what === 'prefixes') await prefixes(n[0], n.slice(1));
else if (what === 'arrivals') await arrivals(...n);
else throw new Error(`what is "${what}"?`);
agent.destroy();
