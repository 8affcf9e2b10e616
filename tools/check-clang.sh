#!/bin/sh
# SPDX-License-Identifier: MIT
# tools/check-clang.sh BUILD_FOLDER: clang accepts every source that was built there without a warning. `make fuzz` builds with clang, whose
# warnings differ from gcc's; the flags of a build with sanitizers name warnings that only gcc has.
set -eu
command -v clang >/dev/null 2>&1 || { echo "skipped: no clang here"; exit 77; }
[ -f "$1/compile_commands.json" ] || { echo "skipped: no list of compile commands"; exit 77; }
cd "$1"
sed -n 's/^ *"command": "\(.*\)",*$/\1/p' compile_commands.json | sed 's/\\\(.\)/\1/g; s/^[^-]* -/clang -Wno-unknown-warning-option -/; s/ -o [^ ]* -c / -fsyntax-only /' |
    tr '\n' '\0' | xargs -0 -n 1 -P "$(nproc 2>/dev/null || echo 2)" sh -c
echo "clang: no warning"
