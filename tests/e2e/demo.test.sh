#!/bin/sh
# SPDX-License-Identifier: MIT
# `make demo`: three stages, a sensible answer, an identical verdict, and no process left.
set -eu
cd "$CARAVAN_SOURCE"
TMPDIR=$CARAVAN_TMP tools/demo.sh >"$CARAVAN_TMP/out" 2>&1 || { cat "$CARAVAN_TMP/out"; exit 1; }
for process in /proc/[0-9]*; do # its processes, right after it has returned; other tests have their own
    [ "$(readlink "$process/exe" 2>/dev/null)" = "$(readlink -f "$CARAVAN")" ] || continue
    ! tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qxF "TMPDIR=$CARAVAN_TMP" || { echo "the demo left a process running: $process"; exit 1; }
done
out=$(cat "$CARAVAN_TMP/out")
echo "$out"
for wanted in 'divided over 3 nodes' 'walk in a line' 'tokens/s' 'slices of .* layers: identical'; do
    echo "$out" | grep -q "$wanted" || { echo "the demo does not show: $wanted"; exit 1; }
done
[ -z "$(ls -A "$CARAVAN_TMP" | grep caravan-demo || :)" ] || { echo "the demo left files behind"; exit 1; }
