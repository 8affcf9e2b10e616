#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures the gateway: the delay that it adds to a stream, the cost of a token and of a connection, and llama-server's own HTTP side beside it
# (llama.cpp, the same model, the same threads, one after the other in every round). Prints `name value unit` lines, each round's own.
# Usage: tests/bench/gateway.sh      Environment: ROUNDS (5), BUILD (build/release), CARAVAN_SYSROOT_DIR as in tools/sysroot.sh
#   way_*        microseconds from a token's being there to its being read by the client; the targets are for the median
#   cpu_token    processor time of the whole server for each token; memory: of the whole server at its fullest
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/build/release}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
ROUNDS=${ROUNDS:-5}
MODEL=${MODEL:-$TOP/models/caravan-demo.gguf}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/caravan-gateway-bench.XXXXXX")
MOST=64 # streams
TOKENS=48
children=

say() { printf 'gateway bench: %s\n' "$*" >&2; }
fail() {
    printf 'gateway bench: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
clean() {
    for pid in $children; do kill "$pid" 2>/dev/null || :; done
    for pid in $children; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$WORK"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Until the command succeeds: 60 s, or the process has gone.
wait_for() { # pid, what, command ...
    waited=0 pid=$1 what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null && [ "$waited" -lt 600 ] || fail "$what does not start" "see what it wrote in $WORK (kept)"
        sleep 0.1
        waited=$((waited + 1))
    done
}

llama_server() { # arguments; the process is this shell's child
    libraries=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' | head -1)
    loader=$(find "$ROOT/lib64" "$ROOT/lib" "$libraries" -maxdepth 1 -name 'ld-linux*.so*' 2>/dev/null | head -1)
    [ -x "$loader" ] && [ -x "$ROOT/usr/bin/llama-server" ] || fail "llama-server is not in \"$ROOT\"" "fill it again: make sysroot-test"
    exec "$loader" --library-path "$libraries:$libraries/llama" "$ROOT/usr/bin/llama-server" "$@"
}

# The gateway alone, on a backend without a model.
start_fake() {
    "$BUILD/bin/gateway_fake" 0 >"$WORK/fake" 2>&1 &
    FAKE=$!
    children="$children $FAKE"
    wait_for "$FAKE" gateway_fake grep -q port "$WORK/fake"
    FAKE_PORT=$(sed -n 's/^port //p' "$WORK/fake")
}

# Both with one thread that computes, as many sequences, as much context for each, and one KV cache for all of them (-kvu, as Caravan has it:
# on its own, llama-server gives 64 sequences a cache each, and attention then costs half; that is the engine's matter, not HTTP's).
start_servers() {
    CARAVAN_NO_DISCOVERY=yes "$BUILD/bin/caravan" up "$MODEL" --threads 1 --parallel "$MOST" --ctx 256 --listen 127.0.0.1:0 --api 127.0.0.1:0 \
        --state-dir "$WORK" --ready-fd 3 --log-level error 3>"$WORK/caravan.ready" >"$WORK/caravan.log" 2>&1 &
    CARAVAN=$!
    children="$children $CARAVAN"
    wait_for "$CARAVAN" caravan grep -q api "$WORK/caravan.ready"
    CARAVAN_PORT=$(sed -n 's/.*"api": *\([0-9]*\).*/\1/p' "$WORK/caravan.ready")
    LLAMA_PORT=$((20000 + $$ % 20000))
    (llama_server -m "$MODEL" --host 127.0.0.1 --port "$LLAMA_PORT" -t 1 -tb 1 -np "$MOST" -c $((MOST * 256)) -kvu -b 512 --no-webui) >"$WORK/llama.log" 2>&1 &
    LLAMA=$!
    children="$children $LLAMA"
    wait_for "$LLAMA" llama-server one "$LLAMA_PORT" 1 try
    wait_for "$CARAVAN" "the model in caravan" one "$CARAVAN_PORT" 1 try
}

one() { # port, streams, name: at least 16 requests
    "$BUILD/bin/gateway_bench" --port "$1" --streams "$2" --requests $(($2 < 16 ? 16 : $2)) --max "$TOKENS" --name "$3" --body '"ignore_eos":true' \
        --prompt "Tell me a story about a caravan of llamas that crosses the mountains."
}

script() { # JSON for gateway_fake within a JSON string
    printf '@@%s@@' "$1" | sed 's/"/\\"/g'
}

fake() { # name, script, more arguments of gateway_bench
    name=$1 what=$(script "$2")
    shift 2
    "$BUILD/bin/gateway_bench" --port "$FAKE_PORT" --pid "$FAKE" --max 1000 --body '"model":"fake-model"' --prompt "$what" --name "$name" "$@"
}

for program in caravan gateway_fake gateway_bench; do
    [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"
done
start_servers
round=1
while [ "$round" -le "$ROUNDS" ]; do
    say "round $round of $ROUNDS (load $(cut -d' ' -f1 /proc/loadavg 2>/dev/null))"
    for streams in 1 8 "$MOST"; do
        one "$CARAVAN_PORT" "$streams" "caravan.$streams"
        one "$LLAMA_PORT" "$streams" "llama.$streams"
    done
    start_fake # a new process, so that its memory is its own
    fake alone.1 '{"stamp":true,"pieces":["x"],"repeat":100,"delay_ms":20}' --streams 1
    fake alone.64 '{"stamp":true,"pieces":["x"],"repeat":100,"delay_ms":20}' --streams 64
    fake alone.1000 '{"stamp":true,"pieces":["x"],"repeat":50,"delay_ms":200}' --streams 1000 --idle 10000
    kill "$FAKE"
    wait "$FAKE" || fail "gateway_fake ended with status $?" "calls were left over"
    round=$((round + 1))
done
