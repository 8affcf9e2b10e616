// SPDX-License-Identifier: MIT
// Coding agents, unmodified, against the gateway on its scripted backend, in a network namespace without a way out: each says a text, calls a
// tool of its own and goes on with what that gave, and is ended in the middle of an answer. Their requests are what no list of parameters
// foresees: dozens of tools, instructions between turns, items of their own kinds.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Fake, modules, script, until } from './lib/openai.mjs'

const NAMESPACE = 'CARAVAN_AGENTS_FOLDER'
const APART = ['-rnpf', '--mount-proc', '--kill-child'] // no way out, and nothing stays when the test has ended

// The packages are fetched outside; everything else happens inside, where only the gateway can be reached.
if (!process.env[NAMESPACE]) {
    if (spawnSync('unshare', [...APART, 'true']).status !== 0) {
        console.log('skipped: no network namespace can be made here')
        process.exit(77)
    }
    const inside = spawnSync('unshare', [...APART, 'sh', '-c', 'ip link set lo up && exec node "$0"', fileURLToPath(import.meta.url)],
        { stdio: 'inherit', env: { ...process.env, [NAMESPACE]: modules('agents') } })
    process.exit(inside.status ?? 1)
}

const bin = (...path) => join(process.env[NAMESPACE], 'node_modules', ...path)
const fake = await new Fake().open()
after(() => fake.stop())

// Text as the pieces that a model would give it in.
const pieces = (text) => text.match(/[^]{1,48}/g)
const call = (name, args) => ({ pieces: pieces(`</think>\n<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`) })
const caravan = { baseURL: `${fake.api}/v1`, apiKey: 'none' }

// program: what runs. args: for a prompt and a model. tool: one of the agent's own that reads the file "notes.txt" of its folder.
const agents = {
    'claude-code': {
        program: [bin('@anthropic-ai', `claude-code-${process.platform}-${process.arch}`, 'claude')],
        args: (prompt, model) => ['-p', prompt, '--model', model, '--allowedTools', 'Read'],
        env: { ANTHROPIC_BASE_URL: fake.api, ANTHROPIC_API_KEY: 'none', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' },
        tool: (dir) => call('Read', { file_path: join(dir, 'notes.txt') }),
    },
    codex: {
        program: [bin('@openai/codex/bin/codex.js')],
        args: (prompt, model) => ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '-m', model, prompt],
        setup: (dir) => {
            mkdirSync(join(dir, '.codex'))
            writeFileSync(join(dir, '.codex/config.toml'), `model_provider = "caravan"\n[model_providers.caravan]\nname = "Caravan"\nbase_url = "${caravan.baseURL}"\nwire_api = "responses"\n`)
        },
        tool: () => call('exec_command', { cmd: 'cat notes.txt' }),
    },
    cline: {
        program: [bin('@cline', `cli-${process.platform}-${process.arch}`, 'bin/cline')],
        args: (prompt, model) => ['-P', 'openai-compatible', '-m', model, prompt],
        setup: (dir, env) => spawnSync(agents.cline.program[0], ['auth', '-p', 'openai-compatible', '-k', 'none', '-m', 'hermes', '-b', caravan.baseURL], { cwd: dir, env }),
        tool: () => call('run_commands', { commands: ['cat notes.txt'] }),
    },
    continue: {
        program: [bin('.bin/cn')],
        args: (prompt) => ['-p', '--auto', '--config', 'config.json', prompt],
        setup: (dir, env, model) => writeFileSync(join(dir, 'config.json'), JSON.stringify({
            name: 'test', version: '1.0.0', schema: 'v1',
            models: [{ name: 'caravan', provider: 'openai', model, apiBase: caravan.baseURL, apiKey: 'none', roles: ['chat'], capabilities: ['tool_use'] }],
        })),
        tool: () => call('Bash', { command: 'cat notes.txt' }),
    },
    'qwen-code': {
        program: [bin('.bin/qwen')],
        args: (prompt) => ['--auth-type', 'openai', '-y', '-p', prompt],
        env: { OPENAI_BASE_URL: caravan.baseURL, OPENAI_API_KEY: 'none' },
        model: 'OPENAI_MODEL',
        tool: () => call('run_shell_command', { command: 'cat notes.txt', is_background: false }),
    },
    pi: {
        program: [bin('.bin/pi')],
        args: (prompt, model) => ['-p', '--provider', 'caravan', '--model', model, prompt],
        setup: (dir) => {
            mkdirSync(join(dir, '.pi/agent'), { recursive: true })
            const models = ['fake-model', 'hermes'].map((id) => ({ id }))
            writeFileSync(join(dir, '.pi/agent/models.json'), JSON.stringify({ providers: { caravan: { baseUrl: caravan.baseURL, api: 'openai-completions', apiKey: 'none', models } } }))
        },
        tool: () => call('bash', { command: 'cat notes.txt' }),
    },
    opencode: {
        program: [bin(`opencode-${process.platform}-${process.arch}`, 'bin/opencode')],
        args: (prompt, model) => ['run', '--model', `caravan/${model}`, ...prompt.split(' ')],
        setup: (dir) => writeFileSync(join(dir, 'opencode.json'), JSON.stringify({
            provider: { caravan: { npm: '@ai-sdk/openai-compatible', name: 'Caravan', options: caravan, models: { 'fake-model': {}, hermes: {} } } },
            small_model: 'caravan/fake-model', autoupdate: false, share: 'disabled', permission: { bash: 'allow' },
        })),
        tool: () => call('bash', { command: 'cat notes.txt', description: 'reads the notes' }),
    },
}

