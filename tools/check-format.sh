#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails where a C source is not laid out as .clang-format says (--fix: lays it out so).  tools/check-format.sh [--fix] [ROOT]
# clang-format comes from npm in the version of tools/format/package-lock.json, so that all developers get the same result. Without node: skipped.
set -eu
tools=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
fix=
[ "${1:-}" != --fix ] || { fix=1 && shift; }
root=${1:-$tools/..}
home=$tools/../build/format

for program in node npm; do
    command -v "$program" >/dev/null 2>&1 || { echo "skipped: no $program on this machine" && exit 77; }
done
if ! cmp -s "$tools/format/package-lock.json" "$home/.lock-used"; then
    mkdir -p "$home"
    cp "$tools/format/package.json" "$tools/format/package-lock.json" "$tools/format/.npmrc" "$home"
    (cd "$home" && npm ci --ignore-scripts --loglevel=error)
    cp "$home/package-lock.json" "$home/.lock-used"
fi

cd "$root"
all=$(find src tests tools packaging -name '*.[ch]' ! -path '*/node_modules/*' 2>/dev/null | LC_ALL=C sort)
# What was found good once, by its content and by the rules, is not looked at again.
rules=$(cat .clang-format "$home/.lock-used" | sha256sum | cut -d' ' -f1)
good=$home/.good-$rules
[ -f "$good" ] || { rm -f "$home"/.good-* && : >"$good"; }
unknown() { printf '%s\n' "$all" | xargs sha256sum | awk -v good="$good" 'BEGIN { while ((getline sum <good) > 0) seen[sum] } !($1 in seen) { print $2 }'; }
files=$(unknown)
# Some hundred files at a time: one process runs out of its memory with all of them.
format() { printf '%s\n' "$files" | xargs -r -n 200 node "$home/node_modules/@wasm-fmt/clang-format/clang-format-cli.cjs" "$@"; }
if [ -n "$fix" ]; then
    # Twice, since the layout of a macro may change after the first time.
    format -i && format -i
elif ! complaints=$(format --dry-run --Werror 2>&1); then
    printf '%s\n' "$complaints" | grep 'error:' | sed 's/\x1b\[[0-9;]*m//g' | head -n 40
    echo "format: not as .clang-format says; \`make format\` lays it out"
    exit 1
fi
printf '%s\n' "$files" | xargs -r sha256sum | cut -d' ' -f1 >>"$good"
printf 'format: %d files\n' "$(printf '%s\n' "$all" | wc -l)"
