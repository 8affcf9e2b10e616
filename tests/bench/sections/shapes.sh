# SPDX-License-Identifier: MIT
# Other shapes of models: a mixture of experts, and 8 billion weights.
# shellcheck shell=sh
begin() {
    model moe
    model 8b
    start_rpc
}
round() {
    model moe
    ring moe1 --threads 1 --decode "$DECODE" --streams 1,2
    ring moe2 --stages 2 --decode "$DECODE" --streams 1,2 --memory
    PIN=$ONE_CORE ring moe_core --stages 2 --decode "$DECODE" --streams 1
    chain moe_chain --stages 2 --decode "$DECODE"
    peer moe_rpc 0 "$DECODE" --rpc "$RPC" -ngl 99 -ts 1/1
    model 8b
    ring big1 --threads 1 --decode 8 --streams 1
    ring big2 --stages 2 --decode 8 --streams 1,2 --memory
}
report() {
    words "Decode of $DECODE tokens (mixture of experts: 16 layers of 32 experts, 4 used) and of 8 tokens (8b: 8 billion weights, 32 layers)."
    rates
    rate "mixture of experts, whole model, 1 thread: 1 stream" moe1.decode1
    rate "mixture of experts, 2 stages of 1 thread: 1 stream" moe2.decode1
    rate "mixture of experts, 2 stages of 1 thread: 2 streams" moe2.decode2
    rate "the same, on one core: 1 stream" moe_core.decode1
    rate "what 2 stages that take turns allow 1 stream: their slices one after another in one process, no link" moe_chain.decode1
    rate "mixture of experts, llama.cpp RPC: 1 stream" moe_rpc.decode1
    rate "8b, whole model, 1 thread: 1 stream" big1.decode1
    rate "8b, 2 stages of 1 thread: 1 stream" big2.decode1
    rate "8b, 2 stages of 1 thread: 2 streams" big2.decode2
    ratios
    ratio "mixture of experts, 1 stream: 2 stages against the whole model, 1 thread" moe2.decode1 moe1.decode1 0.95
    ratio "mixture of experts, 1 stream: 2 stages on one core against the whole model, 1 thread" moe_core.decode1 moe1.decode1 0.95
    ratio "mixture of experts, 1 stream: 2 stages against what they allow" moe2.decode1 moe_chain.decode1 0.95
    ratio "mixture of experts, 1 stream: 2 stages on one core against what they allow" moe_core.decode1 moe_chain.decode1 0.95
    ratio "mixture of experts, 2 streams, 2 stages, against 1 stream on the whole model, 1 thread" moe2.decode2 moe1.decode1 1.5
    ratio "mixture of experts, 1 stream: 2 stages against llama.cpp RPC" moe2.decode1 moe_rpc.decode1 1.3
    ratio "8b, 1 stream: 2 stages against the whole model, 1 thread" big2.decode1 big1.decode1 0.95
    ratio "8b, 2 streams, 2 stages, against 1 stream on the whole model, 1 thread" big2.decode2 big1.decode1 1.5
    figures "memory of all stages over the model's file and the KV cache"
    figure "2 stages, mixture of experts" moe2.memory x 1.10
    figure "2 stages, 8b" big2.memory x 1.10
}
