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
    # A folder may include those of a lower number. cli stands on node: `up` starts one.
    floor["base"] = 0
    floor["model"] = floor["io"] = floor["store"] = 1
    floor["engine"] = floor["ring"] = 2
    floor["pipeline"] = 3
    floor["cluster"] = floor["gateway"] = 4
    floor["node"] = 5
    floor["cli"] = 6
    # Foreign headers, as patterns, and the only folder that sees them.
    n = split("llama[.]h engine|llama-[a-z]*[.]h engine|ggml.*[.]h engine|gguf[.]h engine|quickjs.*[.]h engine|" \
              "sqlite3.*[.]h store|uv[.]h io|llhttp[.]h io|openssl/.* io|curl/.* io|blake3[.]h model|" \
              "avahi-.* cluster|hwloc.*[.]h cluster|isocline[.]h cli", rows, "|")
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
