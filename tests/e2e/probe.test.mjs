// SPDX-License-Identifier: MIT
// A model whose architecture has no row in tables/quirks.def: it is probed when it is first loaded, and then runs in slices. What was found is
// kept: the next start doesn't probe. Its first choices are those of the whole model, and `caravan verify --probe` says that all logits are.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { caravan, demoModel, startCluster, stopCluster } from './lib/cluster.mjs'
import { makeZoo } from './lib/zoo.mjs'

const table = readFileSync(join(process.env.CARAVAN_SOURCE, 'tables/quirks.def'), 'utf8')
const model = join(process.env.CARAVAN_TMP, 'bitnet.gguf')
const PROBED = 'architecture "bitnet" was probed', PROBING = 'is not in the table: probing'

async function chat(nodes) {
    const id = (await (await fetch(`${nodes[0].api}/v1/models`)).json()).data[0].id
    const response = await fetch(`${nodes[0].api}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: id, messages: [{ role: 'user', content: 'Tell me about a llama.' }], temperature: 0, max_tokens: 24, logprobs: true }),
    })
    const answer = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return answer.choices[0].logprobs.content.map((t) => [t.token, t.logprob])
}

const start = (names) => startCluster(names, { memory: '256M', model, first: names.length > 1 ? ['--placement', '4,4'] : [] })

test('an architecture without a row is probed once, and runs in slices', async () => {
    assert.ok(!table.includes('QUIRK("bitnet"'), 'the table has bitnet by now: this test needs another architecture')
    execFileSync(join(process.env.CARAVAN_BUILD, 'bin/make_variant'), [demoModel, model, 'bitnet'])
    const alone = await start(['alone'])
    const whole = await chat(alone)
    await stopCluster(alone)

    let nodes = await start(['north', 'south'])
    for (const node of nodes) assert.equal(node.stages().length, 1)
    assert.deepEqual(await chat(nodes), whole)
    assert.ok(nodes[0].logText().includes(PROBED))
    const kept = JSON.parse(readFileSync(join(nodes[0].dir, 'architectures.json')))
    assert.match(kept.rows[0], /^bitnet kinds=[0-9a-f]{16} period=1 width=1 out=/)
    assert.ok(!existsSync(join(nodes[1].dir, 'architectures.json')), 'only the node that plans the model probes it')
    await stopCluster(nodes)

    const before = nodes[0].logText().split(PROBING).length
    nodes = await start(['north', 'south'])
    assert.equal(nodes[1].stages().length, 1)
    assert.deepEqual(await chat(nodes), whole)
    assert.equal(nodes[0].logText().split(PROBING).length, before, 'it is not probed again')
    await stopCluster(nodes)
})

// Layers that end in a multiplication, as the norm behind the last of them does.
test('gemma4 has no row, and runs in slices', () => {
    assert.ok(!table.includes('QUIRK("gemma4"'), 'the table has gemma4 by now')
    const [made] = makeZoo('gemma4')
    const probed = spawnSync(caravan, ['verify', made, '--stages', '2', '--probe', '--prompt-tokens', '48', '--tokens', '12', '--ctx', '256', '--threads', '1'], { encoding: 'utf8' })
    assert.equal(probed.status, 0, probed.stdout + probed.stderr)
    assert.match(probed.stdout, /in 2 slices of 6, 6 layers: identical/)
})

// A value of layer 0 that all layers read, and an entry that has no name: the table's rows, found once more.
for (const [architecture, row] of [['rwkv7', 'in=l_out-0 carry=time_mix_value.weight'], ['arwkv7', 'in=l_out-0 carry=time_mix_value.weight'], ['rwkv6', 'in=<token_embd_norm.bias']])
    test(`what the table says of ${architecture} is found by probing`, () => {
        const [made] = makeZoo(architecture)
        const options = ['--json', '--stages', '3', '--probe', '--prompt-tokens', '48', '--tokens', '12', '--ctx', '256', '--threads', '1']
        const probed = spawnSync(caravan, ['verify', made, ...options], { encoding: 'utf8' })
        assert.equal(probed.status, 0, probed.stdout + probed.stderr)
        const found = JSON.parse(probed.stdout)
        assert.equal(found.row, `${architecture} period=1 width=1 out=l_out- ${row}`)
        assert.equal(found.verdict, 'identical')
    })

test('verify --probe finds the same row and says that it holds', () => {
    const plain = spawnSync(caravan, ['verify', model, '--stages', '3'], { encoding: 'utf8' })
    assert.match(plain.stderr, /runs whole only: it is not in the table/)
    const probed = spawnSync(caravan, ['verify', model, '--stages', '3', '--probe'], { encoding: 'utf8' })
    assert.equal(probed.status, 0, probed.stdout + probed.stderr)
    assert.match(probed.stdout, /in 3 slices of .* layers: identical/)
})
