// SPDX-License-Identifier: MIT
// plot.mjs FROM TO: curves of what `make bench` measured (FROM/values.*), as SVG into the folder TO: medians, with bars from the lowest to the
// highest. A curve is drawn when its section has been measured.
import fs from 'node:fs';
import path from 'node:path';

const [from, to] = process.argv.slice(2);
const COLOURS = ['#1b6ca8', '#c8553d', '#588157', '#8d6a9f'];
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 360, 60, 20, 44, 48];

// section, values of x, curves: label and the values' name for each x
const CHARTS = [
    { file: 'bench-streams.svg', section: 'streams', title: 'Streams at once, model 1b', xLabel: 'streams', xs: [1, 2, 4, 8, 16],
        curves: [['Caravan, 2 stages of 1 thread', (x) => `ring2.decode${x}`], ['llama-server, whole model, 2 threads', (x) => `whole2.decode${x}`]] },
    { file: 'bench-stages.svg', section: 'ring', title: 'Stages of 1 thread on 2 cores, model 1b', xLabel: 'stages', xs: [1, 2, 4],
        curves: [['1 stream', (x) => `${x === 1 ? 'whole1' : `ring${x}`}.decode1`], ['2 streams', (x) => `${x === 1 ? 'whole1' : `ring${x}`}.decode2`]] },
    { file: 'bench-delay.svg', section: 'delay', title: 'Delay between 2 stages, model 1b', xLabel: 'ms one way', xs: [0, 0.2, 2, 20],
        curves: [['Caravan, 4 streams', (x) => `d${x * 1000}.decode4`], ['Caravan, 1 stream', (x) => `d${x * 1000}.decode1`],
            ['llama.cpp RPC, 1 stream', (x) => `r${x * 1000}.decode1`]] },
];

function readValues(section) {
    const file = path.join(from, `values.${section}`);
    if (!fs.existsSync(file)) return null;
    const values = new Map();
    for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
        const [name, number] = line.split(' ');
        if (number) values.set(name, [...(values.get(name) ?? []), Number(number)]);
    }
    for (const list of values.values()) list.sort((a, b) => a - b);
    return values;
}

const median = (list) => (list[(list.length - 1) >> 1] + list[list.length >> 1]) / 2;

// A round step for about five lines.
function step(most) {
    const power = 10 ** Math.floor(Math.log10(most / 5));
    return [1, 2, 5, 10].map((n) => n * power).find((n) => most / n <= 6);
}

function draw(chart, values) {
    const points = chart.curves.map(([, name]) => chart.xs.map((x, i) => ({ i, list: values.get(name(x)) })).filter((p) => p.list));
    const most = Math.max(...points.flat().map((p) => p.list.at(-1)));
    if (!(most > 0)) return null;
    const inner = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
    const x = (i) => LEFT + (inner[0] * (i + 0.5)) / chart.xs.length;
    const y = (v) => TOP + inner[1] * (1 - v / (most * 1.05));
    const out = [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
        `<title>${chart.title}: tokens a second</title>`, `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
        `<text x="${LEFT}" y="20" font-size="14">${chart.title}: tokens a second</text>`];
    for (let v = 0; v <= most * 1.05; v += step(most)) {
        out.push(`<path d="M${LEFT} ${y(v).toFixed(1)}H${WIDTH - RIGHT}" stroke="#ddd"/>`,
            `<text x="${LEFT - 8}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${Number(v.toPrecision(3))}</text>`);
    }
    chart.xs.forEach((value, i) => out.push(`<text x="${x(i).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${value}</text>`));
    out.push(`<text x="${LEFT + inner[0] / 2}" y="${HEIGHT - 10}" text-anchor="middle">${chart.xLabel}</text>`);
    points.forEach((curve, k) => {
        const colour = COLOURS[k];
        out.push(`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${curve.map((p) => `${x(p.i).toFixed(1)},${y(median(p.list)).toFixed(1)}`).join(' ')}"/>`);
        for (const p of curve) {
            out.push(`<path d="M${x(p.i).toFixed(1)} ${y(p.list[0]).toFixed(1)}V${y(p.list.at(-1)).toFixed(1)}" stroke="${colour}"/>`,
                `<circle cx="${x(p.i).toFixed(1)}" cy="${y(median(p.list)).toFixed(1)}" r="3.5" fill="${colour}"/>`);
        }
        out.push(`<text x="${LEFT + 10 + k * 200}" y="36" fill="${colour}">${chart.curves[k][0]}</text>`);
    });
    return `${out.join('\n')}\n</svg>\n`;
}

for (const chart of CHARTS) {
    const values = readValues(chart.section);
    const svg = values && draw(chart, values);
    if (svg) fs.writeFileSync(path.join(to, chart.file), svg);
}
