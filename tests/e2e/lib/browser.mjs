// SPDX-License-Identifier: MIT
// The web page in Debian's Chromium. Each view notes what must not happen: errors and warnings in the console, and requests to other servers.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { modules } from './openai.mjs'

export const SIZES = [360, 768, 1280, 2560], THEMES = ['light', 'dark']
const program = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => file && existsSync(file))
if (!program) {
    console.log('skipped: no chromium on this machine (on Debian: apt-get install chromium)')
    process.exit(77)
}
const require = createRequire(join(modules('browser'), 'package.json'))
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
export const browser = await require('playwright-core').chromium.launch({ executablePath: program, args: process.getuid() === 0 ? ['--no-sandbox'] : [] })

export class View {
    // expected: patterns of messages of the console that this view will cause, as a request that is refused.
    static async open(api, { path = '#/', width = 1280, height = 900, theme = 'light', expected = [], context } = {}) {
        const view = new View()
        view.context = context ?? (await browser.newContext({ viewport: { width, height }, colorScheme: theme, acceptDownloads: true }))
        view.page = await view.context.newPage()
        view.faults = []
        view.page.on('console', (m) => ['error', 'warning'].includes(m.type()) && !expected.some((e) => e.test(m.text())) && view.faults.push(m.text()))
        view.page.on('pageerror', (error) => view.faults.push(String(error)))
        view.page.on('request', (r) => !r.url().startsWith(api) && !/^(data|blob):/.test(r.url()) && view.faults.push(`a request to ${r.url()}`))
        view.page.setDefaultTimeout(120000)
        await view.page.goto(`${api}/${path}`)
        return view
    }
    // No element is cut off at the right.
    async checkWidth() {
        const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `the page is ${wide} px wider than the window`)
    }
    // ... and axe finds nothing.
    async check() {
        await this.checkWidth()
        if (!(await this.page.evaluate(() => 'axe' in window))) await this.page.evaluate(axe)
        // A colour that is changing has the contrast of neither end.
        await this.page.evaluate(() => Promise.allSettled(document.getAnimations().filter((a) => a.effect?.getComputedTiming().iterations !== Infinity).map((a) => a.finished)))
        const { violations } = await this.page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }))
        assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target} ${n.any[0]?.message ?? ''}`).join('; ')}`), [])
    }
    // All widths; axe looks at some of them: the layouts of phones and of desktops, between which the others lie.
    async checkSizes(looked = [360, 1280]) {
        for (const width of SIZES) {
            await this.page.setViewportSize({ width, height: width < 600 ? 740 : 900 })
            await (looked.includes(width) ? this.check() : this.checkWidth())
        }
    }
    // The view had no fault, and is closed.
    async close() {
        await this.context.close()
        assert.deepEqual(this.faults, [])
    }
}
