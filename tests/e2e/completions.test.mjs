// SPDX-License-Identifier: MIT
// Completions in bash, zsh and fish, and the manual pages under mandoc's eyes: real ones (tools/sysroot.sh shells), each in a root of its own in
// which the real program runs too. Needs root for that.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { caravan, demoModel, run, until } from './lib/cluster.mjs'
import { Terminal, plain } from './lib/terminal.mjs'

const tmp = process.env.CARAVAN_TMP, source = process.env.CARAVAN_SOURCE, build = process.env.CARAVAN_BUILD
const shells = join(source, 'build/sysroot-shells')
if (!existsSync(join(shells, 'usr/bin/fish'))) {
    console.log('skipped: no shells here; `tools/sysroot.sh shells` fetches them')
    process.exit(77)
}

// The root: the shells' /usr, and everything else that the program needs at its usual place.
const root = join(tmp, 'root')
for (const folder of ['usr', 'dev', 'proc', 'etc', 'tmp', `.${source}`, `.${tmp}`, `.${dirname(build)}`]) mkdirSync(join(root, folder), { recursive: true })
for (const folder of ['bin', 'lib', 'lib64', 'sbin']) symlinkSync(`usr/${folder}`, join(root, folder))
const enter = join(tmp, 'enter')
writeFileSync(enter, `set -eu
for folder in dev proc ${source} ${tmp}; do mount --rbind "/$folder" "${root}/$folder"; done
mount --bind ${shells}/usr ${root}/usr
cd ${tmp}
exec env -i PATH=${dirname(caravan)}:/usr/bin:/bin HOME=${tmp}/home TERM=xterm LANG=C.UTF-8 XDG_DATA_HOME=${tmp}/data XDG_STATE_HOME=${tmp}/state ZDOTDIR=${tmp}/zsh CARAVAN_API=127.0.0.1:1 /usr/sbin/chroot ${root} "$@"
`)
const inside = (...command) => ['-m', 'sh', enter, ...command]
const did = (...command) => spawnSync('unshare', inside(...command), { encoding: 'utf8', cwd: tmp })
if (did('/usr/bin/bash', '-c', ':').status !== 0) {
    console.log(`skipped: no mount namespaces here: ${did('/usr/bin/bash', '-c', ':').stderr}`)
    process.exit(77)
}

const folder = (name) => { mkdirSync(join(tmp, name), { recursive: true }); return join(tmp, name) }
const models = folder('data/caravan/models')
copyFileSync(demoModel, join(models, 'my-model.gguf'))
folder('home')
const script = (shell) => execFileSync(caravan, ['help', '--completion', shell], { encoding: 'utf8' })
const commands = [...readFileSync(join(source, 'tables/commands.def'), 'utf8').matchAll(/^COMMAND\(\w+, +"([a-z]+)", +".*?", +\w+, +false/gm)].map((m) => m[1])

// On a real terminal: what stands there after Tab.
async function typed(shell, start, line, expected) {
    const t = new Terminal(['unshare', ...inside(...shell)], { program: '/usr/bin/env', columns: 100 })
    await t.until(/ready> /)
    if (start) t.type(start)
    t.type(line)
    await until('what is typed shows', () => plain(t.text).includes(line)) // so that Tab is no part of a paste
    t.type('\t')
    const seen = await t.until(expected)
    t.type('\x03\x04exit\r')
    t.hangUp()
    await t.end()
    return seen
}

await run({
    async 'bash completes commands, options, values, models'() {
        writeFileSync(join(tmp, 'bashrc'), `PS1='ready> '\n. ${tmp}/caravan.bash\nbind 'set enable-bracketed-paste off'\n`)
        writeFileSync(join(tmp, 'caravan.bash'), script('bash'))
        const bash = ['/usr/bin/bash', '--noprofile', '--rcfile', join(tmp, 'bashrc'), '-i']
        await typed(bash, '', 'caravan perp', /caravan perplexity /)
        await typed(bash, '', 'caravan run --max-t', /caravan run --max-tokens /)
        await typed(bash, '', 'caravan up --flash-attn a', /--flash-attn auto /)
        await typed(bash, '', 'caravan plan --wire-type=bf', /--wire-type=bf16 /)
        await typed(bash, '', 'caravan load my-', /caravan load my-model /)
        await typed(bash, '', 'caravan help perp', /caravan help perplexity /)
        const all = did('/usr/bin/bash', '-c', `. ${tmp}/caravan.bash; COMP_WORDS=(caravan ''); COMP_CWORD=1; _caravan; printf '%s\\n' "\${COMPREPLY[@]}"`)
        assert.deepEqual(all.stdout.trim().split('\n'), commands, all.stderr)
    },
    async 'zsh completes commands, options, values, models'() {
        writeFileSync(join(folder('zsh'), '.zshrc'), `PROMPT='ready> '\nfpath=(${folder('zsh/functions')} $fpath)\nautoload -Uz compinit\ncompinit -u -d ${tmp}/zsh/dump\nunsetopt zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste\n`)
        writeFileSync(join(tmp, 'zsh/functions/_caravan'), script('zsh'))
        const zsh = ['/usr/bin/zsh', '-i']
        await typed(zsh, '', 'caravan perp', /caravan perplexity /)
        await typed(zsh, '', 'caravan run --max-t', /caravan run --max-tokens=/)
        await typed(zsh, '', 'caravan up --flash-attn=a', /--flash-attn=auto /)
        await typed(zsh, '', 'caravan load my-', /caravan load my-model /)
        assert.match(await typed(zsh, '', 'caravan help p', /plan[^]*pull/), /perplexity/)
    },
    async 'fish completes commands, options, values, models'() {
        writeFileSync(join(tmp, 'caravan.fish'), script('fish'))
        const fish = (line) => {
            const said = did('/usr/bin/fish', '--no-config', '-c', `source ${tmp}/caravan.fish; complete -C '${line}'`)
            assert.equal(said.status, 0, said.stderr)
            assert.equal(said.stderr, '')
            return said.stdout.trim().split('\n').map((l) => l.split('\t')[0])
        }
        assert.deepEqual(fish('caravan ').sort(), [...commands].sort())
        assert.deepEqual(fish('caravan run --max-t'), ['--max-tokens'])
        assert.deepEqual(fish('caravan up --flash-attn ').sort(), ['auto', 'off', 'on'])
        assert(fish('caravan load my-').includes('my-model'))
        assert.deepEqual(fish('caravan nodes for'), ['forget'])
        assert.deepEqual(fish('caravan keys ').filter((word) => !word.includes('/')).sort(), ['add', 'remove'])
    },
    async 'every manual page is sound, and says what its command has'() {
        for (const command of ['', ...commands]) {
            const page = execFileSync(caravan, ['help', ...(command ? [command] : []), '--man'], { encoding: 'utf8' })
            const file = join(tmp, `caravan${command && `-${command}`}.1`)
            writeFileSync(file, page)
            const lint = did('/usr/bin/mandoc', '-T', 'lint', '-W', 'warning', file)
            assert.equal(lint.stdout.replace(/.*(missing date|unknown manual section|WARNING: missing date).*\n/g, ''), '', `${command}: ${lint.stdout}`)
            const text = plain(did('/usr/bin/mandoc', '-T', 'utf8', '-O', 'width=78', file).stdout.replace(/.\x08/g, ''))
            assert.match(text, command ? new RegExp(`caravan-${command} - `) : /EXIT STATUS/)
            if (command) for (const [, option] of execFileSync(caravan, [command, '--help'], { encoding: 'utf8' }).matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)) assert(text.includes(option), `${command}: ${option}`)
        }
    },
})
