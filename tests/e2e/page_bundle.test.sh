#!/bin/sh
# SPDX-License-Identifier: MIT
# The web page is built without npm too: the build says so, and the page's own files are all there, without those of npm.
set -eu
mkdir bin
for program in sh sed cat cp mkdir mktemp rm mv wc tr cksum od find sort gzip cmp dirname printf; do
    path=$(command -v "$program") && [ "${path#/}" != "$path" ] && ln -s "$path" "bin/$program"
done || true
PATH=$PWD/bin sh "$CARAVAN_SOURCE/tools/bundle-web.sh" "$PWD/out.c" "$CARAVAN_SOURCE" 2>note
grep -q 'no npm' note
for file in "$CARAVAN_SOURCE"/web/*.js; do grep -q "^    {\"$(basename "$file")\"," out.c || { echo "missing: $file"; exit 1; }; done
grep -q '"made.js"' out.c
if grep -q '"lib/' out.c; then
    echo "error: files of npm are in a page that was built without it"
    exit 1
fi
# With it, they are there.
if command -v npm >/dev/null 2>&1; then
    grep -q '"lib/marked.js"' "$CARAVAN_BUILD/web_assets.c" || { echo "error: the page of this build lacks what it takes from npm"; exit 1; }
fi
