#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails if an include of src/ points upward or sideways (docs/ARCHITECTURE.md shows the floors), if a folder sees a foreign library
# that belongs to another, or another folder's private header, or if files of a folder use each other's functions in a circle that is not
# in the list below.  tools/check-layers.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"
status=0
find src -name '*.[ch]' | LC_ALL=C sort | xargs awk '
function fault(text, reason) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, text, reason
    faults++
}
BEGIN {
    # A room may include those of a lower floor. The commands stand on node: `up` starts one.
    floor["base"] = 0
    floor["os"] = floor["options"] = floor["jinja"] = 1
    floor["model"] = floor["grammar"] = floor["io"] = floor["store"] = 2
    floor["engine"] = floor["http"] = 3
    floor["chat"] = floor["web"] = floor["wire"] = floor["pull"] = floor["routing"] = 4
    floor["sched"] = floor["plan"] = floor["api"] = floor["ledger"] = floor["trace"] = 5
    floor["members"] = floor["cloud"] = floor["cache"] = floor["paper"] = 6
    floor["weights"] = floor["doctor"] = floor["coordinator"] = floor["gateway"] = 7
    floor["stage"] = floor["catalog"] = floor["requests"] = floor["batch"] = 8
    floor["endpoint"] = 9
    floor["peers"] = 10
    floor["holder"] = floor["loading"] = 11
    floor["calls"] = 12
    floor["node"] = 13
    floor["terminal"] = 4
    floor["cli"] = 11
    floor["show"] = 14
    floor["manage"] = 15
    floor["serve"] = 16
    floor["program"] = 17
    # Foreign headers, as patterns, and the only room that sees them.
    n = split("llama[.]h engine|llama-[a-z]*[.]h engine|ggml.*[.]h engine|gguf[.]h engine|mtmd.*[.]h engine|" \
              "sqlite3.*[.]h store|uv[.]h io|openssl/.* io|llhttp[.]h http|curl/.* http|blake3[.]h model|" \
              "avahi-.* members|hiredis/.* cache|hwloc.*[.]h plan", rows, "|")
    for (i = 1; i <= n; i++) {
        split(rows[i], pair, " ")
        owner["^" pair[1] "$"] = pair[2]
    }
}
FNR == 1 {
    files++
    split(FILENAME, path, "/")
    folder = path[2]
    if (!(folder in floor))
        fault("the folder \"src/" folder "\" has no floor", "give it one here and in docs/ARCHITECTURE.md")
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    target = part[2]
    if (target ~ /^\.\.\/\.\.\/tables\/[a-z_]+\.def$/)
        next
    if (split(target, piece, "/") != 2) {
        fault("include of \"" target "\"", "write \"folder/file.h\", so that the floor shows")
        next
    }
    other = piece[1]
    if (!(other in floor))
        fault("include of \"" target "\"", "there is no folder src/" other)
    else if (other != folder && floor[other] >= floor[folder])
        fault("include of \"" target "\" from src/" folder, other " (floor " floor[other] ") is not below " folder " (floor " floor[folder] ")")
    if (piece[2] ~ /_priv\.h$/ && other != folder)
        fault("include of \"" target "\" from src/" folder, "a private header is for its own folder only")
    if (("./src/" target) == "" || (getline line < ("src/" target)) < 0)
        fault("include of \"" target "\"", "there is no such file")
    close("src/" target)
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    target = $0
    sub(/^[^<]*</, "", target)
    sub(/>.*$/, "", target)
    if (target == "yyjson.h" && FILENAME != "src/base/json.h")
        fault("include of <yyjson.h>", "only base/json.h includes it; include \"base/json.h\"")
    for (pattern in owner)
        if (target ~ pattern && folder != owner[pattern])
            fault("include of <" target "> from src/" folder, "only src/" owner[pattern] " sees this library")
}
END {
    while ((getline line < "docs/ARCHITECTURE.md") > 0) {
        if (line !~ /^floor [0-9]+ /)
            continue
        picture = 1
        n = split(line, part, /[ \/]+/)
        for (i = 3; i <= n; i++)
            if (part[i] != "")
                drawn[part[i]] = part[2]
    }
    for (room in floor)
        if (picture && drawn[room] != floor[room]) {
            printf "docs/ARCHITECTURE.md: the picture of the floors has %s on floor \"%s\", the check on floor %d\n", room, drawn[room], floor[room]
            faults++
        }
    printf "layers: %d files, %d faults\n", files, faults
    exit faults > 0
}' || status=1

