# SPDX-License-Identifier: MIT
# Many streams at once on the 1b model: two stages of one thread against llama-server, whole with two threads, and over llama.cpp's RPC.
# shellcheck shell=sh
begin() {
    model 1b 11
    HALF=$MODEL
    model 1b
    start_rpc
}
round() {
    ring ring2 --stages 2 --decode "$DECODE" --streams 1,2,4,8,16
    bound bound.decode8 decode "$HALF" --decode "$DECODE" --streams 4 # 8 in a ring: each stage has two groups of 4 in turn
    server whole2 1,2,4,8,16 "$DECODE" -t 2 -tb 2
    server rpc 8 "$DECODE" --rpc "$RPC" -ngl 99 -ts 1/1 -t 1 -tb 1
}
report() {
    words "Streams of $DECODE tokens behind prompts of 16, all at once, model 1b."
    rates
    for n in 1 2 4 8 16; do
        rate "Caravan, 2 stages of 1 thread: $n streams" "ring2.decode$n"
        rate "llama-server, whole model, 2 threads: $n streams" "whole2.decode$n"
    done
    rate "what two cores allow 2 stages: two halves of the model at the same time, 4 streams each, no link" bound.decode8
    rate "llama-server over RPC, 2 servers of 1 thread: 8 streams" rpc.decode8
    ratios
    ratio "8 streams: 2 stages of 1 thread against llama-server, whole, 2 threads" ring2.decode8 whole2.decode8 0.95
    ratio "8 streams: 2 stages of 1 thread against what two cores allow" ring2.decode8 bound.decode8 0.95
    ratio "8 streams: 2 stages of 1 thread against llama-server over RPC" ring2.decode8 rpc.decode8 2
}
