#!/bin/sh
# SPDX-License-Identifier: MIT
# `caravan verify`: verdicts, exit statuses, and errors for bad input.
set -eu
model=$CARAVAN_SOURCE/models/caravan-demo.gguf
fail() { echo "$*"; exit 1; }
# expect STATUS PATTERN ARGUMENT...: verify ends with the status and says something that matches
expect() {
    status=$1 pattern=$2
    shift 2
    set +e
    out=$("$CARAVAN" verify "$@" 2>&1)
    got=$?
    set -e
    [ "$got" = "$status" ] || fail "verify $*: status $got, expected $status: $out"
    echo "$out" | grep -Eq "$pattern" || fail "verify $*: expected /$pattern/, got: $out"
}
for stages in 1 2 3 5 8; do expect 0 'identical' "$model" --stages "$stages" --tokens 8 --prompt-tokens 24; done
expect 0 'in 3 slices of 3, 1, 4 layers: identical' "$model" --split 3,1,4
expect 0 '"verdict":"identical"' "$model" --json --tokens 4
expect 0 'identical' "$model" --cache-type-k q8_0 --cache-type-v q8_0 --flash-attn on --tokens 8
# hidden states rounded on the wire: the quantised model's own rounding is amplified, so logits move, first choices hardly
expect 1 'same first choice 5[0-9] of 56' "$model" --wire-type f16 --tokens 8
expect 65 'can be cut in at most 8 slices' "$model" --stages 9
expect 66 'nothere.gguf' nothere.gguf
expect 65 'split' "$model" --split 3,x
head -c 100000 "$model" >short.gguf
expect 65 'short.gguf|truncated' short.gguf
printf 'hello' >notgguf
expect 65 'GGUF' notgguf
expect 64 'did you mean|--stages' "$model" --stage 3
# a cut that the table does not allow is made with --force, and its verdict is shown
"$CARAVAN_BUILD/bin/make_variant" "$model" fours.gguf smollm3
expect 0 'identical' fours.gguf --split 4,4 --tokens 4
expect 65 'before layer 3' fours.gguf --split 3,5 --tokens 4
expect 65 'can be cut in at most 2 slices' fours.gguf --stages 3 --tokens 4
expect 1 'differs' fours.gguf --split 3,5 --tokens 4 --force
# a plan that is asked for such a cut says why not, and which one is legal
out=$("$CARAVAN" plan fours.gguf --fleet 2xpi5-8,gbe --placement 3,5 2>&1) && fail "plan made a cut that is not legal: $out"
echo "$out" | grep -q 'before layer 3: its layers repeat with a period of 4; the nearest legal cut is before layer 4' || fail "plan: $out"
# guesses of the model's own layer: the slices write the same text with the same guesses
"$CARAVAN_BUILD/bin/make-mtp" --model "$model" --layer "$CARAVAN_SOURCE/tests/data/demo-mtp.gguf" --out guesses.gguf
expect 0 'own layer: ([1-9][0-9]*) in the whole model, ([0-9]+) of them right; \1 in the slices, \2 right$' guesses.gguf --split 3,5 --tokens 40
expect 0 '"whole_guesses":[1-9].*"split_guesses":[1-9]' guesses.gguf --json --tokens 8
