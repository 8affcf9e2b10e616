#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails where a function declared in a header of src/ doesn't begin with the header's name (less _priv) or its room's.  tools/check-names.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"
find src -name '*.h' | LC_ALL=C sort | xargs awk '
function fault(name, line) {
    printf "%s:%d: \"%s\" begins neither with \"%s_\" (its file) nor with \"%s_\" (its room)\n", FILENAME, line, name, stem, room
    faults++
}
# The line without comments, strings and preprocessor lines.
function code_of(line,    at) {
    if (!in_comment && (in_directive || line ~ /^[ \t]*#/)) {
        in_directive = line ~ /\\$/
        return ""
    }
    gsub(/"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/, "0", line)
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
    return line
}
# A declaration is at its first opening parenthesis: the word before that is the name, if a type stands before the word.
function at_parenthesis(text,    word) {
    if (text !~ /^[ ]*[A-Za-z_][A-Za-z0-9_]*[ *].*[A-Za-z0-9_][ ]*$/ || text ~ /^[ ]*typedef[ ]/ || text ~ /=/)
        return
    word = text
    sub(/[ ]*$/, "", word)
    sub(/^.*[^A-Za-z0-9_]/, "", word)
    if (word == "__attribute__" || word !~ /^[a-z]/)
        return
    functions++
    if (index(word, stem "_") != 1 && index(word, room "_") != 1 && word != stem && word != room)
        fault(word, FNR)
}
FNR == 1 {
    files++
    split(FILENAME, path, "/")
    room = path[2]
    stem = path[3]
    sub(/(_priv)?\.h$/, "", stem)
    in_comment = in_directive = depth = seen = 0
    text = ""
}
{
    code = code_of($0)
    n = length(code)
    for (i = 1; i <= n; i++) {
        c = substr(code, i, 1)
        if (c == "{")
            depth++
        else if (c == "}" && --depth == 0 && text ~ /\(/) {
            text = "" # the end of a function that stands in the header
            seen = 0
        } else if (depth == 0 && c == ";") {
            text = ""
            seen = 0
        } else if (depth == 0) {
            if (c == "(" && !seen) {
                at_parenthesis(text)
                seen = 1
            }
            text = text (c == "\t" ? " " : c)
        }
    }
    if (depth == 0)
        text = text " "
}
END {
    printf "names: %d headers, %d functions, %d faults\n", files, functions, faults
    exit faults > 0
}'
