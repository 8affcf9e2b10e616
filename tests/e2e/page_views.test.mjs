// SPDX-License-Identifier: MIT
// The web page of real nodes: every page at every width, light and dark.
import test from 'node:test'
import { THEMES, SIZES, View } from './lib/browser.mjs'
import { ask, openNodes } from './lib/page.mjs'

const [head] = await openNodes()
const PAGES = ['chat', 'cluster', 'models', 'plan', 'connect', 'anatomy', 'activity', 'logs']

// axe looks at each layout in light colours, and at the contrasts of dark ones.
for (const theme of THEMES)
    test(`all pages, ${SIZES} px wide, ${theme}: nothing is cut off, axe finds nothing, no error in the console`, async () => {
        await ask(head)
        const view = await View.open(head.api, { theme })
        for (const page of PAGES) {
            await view.page.goto(`${head.api}/#/${page}`)
            await view.page.locator(page === 'chat' ? '.model option[value="caravan-demo"]' : page === 'logs' ? '.log time' : 'main .card').first().waitFor({ state: 'attached' })
            if (page === 'activity') await view.page.locator('.chart canvas').first().waitFor()
            await view.checkSizes(theme === 'light' ? [360, 1280] : [1280])
        }
        await view.close()
    })
