#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails where a list under "What to touch" in CONTRIBUTING.md isn't complete: the words after "Shown by" must stand in every file that the list
# names, and in no other file of the sources, tables, build files and generated documents.  tools/check-lists.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"
work=$(mktemp -d "${TMPDIR:-/tmp}/caravan-lists.XXXXXX")
trap 'rm -rf "$work"' EXIT

# One line for each list: its name, a tab, the marks before "Shown by", a tab, those after it up to the next sentence.
awk '
/^## / { inside = $0 == "## What to touch" }
inside && /^- \*\*/ { n++ }
inside && n && (/^- / || /^  /) { list[n] = list[n] " " $0 }
function marks(text,    part, m, i, out) {
    m = split(text, part, "`")
    for (i = 2; i <= m; i += 2)
        out = out part[i] "\n"
    gsub(/\n/, "\001", out)
    return out
}
END {
    for (i = 1; i <= n; i++) {
        name = list[i]
        sub(/^ *- \*\*/, "", name)
        sub(/\*\*.*/, "", name)
        at = index(list[i], "Shown by")
        if (!at)
            continue
        shown = substr(list[i], at)
        sub(/`\..*/, "`", shown)
        before = substr(list[i], 1, at - 1)
        sub(/ If [^.]*: .*$/, "", before) # files that are needed in some cases only
        print name "\t" marks(before) "\t" marks(shown)
    }
}' CONTRIBUTING.md >"$work/lists"

lists=0
faults=0
tab=$(printf '\t')
while IFS="$tab" read -r name files words; do
    lists=$((lists + 1))
    printf '%s' "$words" | tr '\001' '\n' >"$work/words"
    # Whole words only: `ROOM` is not a part of NO_ROOM. A folder in the list stands for the files in it that have the words.
    grep -rlwF -f "$work/words" src tables CMakeLists.txt cmake docs/API.md docs/OPTIONS.md docs/PROTOCOL.md docs/ARCHITECTURES.md |
        LC_ALL=C sort >"$work/found"
    printf '%s' "$files" | tr '\001' '\n' | grep -E '^(src|tables|cmake|docs)/|^CMakeLists' >"$work/listed" || true
    while IFS= read -r found; do
        if ! grep -qxF -e "$found" -e "${found%/*}/" "$work/listed"; then
            echo "CONTRIBUTING.md: $name: \"$found\" is missing in the list; it has $(tr '\n' ' ' <"$work/words")"
            faults=$((faults + 1))
        fi
    done <"$work/found"
    while IFS= read -r listed; do
        if ! grep -qF "$listed" "$work/found"; then
            echo "CONTRIBUTING.md: $name: \"$listed\" is in the list and has none of $(tr '\n' ' ' <"$work/words")"
            faults=$((faults + 1))
        fi
    done <"$work/listed"
done <"$work/lists"
echo "lists: $lists lists, $faults faults"
[ "$lists" -gt 0 ] && [ "$faults" = 0 ]
