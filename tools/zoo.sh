#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs `caravan verify` on a tiny model of every architecture: llama.cpp's own test writes them (random weights, mostly 2 layers),
# zoo-deepen repeats their layers to 8 and to 12, verify cuts them in 2 and in 3 slices, and unevenly. make-model writes those of some
# architectures that the test leaves out. Prints a table and the counts, writes
# docs/ARCHITECTURES.md, and fails where a model does worse than tests/data/zoo.tsv says.
# Usage: tools/zoo.sh [--record] [--only REGEX] [BUILD FOLDER]
#   --record      write tests/data/zoo.tsv anew instead of comparing with it
#   --only REGEX  only models whose name matches; compares, and writes nothing
# Environment: CARAVAN_SYSROOT_DIR as in tools/sysroot.sh; CARAVAN: the program to test; ZOO_PROMPT and ZOO_TOKENS: tokens of prompt (48)
# and tokens that follow (12), fewer for a slow machine
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
RECORD=$TOP/tests/data/zoo.tsv
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
TAB=$(printf '\t')
export LC_ALL=C # the order of the table
GOAL=128
OURS='arwkv7 rwkv6 rwkv6qwen2 rwkv7' # of which llama.cpp's test writes no model
record=0
only=

fail() {
    printf 'zoo: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --record) record=1 ;;
    --only) only=$2 && shift ;;
    -*) fail "unknown option \"$1\"" "tools/zoo.sh [--record] [--only REGEX] [BUILD FOLDER]" ;;
    *) break ;;
    esac
    shift
done
BUILD=${1:-$TOP/build/release}
CARAVAN=${CARAVAN:-$BUILD/bin/caravan}
[ -x "$CARAVAN" ] && [ -x "$BUILD/bin/zoo-deepen" ] || fail "no \"$CARAVAN\" and \"$BUILD/bin/zoo-deepen\"" "build first: make"
maker=$(find "$ROOT/usr" -name test-llama-archs -type f 2>/dev/null | head -1)
[ -n "$maker" ] || fail "no test-llama-archs in \"$ROOT\"" "fill it first: make sysroot-test"
libraries=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | head -1)
backends=$(find "$libraries/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
loader=$(find "$libraries" "$ROOT/usr/lib64" -maxdepth 1 -name 'ld-linux*.so.*' 2>/dev/null | head -1)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
mkdir "$work/raw"

# A field of verify's JSON.
text_of() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" "$work/json"; }
number_of() { sed -n "s/.*\"$1\":\\([-0-9.e+]*\\).*/\\1/p" "$work/json"; }
reason_of() { sed -n -e 's/.*"reason":"\(.*\)","architecture".*/\1/p' -e t -e 's/.*"reason":"\(.*\)","wire_type".*/\1/p' "$work/json" | sed 's/\\"/"/g' | tr '\t|' '  '; }

# verify_deep MODEL LAYERS OPTION VALUE (how it is cut): sets verdict (identical, close, differs, whole only, uncut, crashed), difference, architecture, reason
verify_deep() {
    case $1 in
    *-ours) "$BUILD/bin/make-model" --preset "tiny-${1%-ours}" --type f32 --out "$work/deep.gguf" --layers "$2" ;;
    *) "$BUILD/bin/zoo-deepen" "$work/raw/$1.gguf" "$work/deep.gguf" --layers "$2" ;;
    esac
    status=0
    # 48 tokens of prompt: more than the tiny models' windows of 32
    timeout 300 "$CARAVAN" verify "$work/deep.gguf" --json "$3" "$4" --prompt-tokens "${ZOO_PROMPT:-48}" --tokens "${ZOO_TOKENS:-12}" --ctx 256 --threads 1 \
        --seed 1 >"$work/json" 2>"$work/errors" || status=$?
    difference=$(number_of largest_difference)
    reason=$(reason_of)
    found=$(text_of architecture)
    [ -z "$found" ] || architecture=$found
    case $status in
    0 | 1 | 2 | 3) verdict=$(text_of verdict) ;;
    65) verdict=uncut reason=$(sed -n 's/^caravan: //p' "$work/errors" | tr '\t|' '  ') ;;
    124) verdict=differs reason="no answer in 300 s" ;;
    *) verdict=crashed reason="status $status" ;;
    esac
    [ -n "$verdict" ] || verdict=crashed
}

# As verify_deep, in slices of 3, 5 and 4 layers; where cuts there can't be, about there.
verify_uneven() { # model, layers
    verify_deep "$1" "$2" --split 3,5,4
    [ "$verdict" != uncut ] || verify_deep "$1" "$2" --split 30,50,40
}

# Models that need other numbers of layers: with exactly four, libllama treats them differently.
layers_for() { # model, slices
    case $1 in
    smallthinker-*) echo $(($2 * 8)) ;;
    *) [ "$2" = 2 ] && echo 8 || echo 12 ;;
    esac
}

rank() { # of a verdict: more is better
    case $1 in
    identical) echo 4 ;;
    close) echo 3 ;;
    "whole only") echo 2 ;;
    uncut) echo 1 ;;
    *) echo 0 ;;
    esac
}

