// SPDX-License-Identifier: MIT
// The npm `openai` client against the gateway: on the scripted backend, or, with CARAVAN_API set, on the server at that address
// (CARAVAN_API_MODEL: the model's name; default: the first one).
import { after } from 'node:test'
import { Matrix } from './lib/matrix.mjs'
import { Fake } from './lib/openai.mjs'
import { suite } from './lib/openai_suite.mjs'

if (process.env.CARAVAN_API) {
    const api = process.env.CARAVAN_API.replace(/\/$/, '')
    const model = process.env.CARAVAN_API_MODEL ?? (await (await fetch(`${api}/v1/models`)).json()).data[0].id
    suite({ api, model, idle: async () => (await (await fetch(`${api}/caravan/v1/status`)).json()).requests })
} else {
    const fake = await new Fake().open()
    const matrix = new Matrix()
    after(() => fake.stop().then(() => matrix.check()))
    suite({ api: await matrix.open('openai', fake.api), model: 'fake-model', streams: 64, idle: async () => (await fake.status()).running })
}
