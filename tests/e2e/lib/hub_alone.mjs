// SPDX-License-Identifier: MIT
// A hub of its own process (lib/hub.mjs) that has the demo model as the Q4_K_M of the repositories that the documents name: hub_alone.mjs ADDRESS
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Hub } from './hub.mjs'

const model = readFileSync(join(process.env.CARAVAN_SOURCE, 'models/caravan-demo.gguf'))
const hub = new Hub(process.argv[2])
for (const [repo, name] of [['Qwen/Qwen3-8B-GGUF', 'Qwen3-8B'], ['bartowski/Llama-3.3-70B-Instruct-GGUF', 'Llama-3.3-70B-Instruct'], ['Qwen/Qwen3-32B-GGUF', 'Qwen3-32B']])
    hub.files[`${repo}@main/${name}-Q4_K_M.gguf`] = model
await hub.open()
console.log(hub.url)
