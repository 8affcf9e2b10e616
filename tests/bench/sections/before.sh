# SPDX-License-Identifier: MIT
# The ring of this build against the ring of another build, in interleaved rounds: the cost or gain of a change.
# Usage: make bench SECTIONS=before BEFORE=FOLDER, where FOLDER is the build folder of another checkout, such as ../old/build/release.
# shellcheck shell=sh
begin() {
    [ -x "${BEFORE:-}/bin/ring_bench" ] || fail "no \"${BEFORE:-}/bin/ring_bench\"" "say BEFORE=FOLDER: the build folder of another checkout"
    NOW=$BUILD
    model 1b
}
# of BUILD-FOLDER NAME: decode and memory of one, two and four stages.
of() {
    BUILD=$1
    ring "$2.whole" --threads 1 --decode "$DECODE" --streams 1
    ring "$2.ring2" --stages 2 --decode "$DECODE" --streams 1,2 --memory
    PIN=$ONE_CORE ring "$2.core2" --stages 2 --decode "$DECODE" --streams 1
    ring "$2.ring4" --stages 4 --decode "$DECODE" --streams 1,4
    PIN=$ONE_CORE ring "$2.core4" --stages 4 --decode "$DECODE" --streams 1
    "$BUILD/bin/hop" --fork --count 2000 | sed -n "s/^spin *\([0-9]*\) us: median *\([0-9.]*\) us.*/$2.hop\1 \2/p" >>"$VALUES"
    BUILD=$NOW
}
round() {
    of "$BEFORE" before
    of "$NOW" now
}
report() {
    words "The ring of this build against that of another build (an earlier state of the source), model 1b, decode of $DECODE tokens a stream."
    rates
    for build in before now; do
        rate "$build: whole model, 1 thread, 1 stream" $build.whole.decode1
        rate "$build: 2 stages, 1 stream" $build.ring2.decode1
        rate "$build: 2 stages, 2 streams" $build.ring2.decode2
        rate "$build: 2 stages on one core, 1 stream" $build.core2.decode1
        rate "$build: 4 stages, 1 stream" $build.ring4.decode1
        rate "$build: 4 stages, 4 streams" $build.ring4.decode4
        rate "$build: 4 stages on one core, 1 stream" $build.core4.decode1
    done
    ratios
    ratio "whole model: now against before" now.whole.decode1 before.whole.decode1
    ratio "2 stages, 1 stream" now.ring2.decode1 before.ring2.decode1
    ratio "2 stages, 2 streams" now.ring2.decode2 before.ring2.decode2
    ratio "2 stages on one core" now.core2.decode1 before.core2.decode1
    ratio "4 stages, 1 stream" now.ring4.decode1 before.ring4.decode1
    ratio "4 stages, 4 streams" now.ring4.decode4 before.ring4.decode4
    ratio "4 stages on one core" now.core4.decode1 before.core4.decode1
    figures "memory of all stages over the model's file and the KV cache; a hop without compute"
    for build in before now; do
        figure "$build: 2 stages" $build.ring2.memory x
        figure "$build: a hop, the receiver sleeps" $build.hop0 " us"
        figure "$build: a hop, it spins" $build.hop1000 " us"
    done
}
