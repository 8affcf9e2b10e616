// SPDX-License-Identifier: MIT
// Coding agents, unmodified, against the gateway on its scripted backend, in a network namespace without a way out: each shows a text, calls a
// tool of its own and goes on with the tool's result, and is ended in the middle of an answer. Their requests hold more than any list of
// parameters foresees: dozens of tools, instructions between turns, items of their own kinds. Those that the page's Connect view knows are
// set up with what it gives to paste, as it stands (web/connect_settings.js).
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { availableParallelism } from 'node:os'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PROGRAMS } from '../../web/connect_settings.js'
import { Fake, modules, script, until } from './lib/openai.mjs'

const NAMESPACE = 'CARAVAN_AGENTS_FOLDER'
const APART = ['-rnpf', '--mount-proc', '--kill-child'] // no way out, and no process stays after the test

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
// A text, cut into pieces as a model gives it.
const pieces = (text) => text.match(/[^]{1,48}/g)
const call = (name, args) => ({ pieces: pieces(`</think>\n<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`) })
// What the Connect view gives to paste for a program: its parts.
const settings = (id, api, model) => PROGRAMS.find((p) => p.id === id).make({ base: api, key: 'none', model }).map((part) => part.text)
// A part that is pasted into a shell ends with the program's name; what the test adds follows it.
const typed = (text, ...args) => ['-c', `${text} "$@"`, 'sh', ...args]
function put(text, ...path) {
    mkdirSync(dirname(join(...path)), { recursive: true })
    writeFileSync(join(...path), text)
}

// For a gateway at this address. file: the agent's program, which is NAME in the PATH. program: what runs, if not that. args: for a prompt and
// a model. tool: one of the agent's own that reads the file "notes.txt" of its folder.
const agentsOf = (api) => ({
    'claude-code': {
        file: bin('@anthropic-ai', `claude-code-${process.platform}-${process.arch}`, 'claude'),
        name: 'claude',
        program: 'sh',
        args: (prompt, model) => typed(settings('claude-code', api, model)[0], '-p', prompt, '--allowedTools', 'Read'),
        env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' },
        tool: (dir) => call('Read', { file_path: join(dir, 'notes.txt') }),
    },
    codex: {
        file: bin('@openai/codex/bin/codex.js'),
        program: 'sh',
        args: (prompt, model) => typed(settings('codex', api, model)[1], 'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', prompt),
        setup: (dir, env, model) => put(settings('codex', api, model)[0], dir, '.codex/config.toml'),
        tool: () => call('exec_command', { cmd: 'cat notes.txt' }),
    },
    cline: {
        file: bin('@cline', `cli-${process.platform}-${process.arch}`, 'bin/cline'),
        program: 'sh',
        args: (prompt, model) => typed(settings('cline', api, model)[1], prompt),
        tool: () => call('run_commands', { commands: ['cat notes.txt'] }),
    },
    continue: {
        file: bin('.bin/cn'),
        args: (prompt) => ['-p', '--auto', '--config', '.continue/config.yaml', prompt],
        setup: (dir, env, model) => put(settings('continue', api, model)[0], dir, '.continue/config.yaml'),
        tool: () => call('Bash', { command: 'cat notes.txt' }),
    },
    'qwen-code': {
        file: bin('.bin/qwen'),
        args: (prompt) => ['--auth-type', 'openai', '-y', '-p', prompt],
        env: { OPENAI_BASE_URL: `${api}/v1`, OPENAI_API_KEY: 'none' },
        model: 'OPENAI_MODEL',
        tool: () => call('run_shell_command', { command: 'cat notes.txt', is_background: false }),
    },
    pi: {
        file: bin('.bin/pi'),
        args: (prompt, model) => ['-p', '--provider', 'caravan', '--model', model, prompt],
        setup: (dir) => {
            mkdirSync(join(dir, '.pi/agent'), { recursive: true })
            const models = ['fake-model', 'hermes'].map((id) => ({ id }))
            writeFileSync(join(dir, '.pi/agent/models.json'), JSON.stringify({ providers: { caravan: { baseUrl: `${api}/v1`, api: 'openai-completions', apiKey: 'none', models } } }))
        },
        tool: () => call('bash', { command: 'cat notes.txt' }),
    },
    opencode: {
        file: bin(`opencode-${process.platform}-${process.arch}`, 'bin/opencode'),
        args: (prompt) => ['run', ...prompt.split(' ')],
        setup: (dir, env, model) => {
            put(settings('opencode', api, model)[0], dir, 'opencode.json')
            put(JSON.stringify({ autoupdate: false, share: 'disabled', permission: { bash: 'allow' } }), dir, '.config/opencode/opencode.json')
        },
        tool: () => call('bash', { command: 'cat notes.txt', description: 'reads the notes' }),
    },
})
const path = join(process.env.CARAVAN_TMP, 'agents')
mkdirSync(path)
for (const [id, agent] of Object.entries(agentsOf(''))) if (existsSync(agent.file)) symlinkSync(agent.file, join(path, agent.name ?? id))

