#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails if an include of src/ points upward or sideways (docs/ARCHITECTURE.md shows the floors), if a folder sees a foreign library
# that belongs to another, or another folder's private header.  tools/check-layers.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"
find src -name '*.[ch]' | LC_ALL=C sort | xargs awk '
function fault(text, reason) {
    printf "%s:%d: %s\n    %s\n", FILENAME, FNR, text, reason
    faults++
}
BEGIN {
    # A room may include those of a lower floor. cli stands on node: `up` starts one.
    floor["base"] = 0
    floor["os"] = floor["options"] = floor["jinja"] = 1
    floor["model"] = floor["grammar"] = floor["io"] = floor["store"] = 2
    floor["engine"] = floor["http"] = 3
    floor["chat"] = floor["wire"] = floor["pull"] = 4
    floor["sched"] = floor["plan"] = floor["api"] = 5
    floor["members"] = floor["gateway"] = 6
    floor["weights"] = floor["doctor"] = floor["coordinator"] = 7
    floor["stage"] = 8
    floor["node"] = 9
    floor["cli"] = 10
    # Foreign headers, as patterns, and the only room that sees them.
    n = split("llama[.]h engine|llama-[a-z]*[.]h engine|ggml.*[.]h engine|gguf[.]h engine|mtmd.*[.]h engine|" \
              "sqlite3.*[.]h store|uv[.]h io|openssl/.* io|llhttp[.]h http|curl/.* http|blake3[.]h model|" \
              "avahi-.* members|hwloc.*[.]h plan", rows, "|")
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
    printf "layers: %d files, %d faults\n", files, faults
    exit faults > 0
}'
