// SPDX-License-Identifier: MIT
// The npm `openai` client against real nodes: two that carry the demo model together. (openai.test.mjs has the same suite on a scripted backend.)
import { after } from 'node:test'
import { startCluster, stopCluster } from './lib/cluster.mjs'
import { Matrix } from './lib/matrix.mjs'
import { suite } from './lib/openai_suite.mjs'

const nodes = await startCluster(['north', 'south'], { memory: '256M', first: ['--placement', '4,4', '--ctx', '1024', '--parallel', '8'] })
const matrix = new Matrix()
after(() => stopCluster(nodes).then(() => matrix.check()))
const model = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id
suite({ api: await matrix.open('openai', nodes[1].api), model, idle: async () => (await nodes[0].status()).requests })