(cd "$backends" && "$loader" --library-path "$libraries" "$maker" --out "$work/raw" ${only:+--arch "$only"} >"$work/maker" 2>&1) ||
    fail "test-llama-archs failed: $(tail -1 "$work/maker")" "fill the folder again: make sysroot-test"
for architecture in $OURS; do
    [ -n "$only" ] && ! printf '%s\n' "$architecture" | grep -Eq "$only" || : >"$work/raw/$architecture-ours.gguf"
done

printf '%-24s %-16s %-12s %-12s %-12s %s\n' model architecture "2 slices" "3 slices" uneven "largest difference, reason"
: >"$work/table"
for file in "$work"/raw/*.gguf; do
    model=$(basename "$file" .gguf)
    architecture=${model%-*}
    verify_deep "$model" "$(layers_for "$model" 2)" --stages 2
    two=$verdict two_reason=$reason two_difference=$difference
    if [ "$two" = "whole only" ]; then
        three=$two uneven=$two
    else
        verify_deep "$model" "$(layers_for "$model" 3)" --stages 3
        three=$verdict
        [ -n "$two_reason" ] || two_reason=$reason
        verify_uneven "$model" "$(layers_for "$model" 3)"
        uneven=$verdict
        [ -n "$two_reason" ] || two_reason=$reason
    fi
    rm -f "$file"
    printf '%-24s %-16s %-12s %-12s %-12s %s %s\n' "$model" "$architecture" "$two" "$three" "$uneven" "$two_difference" "$two_reason"
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$model" "$architecture" "$two" "$three" "$uneven" "${two_difference:--}" "${two_reason:--}" \
        >>"$work/table"
done

count() { awk -F'\t' -v c="$1" -v what="$2" '$c == what' "$work/table" | wc -l | tr -d ' '; }
total=$(wc -l <"$work/table" | tr -d ' ')
good=$(($(count 3 identical) + $(count 3 close)))
summary="$total models: $(count 3 identical) identical, $(count 3 close) close, $(count 3 'whole only') whole only, $(count 3 differs) differ, \
$(count 3 uncut) not cut, $(count 3 crashed) crashed (in 3 slices: $(count 4 identical) identical, $(count 4 close) close; in uneven ones: $(count 5 identical) identical, $(count 5 close) close)"
echo "$summary"

status=0
compare() { # each model of the table against its recorded row
    while IFS=$TAB read -r model architecture two three uneven difference reason; do
        row=$(grep "^$model$TAB" "$RECORD" || true)
        if [ -z "$row" ]; then
            echo "zoo: note: \"$model\" is not recorded (tools/zoo.sh --record)"
            continue
        fi
        was_two=$(printf '%s' "$row" | cut -f3) was_three=$(printf '%s' "$row" | cut -f4) was_uneven=$(printf '%s' "$row" | cut -f5)
        if [ "$(rank "$two")" -lt "$(rank "$was_two")" ] || [ "$(rank "$three")" -lt "$(rank "$was_three")" ] ||
            [ "$(rank "$uneven")" -lt "$(rank "$was_uneven")" ]; then
            echo "zoo: error: \"$model\" ($architecture): $two / $three / $uneven, was $was_two / $was_three / $was_uneven; $difference $reason" >&2
            echo worse >>"$work/worse"
        fi
    done <"$work/table"
}

# The rules for cuts and the fix-ups of slices, from the tables.
rules() {
    awk -F'"' '/^QUIRK_ENTRY\(/ {
        name = $4 ~ /^</ ? "what " substr($4, 2) " is added to" : $4
        entry[$2] = name ($5 ~ /WIDE/ ? " (streams)" : "") ($6 == "" ? "" : "; real token ids travel" ($6 == "*" ? "" : " to layers with " $6)) \
            ($10 == "" ? "" : " behind a layer of zeros; what blk.0." $10 " gives travels along")
    }
    /^QUIRK_SCALE\(/ { scale[$2] = 1 }
    /^QUIRK\(/ {
        split($3, f, /, */); note = $6
        cut = f[3] == "ANY" ? "between any two layers" : f[3] == "PERIOD" ? "at multiples of " f[4] : "each slice has every kind of layer" (f[4] > 1 ? \
            " (without a list in the file: at multiples of " f[4] ")" : "")
        fix = f[5] == "0" ? "" : f[5]
        gsub(/ [|] /, ", ", fix)
        if (entry[$2] != "") fix = fix (fix == "" ? "" : "; ") "rows replace " entry[$2]
        if (scale[$2] != "") fix = fix (fix == "" ? "" : "; ") "constants by layer are set"
        if (f[2] == "WHOLE") cut = "whole only"
        printf "| %s | %s | %s | %s |\n", $2, cut, fix, $6
    }' "$TOP/tables/quirks_entry.def" "$TOP/tables/quirks_scale.def" "$TOP/tables/quirks.def"
}

