# SPDX-License-Identifier: MIT
# What the plan says that slices need against the memory that their stages have: fifteen models, whole and in halves, with contexts of
# 2k to 32k, 1 to 16 sequences and several types of KV cache.
# shellcheck shell=sh
MEMORY_TYPES="q4_k q8_0 f16"
MEMORY_PRESETS="tiny 300m 1b moe"
begin() {
    MEMORY_MODELS="$TOP/models/caravan-demo.gguf"
    for preset in $MEMORY_PRESETS; do
        for type in $MEMORY_TYPES; do memory_model "$preset" "$type" ''; done
    done
    memory_model 1b q4_k 11
    memory_model 300m q8_0 4
}
memory_model() { # preset, type, layers
    file=$WORK/memory-$1${3:+-$3}-$2.gguf
    [ -f "$file" ] || {
        "$BUILD/bin/make-model" --preset "$1" --type "$2" ${3:+--layers "$3"} --out "$file.part" >/dev/null || fail "cannot make \"$file\"" "is the disk full?"
        mv "$file.part" "$file"
    }
    MEMORY_MODELS="$MEMORY_MODELS $file"
}
memory_loads() { # arguments of memory_error
    # shellcheck disable=SC2086
    "$BUILD/bin/memory_error" --program "$BUILD/bin/caravan" "$@" $MEMORY_MODELS >"$WORK/out.memory" || fail "memory_error failed" "memory_error $*"
    cat "$WORK/out.memory" >&2
    sed -n 's/.* \([0-9.]*\) MB *need \([0-9.]*\) *estimate \([0-9.]*\)$/\2 \3 \1/p' "$WORK/out.memory" >>"$WORK/memory.all"
}
round() {
    : >"$WORK/memory.all"
    memory_loads --ctx 2048 --parallel 1
    memory_loads --ctx 8192 --parallel 4 --cache-type q8_0
    memory_loads --ctx 2048 --parallel 16
    memory_loads --ctx 32768 --parallel 1 --cache-type q4_0
    for column in 1 2; do
        awk -v column="$column" -v name="$([ "$column" = 1 ] && echo need || echo estimate)" '
            { v = $column; off = (v - 1) * $3; near_all += v >= 0.99 && v <= 1.05; if (v < low || NR == 1) low = v }
            $3 < small { if (off > most) most = off; next }
            { n++; near += v >= 0.99 && v <= 1.05; if (v > high) high = v }
            END { print name ".loads", NR; print name ".large", n; print name ".near", 100 * near / n; print name ".all", 100 * near_all / NR;
                  print name ".lowest", low; print name ".highest", high; print name ".most", most }' small=100 \
            "$WORK/memory.all" >>"$VALUES"
    done
}
report() {
    words "The memory of a stage is its proportional set size once it has answered as many requests at once as it has sequences (of halves, which share"
    words "the pages of libraries here, as much of these as of the whole); the need is what the plan counts for the slice."
    words "Of a slice under 100 MB the fixed part of a process is a large share: for those, the most bytes by which the need is too high are shown."
    figures figure
    figure "loads" need.loads
    figure "need over memory, lowest of all loads (goal: at least 0.99)" need.lowest
    figure "of the loads over 100 MB, those with 0.99 to 1.05 (goal: 90 %)" need.near " %"
    figure "loads over 100 MB" need.large
    figure "need over memory, highest of these" need.highest
    figure "of the smaller ones, the largest excess" need.most " MB"
    figure "of all loads, those with 0.99 to 1.05" need.all " %"
    figure "pure estimate over memory, lowest of all loads" estimate.lowest
    figure "pure estimate over memory, highest of those over 100 MB" estimate.highest
    figure "of the loads over 100 MB, those with 0.99 to 1.05 by the pure estimate" estimate.near " %"
}
