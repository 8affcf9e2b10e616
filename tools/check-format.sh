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
files=$(find src tests tools -name '*.[ch]' ! -path '*/node_modules/*' 2>/dev/null | LC_ALL=C sort)
format="node $home/node_modules/@wasm-fmt/clang-format/clang-format-cli.cjs"
# shellcheck disable=SC2086 # lists of words
if [ -n "$fix" ]; then
    # Twice, since the layout of a macro may change after the first time.
    $format -i $files && $format -i $files
elif ! complaints=$($format --dry-run --Werror $files 2>&1); then
    printf '%s\n' "$complaints" | grep 'error:' | sed 's/\x1b\[[0-9;]*m//g' | head -n 40
    echo "format: not as .clang-format says; \`make format\` lays it out"
    exit 1
fi
printf 'format: %d files\n' "$(printf '%s\n' $files | wc -l)"
