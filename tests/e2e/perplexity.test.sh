#!/bin/sh
# SPDX-License-Identifier: MIT
# The demo model's perplexity on text that it was not trained on: low (it has learned its language), and the very same whole and split.
set -eu
model=$CARAVAN_SOURCE/models/caravan-demo.gguf
measure() { "$CARAVAN" perplexity "$model" "$CARAVAN_SOURCE/models/heldback.txt" --json --threads 1 "$@" | tee -a out | sed 's/.*"perplexity":\([0-9.]*\).*/\1/'; }
whole=$(measure --stages 1)
[ "$(measure --stages 2)" = "$whole" ] || { echo "two slices differ from the whole"; cat out; exit 1; }
[ "$(measure --split 3,1,4)" = "$whole" ] || { echo "slices of 3, 1 and 4 layers differ from the whole"; cat out; exit 1; }
awk -v p="$whole" 'BEGIN { exit !(p > 1 && p < 1.6) }' || { echo "perplexity $whole is not between 1 and 1.6"; exit 1; }
cat out