# A circle: files of which each uses what another one defines, round again. Those in the list are single modules, each cut into files.
sources=$(find src -name '*.c' | LC_ALL=C sort)
: "${sources:=/dev/null}"
# The files are read twice: for what they define, and for what they use.
# shellcheck disable=SC2086
awk '
BEGIN {
    n_allowed = split("engine: slice slice_run|" \
                      "grammar: schema schema_names schema_number schema_object schema_shape schema_string schema_write|" \
                      "http: server server_conn server_response within|" \
                      "jinja: call eval exec filters_list format show text_ops|" \
                      "requests: call call_account call_cache call_cloud call_queue call_read call_route call_tokens call_vectors choice choice_output|" \
                      "sched: frame sched slot slot_mark slot_store|" \
                      "stage: head join loop", allowed, "|")
}
# The line without comments, strings, names of types, and members: its words may be functions.
function code_of(line,    at) {
    gsub(/"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/, " ", line)
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", line)
    sub(/\/\/.*$/, "", line)
    if (in_comment && (at = index(line, "*/"))) {
        line = substr(line, at + 2)
        in_comment = 0
    }
    if (in_comment)
        return ""
    if ((at = index(line, "/*"))) {
        line = substr(line, 1, at - 1)
        in_comment = 1
    }
    gsub(/(struct|enum|union) +[A-Za-z0-9_]+/, " type ", line)
    gsub(/(->|[.])[A-Za-z0-9_]+/, " ", line)
    return line
}
# A function or a table of functions that the file gives to others. Each begins at the left edge.
function define(line,    name) {
    if (line !~ /^[a-z]/ || line ~ /^(static|extern|typedef|_Static_assert)/ || (line ~ /; *$/ && line !~ /[{=]/))
        return
    if (line ~ /^[^=]*[(]/)
        sub(/[(].*$/, "", line)
    else if (line !~ /=/)
        return
    sub(/ *(\[.*)?=.*$/, "", line)
    if (match(line, /[A-Za-z0-9_]+ *$/) == 0 || line !~ /[ *][A-Za-z0-9_]+ *$/)
        return
    name = substr(line, RSTART, RLENGTH)
    sub(/ +$/, "", name)
    home[name] = FILENAME
}
function use(line,    n, i, word, part) {
    n = split(line, part, /[^A-Za-z0-9_]+/)
    for (i = 1; i <= n; i++) {
        word = part[i]
        if (word in home && home[word] != FILENAME && room_of[home[word]] == room_of[FILENAME])
            uses[FILENAME, home[word]] = uses[FILENAME, home[word]] " " word
    }
}
FNR == 1 {
    in_comment = 0
    if (!(FILENAME in room_of)) {
        split(FILENAME, path, "/")
        room_of[FILENAME] = path[2]
        stem_of[FILENAME] = substr(path[3], 1, length(path[3]) - 2)
        member[path[2], ++size[path[2]]] = FILENAME
        files++
        second = 0
    } else
        second = 1
}
/^#/ { next }
{
    code = code_of($0)
    if (second)
        use(code)
    else
        define(code)
}
# Marks all files that `file` uses, directly or through others.
function mark(file, from,    i, room, other) {
    room = room_of[file]
    for (i = 1; i <= size[room]; i++) {
        other = member[room, i]
        if ((file SUBSEP other) in uses && !((from SUBSEP other) in reach)) {
            reach[from, other] = 1
            mark(other, from)
        }
    }
}
function report(circle, room, file,    i, k, a, b) {
    printf "src/%s/: the circle \"%s\" is new\n", room, circle
    for (i = 1; i <= size[room]; i++)
        for (k = 1; k <= size[room]; k++) {
            a = member[room, i]
            b = member[room, k]
            if ((file SUBSEP a) in reach && (a SUBSEP file) in reach && (a SUBSEP b) in uses && (b SUBSEP a) in reach)
                printf "    %s uses of %s:%s\n", stem_of[a], stem_of[b], substr(uses[a, b], 1, 100)
        }
    print "    move what both sides need to a file below them; tools/check-layers.sh lists the circles that are allowed"
    faults++
}
END {
    for (file in room_of)
        mark(file, file)
    for (i = 1; i <= n_allowed; i++)
        is_allowed[allowed[i]] = 1
    for (room in size)
        for (i = 1; i <= size[room]; i++) {
            file = member[room, i]
            if (!((file SUBSEP file) in reach) || file in told)
                continue
            circle = room ":"
            for (k = i; k <= size[room]; k++) {
                other = member[room, k]
                if ((file SUBSEP other) in reach && (other SUBSEP file) in reach) {
                    circle = circle " " stem_of[other]
                    told[other] = 1
                    in_circles++
                }
            }
            circles++
            found[circle] = 1
            if (!(circle in is_allowed))
                report(circle, room, file)
        }
    for (i = 1; i <= n_allowed; i++) {
        split(allowed[i], part, /[: ]+/)
        if (!(allowed[i] in found) && ("src/" part[1] "/" part[2] ".c") in room_of) {
            printf "tools/check-layers.sh: there is no circle \"%s\" any more: correct the list\n", allowed[i]
            faults++
        }
    }
    printf "circles: %d of %d files in %d circles, %d faults\n", in_circles, files, circles, faults
    exit faults > 0
}' $sources $sources || status=1
exit $status