// Starts an agent in a folder of its own; resolves to what it wrote when it has ended.
function start(agent, prompt, model) {
    const dir = mkdtempSync(join(process.env.CARAVAN_TMP, 'agent-'))
    writeFileSync(join(dir, 'notes.txt'), `${script({ pieces: ['</think>\n', 'told by ', 'the notes'] })}\n`)
    const env = { ...process.env, HOME: dir, PWD: dir, XDG_CONFIG_HOME: join(dir, '.config'), XDG_DATA_HOME: join(dir, '.data'), XDG_STATE_HOME: join(dir, '.state'), XDG_CACHE_HOME: join(dir, '.cache'), ...agent.env }
    if (agent.model) env[agent.model] = model
    agent.setup?.(dir, env, model)
    const [program, ...first] = agent.program
    const child = spawn(program, [...first, ...agent.args(typeof prompt === 'function' ? prompt(dir) : prompt, model)], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let out = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (d) => { out += d })
    const ended = new Promise((resolve) => child.on('close', (code) => resolve({ code, out })))
    return { child, ended }
}

// To an agent and its children, as a terminal does it.
function signal(child, name) {
    try { process.kill(-child.pid, name) } catch (e) { if (e.code !== 'ESRCH') throw e }
}

const idle = () => until('no request runs any more', async () => (await fake.status()).running === 0, 30)

for (const [name, agent] of Object.entries(agents)) {
    const skip = existsSync(agent.program[0]) ? false : 'there is no such package for this machine'

    test(`${name}: a text`, { skip, timeout: 90000 }, async () => {
        const { code, out } = await start(agent, `say ${script({ pieces: ['a-text-', 'of-it'] })}`, 'fake-model').ended
        assert.equal(code, 0, out)
        assert.match(out, /a-text-of-it/)
        await idle()
    })

    test(`${name}: a tool, and on with what it gave`, { skip, timeout: 90000 }, async () => {
        const { code, out } = await start(agent, (dir) => `do ${script(agent.tool(dir))}`, 'hermes').ended
        assert.equal(code, 0, out)
        assert.match(out, /told by the notes/)
        await idle()
    })

    test(`${name}: ended in the middle of an answer`, { skip, timeout: 90000 }, async () => {
        const before = await fake.status()
        const { child, ended } = start(agent, `say ${script({ pieces: ['x'], repeat: 100000, delay_ms: 5 })}`, 'fake-model')
        await until('it answers', async () => (await fake.status()).tokens > before.tokens + 20, 60)
        signal(child, 'SIGINT')
        await until('no request runs any more', async () => (await fake.status()).running === 0, 30).finally(() => signal(child, 'SIGKILL'))
        await ended
    })
}
