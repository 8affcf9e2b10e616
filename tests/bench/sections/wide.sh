# SPDX-License-Identifier: MIT
# A model with four residual streams (deepseek4, tiny layers): what injection and the link add to a token, beside a model of one stream that
# is as small.
# shellcheck shell=sh
begin() {
    maker=$(find "$ROOT/usr" -name test-llama-archs -type f | head -1)
    backends=$(find "$LIBRARIES/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
    [ -n "$maker" ] && [ -n "$backends" ] || fail "no test-llama-archs in \"$ROOT\"" "fill it again: make sysroot-test"
    tiny wide deepseek4
    tiny narrow deepseek2
}
tiny() { # NAME ARCHITECTURE: writes $WORK/NAME.gguf
    rm -rf "$WORK/raw"
    mkdir -p "$WORK/raw"
    (cd "$backends" && "$LOADER" --library-path "$LIBRARIES" "$maker" --out "$WORK/raw" --arch "^$2\$" --seed 1 >"$WORK/out.maker" 2>&1) ||
        fail "test-llama-archs failed" "see $WORK/out.maker"
    "$BUILD/bin/zoo-deepen" "$WORK/raw/$2-moe.gguf" "$WORK/$1.gguf" --layers 16 --context 4096 || fail "cannot make \"$WORK/$1.gguf\"" "is the disk full?"
}
round() {
    for kind in wide narrow; do
        MODEL=$WORK/$kind.gguf
        ring "${kind}_whole" --threads 1 --decode "$((DECODE * 8))" --streams 1
        ring "${kind}_ring" --stages 2 --decode "$((DECODE * 8))" --streams 1,2
        chain "${kind}_chain" --stages 2 --decode "$((DECODE * 8))"
    done
}
report() {
    words "Tiny models of 16 layers, decode of $((DECODE * 8)) tokens; f32 weights, 1 thread a stage."
    rates
    rate "four streams, whole model" wide_whole.decode1
    rate "four streams, its two slices one after another in one process, no link" wide_chain.decode1
    rate "four streams, 2 stages: 1 stream of text" wide_ring.decode1
    rate "four streams, 2 stages: 2 streams of text" wide_ring.decode2
    rate "one stream, whole model" narrow_whole.decode1
    rate "one stream, its two slices one after another in one process, no link" narrow_chain.decode1
    rate "one stream, 2 stages: 1 stream of text" narrow_ring.decode1
    rate "one stream, 2 stages: 2 streams of text" narrow_ring.decode2
    ratios
    ratio "four streams: two slices in one process against the whole model" wide_chain.decode1 wide_whole.decode1
    ratio "four streams: 2 stages against two slices in one process" wide_ring.decode1 wide_chain.decode1
    ratio "one stream: two slices in one process against the whole model" narrow_chain.decode1 narrow_whole.decode1
    ratio "one stream: 2 stages against two slices in one process" narrow_ring.decode1 narrow_chain.decode1
}
