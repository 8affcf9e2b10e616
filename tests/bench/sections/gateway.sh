# SPDX-License-Identifier: MIT
# The gateway: the delay that it adds to a stream, the cost of a token and of a connection, and llama-server beside it (tests/bench/gateway.sh measures).
# shellcheck shell=sh
begin() { :; }
round() {
    ROUNDS=1 MODEL="$TOP/models/caravan-demo.gguf" BUILD="$BUILD" CARAVAN_SYSROOT_DIR="${CARAVAN_SYSROOT_DIR:-$TOP/build}" \
        "$TOP/tests/bench/gateway.sh" >"$WORK/out.gateway" || fail "the gateway's bench failed" "tests/bench/gateway.sh"
    while read -r name value _; do put "$name" "$value"; done <"$WORK/out.gateway"
}
report() {
    words "Over HTTP, /v1/chat/completions, streamed: the demo model, one thread that computes, 64 sequences, one KV cache for all of them on both"
    words "sides (llama-server -kvu -b 512), 48 tokens an answer, prompts alike in their first seven tokens or so, which both sides take over from earlier ones."
    rates
    for streams in 1 8 64; do
        rate "**Caravan, $streams streams: tokens a second**" "caravan.$streams.tokens"
        rate "llama-server, $streams streams: tokens a second" "llama.$streams.tokens"
        rate "**Caravan, $streams streams: ms to the first text, median**" "caravan.$streams.ttft_p50"
        rate "llama-server, $streams streams: ms to the first text, median" "llama.$streams.ttft_p50"
    done
    ratios
    for streams in 1 8 64; do
        ratio "tokens a second against llama-server, $streams streams" "caravan.$streams.tokens" "llama.$streams.tokens" 1
        ratio "llama-server's time to the first text against ours, $streams streams" "llama.$streams.ttft_p50" "caravan.$streams.ttft_p50" 1
    done
    words ""
    words "The gateway alone, on a backend that makes a token for every stream at once (every 20 ms; for 1000 streams every 200 ms, beside 10,000"
    words "connections that wait): the time from a token's being there to its being read by the client, processor time and memory of the process."
    words ""
    figures "the gateway alone"
    figure "from token to client, 64 streams, median" alone.64.way_p50 " us" 1000
    figure "from token to client, 1000 streams, median" alone.1000.way_p50 " us"
    figure "processor time a token, 64 streams" alone.64.cpu_token " us" 15
    figure "processor time a token, 1000 streams" alone.1000.cpu_token " us" 15
    figure "memory with 1000 streams and 10,000 idle connections" alone.1000.memory " MiB" 200
}
