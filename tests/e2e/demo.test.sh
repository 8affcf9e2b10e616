#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make demo` shows: three stages, a sensible answer, an identical verdict, nothing left running.
set -eu
cd "$CARAVAN_SOURCE"
TMPDIR=$CARAVAN_TMP tools/demo.sh >"$CARAVAN_TMP/out" 2>&1 || { cat "$CARAVAN_TMP/out"; exit 1; }
for exe in /proc/[0-9]*/exe; do # what runs from this build, the moment that it has returned
    [ "$(readlink "$exe" 2>/dev/null)" != "$(readlink -f "$CARAVAN")" ] || { echo "the demo left a process running: ${exe%/exe}"; exit 1; }
done
out=$(cat "$CARAVAN_TMP/out")
echo "$out"
for wanted in 'divided over 3 nodes' 'walk in a line' 'tokens/s' 'slices of .* layers: identical'; do
    echo "$out" | grep -q "$wanted" || { echo "the demo does not show: $wanted"; exit 1; }
done
[ -z "$(ls -A "$CARAVAN_TMP" | grep caravan-demo || :)" ] || { echo "the demo left files behind"; exit 1; }