// Starts an agent in a folder of its own; resolves to its output when it has ended.
function start(agent, prompt, model) {
    const dir = mkdtempSync(join(process.env.CARAVAN_TMP, 'agent-'))
    writeFileSync(join(dir, 'notes.txt'), `${script({ pieces: ['</think>\n', 'told by ', 'the notes'] })}\n`)
    const env = { ...process.env, PATH: `${path}:${process.env.PATH}`, HOME: dir, PWD: dir, XDG_CONFIG_HOME: join(dir, '.config'), XDG_DATA_HOME: join(dir, '.data'), XDG_STATE_HOME: join(dir, '.state'), XDG_CACHE_HOME: join(dir, '.cache'), ...agent.env }
    if (agent.model) env[agent.model] = model
    agent.setup?.(dir, env, model)
    const child = spawn(agent.program ?? agent.file, agent.args(typeof prompt === 'function' ? prompt(dir) : prompt, model), { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let out = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (d) => { out += d })
    const ended = new Promise((resolve) => child.on('close', (code) => resolve({ code, out })))
    return { child, ended }
}

// To an agent and its children, as a terminal does it.
function signal(child, name) {
    try { process.kill(-child.pid, name) } catch (e) { if (e.code !== 'ESRCH') throw e }
}

// An agent computes on one core while it starts: as many of them at once as there are cores, each with a gateway of its own.
describe('agents', { concurrency: availableParallelism() }, () => {
    for (const name of Object.keys(agentsOf(''))) describe(name, { concurrency: 1 }, () => tryAgent(name))
})

async function tryAgent(name) {
    const fake = await new Fake().open(), agent = agentsOf(fake.api)[name]
    after(() => fake.stop())
    const skip = existsSync(agent.file) ? false : 'there is no such package for this machine'
    const idle = () => until('no request runs any more', async () => (await fake.status()).running === 0)

    test('a text', { skip, timeout: 180000 }, async () => {
        const { code, out } = await start(agent, `say ${script({ pieces: ['a-text-', 'of-it'] })}`, 'fake-model').ended
        assert.equal(code, 0, out)
        assert.match(out, /a-text-of-it/)
        await idle()
    })

    test('a tool, and on with what it gave', { skip, timeout: 180000 }, async () => {
        const { code, out } = await start(agent, (dir) => `do ${script(agent.tool(dir))}`, 'hermes').ended
        assert.equal(code, 0, out)
        assert.match(out, /told by the notes/)
        await idle()
    })

    test('ended in the middle of an answer', { skip, timeout: 180000 }, async () => {
        const before = await fake.status()
        const { child, ended } = start(agent, `say ${script({ pieces: ['x'], repeat: 100000, delay_ms: 5 })}`, 'fake-model')
        await until('it answers', async () => (await fake.status()).tokens > before.tokens + 20)
        signal(child, 'SIGINT')
        await idle().finally(() => signal(child, 'SIGKILL'))
        await ended
    })
}
