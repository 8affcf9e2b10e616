# SPDX-License-Identifier: MIT
# A prompt of 2,048 tokens on the 1b model: two stages of one thread against the whole model and llama.cpp's RPC.
# shellcheck shell=sh
begin() {
    model 1b 11
    HALF=$MODEL
    model 1b
    start_rpc
}
round() {
    ring whole1 --threads 1 --decode 0 --prefill "$PREFILL"
    ring ring2 --stages 2 --decode 0 --prefill "$PREFILL"
    peer rpc "$PREFILL" 0 --rpc "$RPC" -ngl 99 -ts 1/1
    bound bound.prefill prefill "$HALF" --decode 0 --prefill "$((PREFILL / 2))"
}
report() {
    words "One prompt of $PREFILL tokens, until its first token is sampled, model 1b. What two cores allow is measured with half as long a prompt, which is in its favour."
    rates
    rate "Caravan, whole model, 1 thread" whole1.prefill
    rate "**Caravan, 2 stages of 1 thread**" ring2.prefill
    rate "llama.cpp RPC, 2 servers of 1 thread" rpc.prefill
    rate "what two cores allow 2 stages: two halves of the model at the same time, no link" bound.prefill
    ratios
    ratio "2 stages against the whole model, 1 thread" ring2.prefill whole1.prefill 1.8
    ratio "what two cores allow against the whole model, 1 thread" bound.prefill whole1.prefill
    ratio "2 stages against what two cores allow" ring2.prefill bound.prefill 0.95
    ratio "2 stages against llama.cpp RPC, the same stages" ring2.prefill rpc.prefill 1.5
}
