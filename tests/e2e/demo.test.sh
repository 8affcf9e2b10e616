#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make demo` shows: three stages, a sensible answer, an identical verdict, nothing left running.
set -eu
cd "$CARAVAN_SOURCE"
out=$(TMPDIR=$CARAVAN_TMP tools/demo.sh 2>&1) || { echo "$out"; exit 1; }
echo "$out"
for wanted in 'divided over 3 nodes' 'walk in a line' 'tokens/s' 'slices of .* layers: identical'; do
    echo "$out" | grep -q "$wanted" || { echo "the demo does not show: $wanted"; exit 1; }
done
[ -z "$(ls -A "$CARAVAN_TMP" | grep caravan-demo || :)" ] || { echo "the demo left files behind"; exit 1; }
