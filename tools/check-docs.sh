#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails where a document or a comment names a file, test, make target, subcommand or option that doesn't exist, where a document has a command
# in a block that is not marked `sh run HOST` (tests/e2e/docs.test.sh runs it) or `sh shown`, where docs/TROUBLESHOOTING.md lacks an error of the
# table, where docs/README.md doesn't lead to a document of docs/, and where docs/ARCHITECTURE.md or the table of CONTRIBUTING.md doesn't name a
# folder of src/.  tools/check-docs.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"

list_files() {
    if [ -d .git ] || [ -f .git ]; then
        git ls-files -co --exclude-standard
    else
        find . -type f ! -path './build/*' ! -path '*/node_modules/*' | sed 's|^\./||'
    fi | LC_ALL=C sort -u | while IFS= read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

list=$(mktemp "${TMPDIR:-/tmp}/caravan-docs.XXXXXX")
trap 'rm -f "$list"' EXIT
list_files >"$list"
# In documents: text in `marks`, and the targets of links. In sources: names of files.
grep -E '(^|/)[^/]*\.(md|c|h|def|sh|mjs|cmake)$|^(Makefile|CMakeLists\.txt)$' "$list" | grep -vE '^tests/(data|fuzz/corpus)/' | tr '\n' '\0' | xargs -0 awk -v list="$list" '
function fault(text) {
    printf "%s:%d: %s\n", FILENAME, FNR, text
    faults++
}
function load(    path, part, n, i, dir, line) {
    while ((getline path < list) > 0) {
        exists[path] = 1
        n = split(path, part, "/")
        named[part[n]] = 1
        dir = ""
        for (i = 1; i < n; i++) {
            dir = dir part[i] "/"
            exists[dir] = exists[substr(dir, 1, length(dir) - 1)] = 1
        }
        if (part[1] == "src" && n == 3) {
            rooms[part[2]] = 1
            path = part[2] "/" part[3]
            exists[path] = exists[part[2]] = exists[part[2] "/"] = 1
            sub(/\.[ch]$/, "", path)
            exists[path] = exists["src/" path] = 1
        }
        if (path ~ /^tests\/(unit|sim|fuzz)\/[a-z]+_[a-z0-9_]+\.c$/)
            tests[substr(part[3], 1, length(part[3]) - 2)] = 1
        if (path ~ /^tests\/e2e\/.*\.test\.(sh|mjs)$/)
            tests["e2e_" substr(part[3], 1, index(part[3], ".") - 1) (path ~ /mjs$/ ? "_mjs" : "")] = 1
    }
    while ((getline line < "Makefile") > 0)
        if (line ~ /^[a-z][a-z -]*:/) {
            sub(/:.*/, "", line)
            n = split(line, part, " ")
            for (i = 1; i <= n; i++)
                targets[part[i]] = 1
        }
    while ((getline line < "tables/errors.def") > 0)
        if (line ~ /^ERR\(/) {
            gsub(/^ERR\(|\)$|"/, "", line)
            n = split(line, part, /, */)
            errors["| `" part[1] "` | " part[3] " | " part[4] + 0 " | " part[2]] = part[1]
        }
    while ((getline line < "tables/commands.def") > 0)
        if (line ~ /^COMMAND/ && match(line, /"[a-z]+"/))
            commands[substr(line, RSTART + 1, RLENGTH - 2)] = 1
    n = split("tables/options.def tables/quotas.def", part, " ")
    for (i = 1; i <= n; i++)
        while ((getline line < part[i]) > 0)
            while (match(line, /"[a-z][a-z0-9-]*"/)) {
                options[substr(line, RSTART + 1, RLENGTH - 2)] = 1
                line = substr(line, RSTART + RLENGTH)
            }
    while ((getline line < "tables/sampling.def") > 0)
        if (match(line, /^SAMPLING\([a-z_]+/)) {
            line = substr(line, 10, RLENGTH - 9)
            gsub(/_/, "-", line)
            options[line] = 1
        }
    # Options that stand in no table: of the program as a whole, of the tests, and of other programs.
    n = split("help version markdown name no-name jobs", part, " ")
    for (i = 1; i <= n; i++)
        options[part[i]] = 1
    # Files of other projects and of the system, and files that are made.
    n = split("x.h x.c x_priv.h llama.h ggml.h ggml.c gguf.h mtmd.h yyjson.h uv.h llhttp.h sqlite3.h cmocka.h", part, " ")
    for (i = 1; i <= n; i++)
        named[part[i]] = 1
}
function is_there(word, set,    pattern, name) {
    if (word in set)
        return 1
    if (word !~ /\*/)
        return 0
    pattern = word
    gsub(/\./, "\\.", pattern)
    gsub(/\*/, ".*", pattern)
    for (name in set)
        if (name ~ ("^" pattern "$"))
            return 1
    return 0
}
function check_word(word,    first) {
    sub(/^\.\//, "", word)
    sub(/[.,;:)]+$/, "", word)
    if (word ~ /^--[a-z]/) {
        sub(/^--/, "", word)
        sub(/=.*/, "", word)
        if (!(word in options))
            fault("there is no option \"--" word "\"")
        return
    }
    if (word !~ /^[A-Za-z0-9_.*\/-]+$/)
        return
    first = word
    sub(/\/.*/, "", first)
    if (word ~ /^(test|fuzz|e2e)_[a-z0-9_*]+$/ && !is_there(word, tests) && !is_there(word "_mjs", tests))
        fault("there is no test \"" word "\"")
    else if (word ~ /\// && (first in rooms || first ~ /^(src|tables|tests|tools|docs|models|cmake)$/) && !is_there(word, exists))
        fault("there is no file or folder \"" word "\"")
    else if (word !~ /\// && word ~ /^[a-z0-9_-]+\.(c|h|def|sh|mjs|md)$/ && !(word in named))
        fault("there is no file \"" word "\"")
}
function check_span(span,    part, n, i) {
    n = split(span, part, " ")
    if (part[1] == "make" && n > 1 && part[2] ~ /^[a-z-]+$/ && !(part[2] in targets))
        fault("there is no target \"make " part[2] "\"")
    if ((part[1] == "caravan" || part[1] == "./caravan") && n > 1 && part[2] ~ /^[a-z]+$/ && !(part[2] in commands))
        fault("there is no subcommand \"caravan " part[2] "\"")
    if (part[1] !~ /^(make|caravan|\.\/caravan)$/ && n > 1 && part[1] !~ /\//) # the options of other programs are theirs
        return
    for (i = 1; i <= n; i++)
        check_word(part[i])
}
# A row of the table of errors: "| `NAME` | HTTP | exit | text ...".
function check_error(    row) {
    if (!match($0, /^\| `[A-Z_]+` \| [0-9]+ \|/))
        return
    for (row in errors)
        if (index($0, row) == 1) {
            named_errors[row] = 1
            return
        }
    fault("the table of errors has no such row")
}
# A line of a shell: `caravan COMMAND` or `make TARGET` in it, with the words that follow.
function check_command(line) {
    sub(/[ \t]#.*/, "", line)
    sub(/-u caravan /, "", line) # a user of that name
    if (match(" " line, / (make|(\.\/)?caravan) [a-z]/))
        check_span(substr(line, RSTART))
}
# In a block: what its mark says about its commands. Outside: none may stand there.
function check_block() {
    if (/^```/ && !block) {
        block = 1
        mark = substr($0, 4)
        if (mark ~ /^sh/ && mark !~ /^sh (shown|run [a-z]+( up)?)$/)
            fault("the block is marked \"" mark "\": write `sh run HOST`, `sh run HOST up` or `sh shown`")
    } else if (/^```/) {
        block = 0
        command = ""
    } else if (block && mark ~ /^sh/) {
        command = command $0
        if (!sub(/\\$/, "", command)) {
            check_command(command)
            command = ""
        }
    } else if (block ? /^(\$ )?(\.\/)?(caravan|make|curl|sudo|docker) / : /^    (\$ )?(\.\/)?(caravan|make|curl|sudo|docker) [a-z-]/)
        fault("a command in a block that is not marked `sh run HOST` or `sh shown`")
}
function check_document(    line, target, n, part, i) {
    check_block()
    if (FILENAME == "docs/TROUBLESHOOTING.md")
        check_error()
    line = $0
    gsub(/(src|srcset)="/, "](", line) # of pictures
    while (match(line, /\]\([^)#"]+/)) {
        target = substr(line, RSTART + 2, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
        if (target ~ /^[a-z]+:/)
            continue
        n = split(FILENAME, part, "/")
        while (target ~ /^\.\.\// && n > 1) {
            target = substr(target, 4)
            n--
        }
        for (i = n - 1; i >= 1; i--)
            target = part[i] "/" target
        if (!is_there(target, exists))
            fault("there is no file \"" target "\" to link to")
        if (FILENAME == "docs/README.md")
            led_to[target] = 1
    }
    n = split($0, part, "`")
    for (i = 2; i <= n; i += 2)
        check_span(part[i])
    if (FILENAME == "docs/ARCHITECTURE.md")
        architecture = architecture $0 "\n"
    if (FILENAME == "CONTRIBUTING.md" && /^\|/)
        contributing = contributing $0 "\n"
}
# The comments of a line.
function comments_of(line,    out, at) {
    if (FILENAME !~ /\.(c|h|def)$/) {
        at = match(line, /(^|[ ])#/)
        return at ? substr(line, at) : ""
    }
    out = ""
    while (line != "") {
        at = index(line, in_comment ? "*/" : "/*")
        if (in_comment)
            out = out (at ? substr(line, 1, at - 1) : line) " "
        if (!at)
            break
        in_comment = !in_comment
        line = substr(line, at + 2)
    }
    return out
}
function check_source(    line, word) {
    line = comments_of($0) " "
    while (match(line, /[A-Za-z0-9_.*\/<-]*[A-Za-z0-9_-]\.(c|h|def|sh|md)[^A-Za-z0-9_(]/)) {
        word = substr(line, RSTART, RLENGTH - 1)
        line = substr(line, RSTART + RLENGTH - 1)
        if (word ~ /^[a-z_0-9]+(\/[a-z_0-9-]+)*\.(c|h|def|sh|md)$/)
            check_word(word)
    }
}
BEGIN { load() }
FNR == 1 {
    files++
    in_comment = block = 0
    command = ""
    troubles = troubles || FILENAME == "docs/TROUBLESHOOTING.md"
}
FILENAME ~ /\.md$/ { check_document(); next }
{ check_source() }
END {
    for (room in rooms)
        if (index(architecture, "`" room "/`") == 0) {
            printf "docs/ARCHITECTURE.md: the folder \"src/%s\" is not described\n", room
            faults++
        }
    for (room in rooms)
        if (contributing != "" && index(contributing, "`src/" room "/") == 0) {
            printf "CONTRIBUTING.md: the table does not say what tests \"src/%s\"\n", room
            faults++
        }
    for (path in exists)
        if ("docs/README.md" in exists && path ~ /^docs\/.*\.md$/ && path != "docs/README.md" && !(path in led_to)) {
            printf "docs/README.md: it does not lead to \"%s\"\n", path
            faults++
        }
    for (line in errors)
        if (troubles && !(line in named_errors)) {
            printf "docs/TROUBLESHOOTING.md: there is no line that begins \"%s\"\n", line
            faults++
        }
    printf "docs: %d files, %d faults\n", files, faults
    exit faults > 0
}'
