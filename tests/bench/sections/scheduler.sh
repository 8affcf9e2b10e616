# SPDX-License-Identifier: MIT
# The time that a shared prefix saves, and the cost of the head's scheduler.
# shellcheck shell=sh
begin() {
    model 1b
}
round() {
    "$BUILD/bin/prefix" "$MODEL" --stages 2 --prefix "$PREFIX" >"$WORK/out" || fail "prefix failed" "prefix $MODEL"
    "$BUILD/bin/sched_cpu" 64 >>"$WORK/out" || fail "sched_cpu failed" "sched_cpu 64"
    awk 'NF >= 2 { print $1, $2 }' "$WORK/out" >>"$VALUES"
}
report() {
    words "A prefix of $PREFIX tokens, model 1b, 2 stages of 1 thread; the scheduler with 64 streams and a ring that answers at once."
    figures "time to the first token"
    figure "first request" first_ms " ms"
    figure "second request, the same prefix" second_ms " ms"
    ratios
    ratio "first against second" first_ms second_ms 5
    figures "the head's scheduler, 64 streams"
    figure "processor time a token" sched_cpu_per_token " us" 50
    figure "allocations for 1,000 tokens" sched_allocations_per_1000_tokens ""
}
