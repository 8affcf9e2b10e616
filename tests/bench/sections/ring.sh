# SPDX-License-Identifier: MIT
# Decode and memory of the 1b model: one, two and four stages of one thread against the whole model and llama.cpp's RPC; a hop without compute.
# shellcheck shell=sh
begin() {
    model 1b 11
    HALF=$MODEL
    model 1b
    PIN=$ONE_CORE start_rpc
    RPC_ONE=$RPC
    start_rpc
}
round() {
    ring whole1 --threads 1 --decode "$DECODE" --streams 1,2
    ring ring2 --stages 2 --decode "$DECODE" --streams 1,2 --memory
    peer rpc 0 "$DECODE" --rpc "$RPC" -ngl 99 -ts 1/1
    chain chain2 --stages 2 --decode "$DECODE"
    chain turns2 --stages 2 --decode "$DECODE" --cores 2
    PIN=$ONE_CORE ring core2 --stages 2 --decode "$DECODE" --streams 1
    PIN=$ONE_CORE peer rpc_core 0 "$DECODE" --rpc "$RPC_ONE" -ngl 99 -ts 1/1
    ring ring4 --stages 4 --decode "$DECODE" --streams 1,2,4
    chain chain4 --stages 4 --decode "$DECODE"
    chain turns4 --stages 4 --decode "$DECODE" --cores 2
    PIN=$ONE_CORE ring core4 --stages 4 --decode "$DECODE" --streams 1
    ring whole2 --threads 2 --decode "$DECODE" --streams 1,2
    bound bound.decode2 decode "$HALF" --decode "$((DECODE * 2))" --streams 1
    peer llama1 0 "$DECODE" -ngl 0
    "$BUILD/bin/hop" --fork --count 2000 | sed -n 's/^spin *\([0-9]*\) us: median *\([0-9.]*\) us.*/hop.spin\1 \2/p' >>"$VALUES"
}
report() {
    words "Decode of $DECODE tokens a stream behind a prompt of 16, model 1b (1.1 billion weights, 22 layers)."
    rates
    rate "Caravan, whole model, 1 thread: 1 stream" whole1.decode1
    rate "Caravan, whole model, 1 thread: 2 streams" whole1.decode2
    rate "Caravan, whole model, 2 threads: 1 stream" whole2.decode1
    rate "Caravan, whole model, 2 threads: 2 streams" whole2.decode2
    rate "**Caravan, 2 stages of 1 thread: 1 stream**" ring2.decode1
    rate "**the same, on one core**" core2.decode1
    rate "**Caravan, 2 stages of 1 thread: 2 streams**" ring2.decode2
    rate "**Caravan, 4 stages of 1 thread: 1 stream**" ring4.decode1
    rate "**the same, on one core**" core4.decode1
    rate "Caravan, 4 stages of 1 thread: 2 streams" ring4.decode2
    rate "Caravan, 4 stages of 1 thread: 4 streams" ring4.decode4
    rate "llama.cpp RPC, 2 servers of 1 thread: 1 stream" rpc.decode1
    rate "the same, on one core" rpc_core.decode1
    rate "llama.cpp, whole model, 1 thread: 1 stream" llama1.decode1
    rate "what 2 stages that take turns allow 1 stream: their slices one after another in one process, no link" chain2.decode1
    rate "the same on two cores in turn, each of which sleeps meanwhile" turns2.decode1
    rate "what 4 stages that take turns allow 1 stream" chain4.decode1
    rate "the same on two cores in turn" turns4.decode1
    rate "what two cores allow 2 stages: two halves of the model at the same time, no link" bound.decode2
    ratios
    ratio "1 stream: 2 stages against the whole model, 1 thread" ring2.decode1 whole1.decode1 0.95
    ratio "1 stream: 4 stages against the whole model, 1 thread" ring4.decode1 whole1.decode1 0.95
    ratio "1 stream: 2 stages on one core against the whole model, 1 thread" core2.decode1 whole1.decode1 0.95
    ratio "1 stream: 4 stages on one core against the whole model, 1 thread" core4.decode1 whole1.decode1 0.95
    ratio "1 stream: 2 stages against what they allow on two cores in turn" ring2.decode1 turns2.decode1 0.95
    ratio "1 stream: 4 stages against what they allow on two cores in turn" ring4.decode1 turns4.decode1 0.95
    ratio "1 stream: 2 stages on one core against what they allow" core2.decode1 chain2.decode1 0.95
    ratio "1 stream: 4 stages on one core against what they allow" core4.decode1 chain4.decode1 0.95
    ratio "2 streams, 2 stages, against 1 stream on the whole model, 1 thread" ring2.decode2 whole1.decode1 1.5
    ratio "2 streams, 2 stages, against 1 stream on the whole model, 2 threads" ring2.decode2 whole2.decode1 1.1
    ratio "2 streams, 2 stages, against 2 streams on the whole model, 2 threads" ring2.decode2 whole2.decode2
    ratio "2 streams, 2 stages, against what two cores allow" ring2.decode2 bound.decode2 0.95
    ratio "1 stream: 2 stages against llama.cpp RPC, the same stages" ring2.decode1 rpc.decode1 1.3
    ratio "1 stream: 2 stages against llama.cpp RPC, the same stages, all on one core" core2.decode1 rpc_core.decode1 1.3
    ratio "what 2 stages allow on two cores in turn against llama.cpp RPC" turns2.decode1 rpc.decode1
    ratio "what 2 stages allow against llama.cpp RPC, all on one core" chain2.decode1 rpc_core.decode1
    ratio "1 stream, whole model, 1 thread: Caravan against llama.cpp" whole1.decode1 llama1.decode1
    figures "memory of all stages over the model's file and the KV cache"
    figure "2 stages, 1b" ring2.memory x 1.10
    figures "a hop without compute: a frame of 32 KiB, two processes, TLS, loopback"
    figure "the receiver sleeps until it comes" hop.spin0 " us" 100
    figure "spins 50 us before it sleeps" hop.spin50 " us" 100
    figure "spins until it comes" hop.spin1000 " us" 100
    words ""
    words "| where a frame of the 2 stages spends its time | compute ms | waits for its turn ms | hop us |"
    words "|---|---|---|---|"
    for n in 1 2; do
        for i in 0 1; do printf 'stage|%s streams, stage %s|ring2.decode%s.stage%s\n' "$n" "$i" "$n" "$i"; done
    done
}
