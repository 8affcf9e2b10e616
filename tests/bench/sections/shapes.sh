# SPDX-License-Identifier: MIT
# Other shapes of models: a mixture of experts, and 8 billion weights.
# shellcheck shell=sh
begin() {
    model moe 8
    MOE_HALF=$MODEL
    model 8b 16
    BIG_HALF=$MODEL
    model moe
    model 8b
    start_rpc
}
# A model on one thread and on two stages of one thread, and the bounds of the two stages: shape NAME HALF-MODEL TOKENS
shape() {
    ring "$1_whole" --threads 1 --decode "$3" --streams 1
    ring "$1_ring" --stages 2 --decode "$3" --streams 1,2 --memory
    chain "$1_turns" --stages 2 --decode "$3" --cores 2
    PIN=$ONE_CORE ring "$1_core" --stages 2 --decode "$3" --streams 1
    chain "$1_chain" --stages 2 --decode "$3"
    bound "$1_bound.decode2" decode "$2" --decode "$(($3 * 2))" --streams 1
}
round() {
    model moe
    shape moe "$MOE_HALF" "$DECODE"
    peer moe_rpc 0 "$DECODE" --rpc "$RPC" -ngl 99 -ts 1/1
    model 8b
    BOUND_WAIT=8 shape big "$BIG_HALF" "$((DECODE * 2 / 3))"
}
shape_rates() { # words, name
    rate "$1, whole model, 1 thread: 1 stream" "$2_whole.decode1"
    rate "**$1, 2 stages of 1 thread: 1 stream**" "$2_ring.decode1"
    rate "**the same, on one core: 1 stream**" "$2_core.decode1"
    rate "**$1, 2 stages of 1 thread: 2 streams**" "$2_ring.decode2"
    rate "what 2 stages that take turns allow 1 stream: their slices one after another in one process, no link" "$2_chain.decode1"
    rate "the same on two cores in turn, each of which sleeps meanwhile" "$2_turns.decode1"
    rate "what two cores allow 2 stages: two halves of the model at the same time, no link" "$2_bound.decode2"
}
shape_ratios() { # words, name
    ratio "$1, 1 stream: 2 stages against the whole model, 1 thread" "$2_ring.decode1" "$2_whole.decode1" 0.95
    ratio "$1, 1 stream: 2 stages on one core against the whole model, 1 thread" "$2_core.decode1" "$2_whole.decode1" 0.95
    ratio "$1, 1 stream: 2 stages against what they allow on two cores in turn" "$2_ring.decode1" "$2_turns.decode1" 0.95
    ratio "$1, 1 stream: 2 stages on one core against what they allow" "$2_core.decode1" "$2_chain.decode1" 0.95
    ratio "$1, 2 streams, 2 stages, against 1 stream on the whole model, 1 thread" "$2_ring.decode2" "$2_whole.decode1" 1.5
    ratio "$1, 2 streams, 2 stages, against what two cores allow" "$2_ring.decode2" "$2_bound.decode2" 0.95
}
report() {
    words "Decode of $DECODE tokens (mixture of experts: 16 layers of 32 experts, 4 used) and of $((DECODE * 2 / 3)) tokens (8b: 8 billion weights, 32 layers)."
    rates
    shape_rates "mixture of experts" moe
    rate "mixture of experts, llama.cpp RPC: 1 stream" moe_rpc.decode1
    shape_rates 8b big
    ratios
    shape_ratios "mixture of experts" moe
    ratio "mixture of experts, 1 stream: 2 stages against llama.cpp RPC" moe_ring.decode1 moe_rpc.decode1 1.3
    shape_ratios 8b big
    figures "memory of all stages over the model's file and the KV cache"
    figure "2 stages, mixture of experts" moe_ring.memory x 1.10
    figure "2 stages, 8b" big_ring.memory x 1.10
}
