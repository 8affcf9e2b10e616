// SPDX-License-Identifier: MIT
// The web page's plans: this cluster, machines on paper, what could run, what to buy, what it costs; as the command says it, and what is wrong.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { View } from './lib/browser.mjs'
import { caravan, until } from './lib/cluster.mjs'
import { openNodes } from './lib/page.mjs'

const [head] = await openNodes({ names: ['alpha'], memory: '60M' })
const card = (view) => view.page.getByRole('region', { name: 'Plan' })
// Fills the form in, and leaves its last field. The page asks whenever a changed field is left: the others are filled without that, so that no
// answer about half of the fields is taken for the one that is waited for.
async function fill(view, fields) {
    const all = Object.entries(fields).map(([label, value]) => [card(view).locator('.form').getByLabel(label, { exact: true }), String(value)]), [last, value] = all.pop()
    for (const [field, text] of all) await field.evaluate((input, text) => { input.value = text }, text)
    await last.fill(value)
    await view.page.keyboard.press('Tab')
}
const says = (view, text) => card(view).locator('.plan').getByText(text).first().waitFor()
const numberIn = async (view, pattern) => Number((await card(view).locator('.plan').innerText()).match(pattern)?.[1]?.replaceAll(',', ''))

test('a model on machines on paper: speed and context as the command says, cost by price of a kWh and use', async () => {
    const view = await View.open(head.api, { path: '#/plan' })
    await says(view, /tokens\/s for one answer/) // this cluster, at first: the model that is loaded fits where it is
    const usually = async (label) => Number(await card(view).locator('.form').getByLabel(label, { exact: true }).getAttribute('placeholder'))
    const [loaded] = (await (await fetch(`${head.api}/caravan/v1/models`)).json()).models.flatMap((m) => m.instances)
    assert.deepEqual([await usually('Context'), await usually('Answers at once')], [loaded.context, loaded.parallel], 'empty fields show what the node would take')
    await fill(view, { Model: 'llama-8b:q4_k_m', Machines: '1xrtx4090-24', Context: 8192, 'Answers at once': 1 })
    await says(view, /electricity [\d.]+ \(\d+ W idle, \d+ W busy\)/)
    const command = JSON.parse(execFileSync(caravan, ['plan', 'llama-8b:q4_k_m', '--fleet', '1xrtx4090-24', '--ctx', '8192', '--parallel', '1', '--json']))
    const shown = await numberIn(view, /([\d.,]+) tokens\/s for one answer/), said = command.copies[0].tokens_per_second
    assert.ok(Math.abs(shown / said - 1) < 0.06, `${shown} tokens/s on the page, ${said} by the command`)
    assert.equal(await numberIn(view, /A context of up to ([\d.,\s]+) fits/), command.largest_ctx)
    assert.ok(await numberIn(view, /the first after [\d.]+ s \([\d.]+ s to [\d.]+ s by (\d+) results of [\w' ]+\)/) >= 3, 'how sure the time to the first token is')
    const usual = await numberIn(view, /electricity ([\d.]+)/), hardware = await numberIn(view, /that is ([\d.]+) for a million tokens/)
    await fill(view, { 'A kWh costs': 0.8 })
    await until('four times the price of a kWh is four times the cost', async () => Math.abs((await numberIn(view, /electricity ([\d.]+)/)) / usual / 4 - 1) < 0.1)
    await fill(view, { Used: 80 })
    await until('who uses it four times as much pays a quarter', async () => Math.abs(((await numberIn(view, /that is ([\d.]+) for a million tokens/)) * 4) / hardware - 1) < 0.1)
    await view.checkSizes([360])
    await view.close()
})

test('what to buy: offers by price, the same as the command names; with a wish that nothing fulfils they say so', async () => {
    const view = await View.open(head.api, { path: '#/plan' })
    await fill(view, { Model: 'llama-70b:q4_k_m', Machines: '1xpc-ddr5-64', 'What to buy': 10 })
    const table = view.page.getByRole('region', { name: 'What to buy' })
    await table.waitFor()
    const names = () => table.locator('tbody tr td:first-child').allInnerTexts()
    // run.sh sets CARAVAN_UBATCH, which counts for the command and not for the page
    const command = JSON.parse(execFileSync(caravan, ['plan', 'llama-70b:q4_k_m', '--fleet', '1xpc-ddr5-64', '--buy', '10', '--ubatch', '0', '--json']))
    assert.deepEqual(await names(), command.offers.map((offer) => offer.buy))
    const prices = (await table.locator('tbody tr td:nth-child(2)').allInnerTexts()).map(Number)
    assert.ok(prices.length > 0 && prices.every((price) => price > 0))
    await view.checkSizes([360])
    await fill(view, { 'What to buy': 100000 })
    await table.getByText('(too slow)').first().waitFor()
    await view.close()
})

test('a plan that takes long: what is computed is said, and what is there already is shown', async () => {
    const view = await View.open(head.api, { path: '#/plan' })
    await says(view, /caravan-demo|tokens\/s for one answer/)
    let goOn
    const held = new Promise((resolve) => { goOn = resolve })
    await view.page.route('**/caravan/v1/plan', async (route) => {
        if (route.request().postDataJSON().advice !== false) await held
        await route.continue()
    })
    await fill(view, { Model: 'llama-70b:q4_k_m', Machines: '1xpc-ddr5-64' })
    await says(view, /tokens\/s for one answer/) // though the second answer is held back
    const now = card(view).getByRole('status')
    await now.getByText('Computing what would help').waitFor()
    await view.check()
    goOn()
    await until('nothing is computed any more', async () => (await now.innerText()) === '')
    await view.close()
})

test('what could run: without a model all that fit, by the rule of the command', async () => {
    const view = await View.open(head.api, { path: '#/plan' })
    await fill(view, { Model: '', Machines: '1xmac-mini-m4-16' })
    const table = view.page.getByRole('region', { name: 'What could run' })
    await table.waitFor()
    const command = JSON.parse(execFileSync(caravan, ['plan', '--fleet', '1xmac-mini-m4-16', '--json']))
    assert.deepEqual(await table.locator('tbody tr td:first-child').allInnerTexts(), command.models.map((model) => model.model))
    await view.check()
    await view.close()
})

test('what is wrong is said where it is asked, with the name that was meant; a model that is too large says what would fit', async () => {
    const view = await View.open(head.api, { path: '#/plan', expected: [/status of 40[04]/] })
    await fill(view, { Model: 'llama-8b', Machines: '2xrtx-4090' })
    await says(view, /rtx-4090/)
    await says(view, /did you mean rtx4090-24/)
    await view.check()
    await fill(view, { Machines: '1xpi5-8', Model: 'llama-70b:q8_0' })
    await says(view, /needs|does not fit|no room/i)
    await fill(view, { Model: 'lama-8b' })
    await says(view, /llama-8b/)
    await fill(view, { Model: 'llama-8b', Machines: '1xrtx4090-24' })
    await says(view, /tokens\/s for one answer/)
    await view.close()
})