write_document() {
    cat <<END
# Architectures

The verdicts of \`caravan verify\` on a tiny model of every architecture that llama.cpp's own test writes (libllama 0.7.0; random weights; \`make zoo\`
makes this page), and of four that it doesn't (\`-ours\`, from \`tools/make-model.c\`). Layers are repeated to 8 and cut in 2 slices, and to 12 and cut in 3, evenly and in 3, 5 and 4 layers (or the nearest legal cuts); the
second of three slices has neither embedding nor head.
Whole and split model run in stage processes over real ring links; 48 tokens of prompt in chunks (more than the models' windows), then 12 one by one; all logits are
compared. *Identical*: the same bits. *Close*: the same first choice everywhere and no logit off by 0.01. *Whole only*: runs on one node, whole.

$summary

| model | architecture | 2 slices | 3 slices | uneven | largest difference | reason |
|---|---|---|---|---|---|---|
END
    awk -F'\t' '{printf "| %s | %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6 == "-" || $6 == "0.0" ? "" : $6, $7 == "-" ? "" : $7}' "$work/table"
    cat <<END

## Legal cuts and fix-ups

"Rows replace NAME" is injection: a later slice computes from token ids as the first one does, and while its graph runs, the evaluation callback
overwrites the value NAME with the rows of the slice before ("streams": as wide as the file's \`hyper_connection.count\` says; "behind a layer of zeros": later
layers also read a value of layer 0, so a later slice has such a layer before its own, and rows that are twice as wide replace both). From \`tables/quirks.def\` (\`src/model/quirks.h\` explains the words). A model whose architecture has no row is probed when it is first loaded (docs/ARCHITECTURE.md, "Slices"); \`caravan verify --probe\` shows what is found.

| architecture | cuts | fix-ups | note |
|---|---|---|---|
END
    rules
    cat <<END

## Why these run whole only

- \`kimi-k3\`: each half of a layer weighs the results of all blocks before it, the token's embedding among them, and the sum within its own block. These
  rows could travel, but a later slice has nothing that takes them: libllama builds as many terms as the layer's number *in the file* asks for. Seen in the
  graph of the tiny model (2 layers, \`attn_res.block_size\` 2, evaluation callback): layer 1's attention reads a mix of two (\`CONCAT [2]\`, \`SOFT_MAX\`,
  \`blk.1.attn_res_score\`, \`l_out-0\`), and its sum is \`prefix_sum_attn-1 = ADD(l_out-0, ...)\`; layer 0's attention reads \`inp_embd\` itself,
  \`prefix_sum_attn-0\` is no sum, and \`blk.0.attn_res_score\` is read by no node. With a block size of 1 the mixes of layer 1 have up to three terms, those of
  layer 0 two. The first layer of any slice is layer 0 of its file, and the callback can overwrite nodes, not add them. Layers of zeros before the slice's own,
  as \`rwkv7\` has one, would be as many as lie before the cut, since their number makes the terms: each machine would compute all layers before its own, too.
  \`caravan verify --probe\` says "between its layers more than one value is alive".
- \`hrm_text\`: libllama insists on the number of layers of its loop. The tiny model with its layers repeated to 8 ends in
  \`hrm-text.cpp:23: GGML_ASSERT(hparams.n_layer() == n_slot) failed\`, so no slice of it can be loaded,
  with or without layers of zeros; and a token would go around the ring as often as the loop runs.
- \`dream\`, \`llada\`, \`llada-moe\`, \`rnd1\`: libllama makes no KV cache for them ("this model keeps no memory of what it read: it cannot generate"), so they
  aren't served at all, whole or split.
- \`gemma4\` and \`gemma3n\` with per-layer embeddings (the small models): a table has the parts of all layers side by side, as wide as libllama finds layers. Seen
  when 8 of 12 layers are loaded: "tensor 'per_layer_token_embd.weight' has wrong shape; expected 128, 128, got 192, 128". Slices do not cut tables. Models of \`gemma4\` without
  them have no row either, since llama.cpp's test writes none: they are probed when they are first loaded, and are cut (\`e2e_probe\`: identical).

## Numbers of layers with a special meaning

libllama treats some architectures differently if they have a certain number of layers. Such a model runs whole only, and no slice of another model may
have that number (\`tables/quirks_layers.def\`).

| architecture | layers | libllama concludes |
|---|---|---|
END
    awk -F'"' '/^QUIRK_LAYERS\(/ { split($3, f, /, */); printf "| %s | %s | %s |\n", $2, f[2] == f[3] ? f[2] : f[2] " and more", $4 }' "$TOP/tables/quirks_layers.def" |
        sed 's/| 26 and more |/| 26, 27 |/'
}

if [ "$record" = 1 ]; then
    mkdir -p "$(dirname "$RECORD")"
    cp "$work/table" "$RECORD"
elif [ -f "$RECORD" ]; then
    compare
    [ ! -f "$work/worse" ] || status=1
fi
if [ -z "$only" ]; then
    write_document >"$TOP/docs/ARCHITECTURES.md"
    [ "$good" -ge $GOAL ] || { echo "zoo: error: $good of $total are identical or close, at least $GOAL should be" >&2 && status=1; }
fi
[ "$(count 3 crashed)$(count 4 crashed)$(count 5 crashed)" = 000 ] || { echo "zoo: error: verify itself crashed" >&2 && status=1; }
exit $status
