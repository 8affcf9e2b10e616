# SPDX-License-Identifier: MIT
# Functions that the sections of `make bench` share; sourced by run.sh. A section measures with these and writes values: `put NAME NUMBER`, once a round.
# shellcheck shell=sh disable=SC2034
children=

say() { printf 'bench: %s\n' "$*" >&2; }
fail() {
    printf 'bench: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
stop_children() {
    for pid in $children; do kill "$pid" 2>/dev/null || :; done
    for pid in $children; do wait "$pid" 2>/dev/null || :; done
    children=
}
put() { printf '%s %s\n' "$1" "$2" >>"$VALUES"; }

find_llama() {
    LIBRARIES=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' | head -1)
    LOADER=$(find "$ROOT/lib64" "$ROOT/lib" "$LIBRARIES" -maxdepth 1 -name 'ld-linux*.so*' 2>/dev/null | head -1)
    LLAMA_BENCH=$ROOT/usr/bin/llama-bench
    LLAMA_SERVER=$ROOT/usr/bin/llama-server
    RPC_SERVER=$(find "$ROOT/usr/libexec" "$ROOT/usr/bin" -name ggml-rpc-server 2>/dev/null | head -1)
    [ -x "$LOADER" ] && [ -x "$LLAMA_BENCH" ] && [ -x "$LLAMA_SERVER" ] && [ -n "$RPC_SERVER" ] ||
        fail "llama.cpp's tools are not in \"$ROOT\"" "fill it again: make sysroot-test"
}
llama() { # "" or exec, program, arguments
    how=$1
    shift
    $how "$LOADER" --library-path "$LIBRARIES:$LIBRARIES/llama" "$@"
}

# A model of random weights, made once: PRESET [LAYERS]; sets MODEL.
model() {
    MODEL=$WORK/$1${2:+-$2}-q4_k.gguf
    [ -f "$MODEL" ] || {
        say "making the model $(basename "$MODEL")"
        "$BUILD/bin/make-model" --preset "$1" --type q4_k ${2:+--layers "$2"} --out "$MODEL.part" || fail "cannot make \"$MODEL\"" "is the disk full?"
        mv "$MODEL.part" "$MODEL"
    }
}

# ---- Caravan --------------------------------------------------------------------------------------------------------------------

# ring NAME arguments of ring_bench: NAME.decodeS for S streams, NAME.prefill, NAME.memory, and where each stage's time went.
# PIN: a command that starts it, such as ONE_CORE.
ONE_CORE='taskset -c 0'
ring() {
    name=$1
    shift
    ${PIN:-} "$BUILD/bin/ring_bench" "$MODEL" "$@" >"$WORK/out.$name" || fail "ring_bench failed" "ring_bench $MODEL $*"
    sed -n 's/.*"decode".*"streams": \([0-9]*\),.*"tok_s": \([0-9.]*\).*/'"$name"'.decode\1 \2/p
        s/.*"prefill".*"tok_s": \([0-9.]*\).*/'"$name"'.prefill \1/p
        s/.*"memory".*"ratio": \([0-9.]*\).*/'"$name"'.memory \1/p' "$WORK/out.$name" >>"$VALUES"
    sed -n 's/.*"what": "\([a-z]*\)".*"streams": \([0-9]*\),.*"stages": \[\(.*\)\]}/\1\2 \3/p' "$WORK/out.$name" | tr -d '{}",:' | awk -v name="$name" '
        { for (i = 2; i < NF; i++) {
              if ($i == "stage") stage = $(i + 1)
              if ($i ~ /_(ms|us)$/) print name "." $1 ".stage" stage "." $i, $(i + 1)
          } }' >>"$VALUES"
}

# The bound by the cores: two processes at the same time, each with half of the model's layers and its output head, no link between them. A
# ring of two stages cannot be faster than the slower of the two. bound NAME decode|prefill HALF-MODEL arguments
bound() {
    name=$1 what=$2 half=$3
    shift 3
    for i in 1 2; do
        (sleep "${BOUND_WAIT:-3}"; echo) | "$BUILD/bin/ring_bench" "$half" --threads 1 --wait "$@" >"$WORK/bound.$i" 2>/dev/null &
        eval "pid$i=\$!"
    done
    # shellcheck disable=SC2154
    wait "$pid1" && wait "$pid2" || fail "ring_bench failed" "ring_bench $half $*"
    put "$name" "$(sed -n 's/.*"'"$what"'".*"tok_s": \([0-9.]*\).*/\1/p' "$WORK/bound.1" "$WORK/bound.2" | sort -n | head -1)"
}

# The bound of one stream, whose stages take turns: the slices one after another in one process, no link; with --cores 2 on two cores in
# turn, each of which sleeps meanwhile; with --delay-us a network between them. chain NAME arguments of chain
chain() {
    name=$1
    shift
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$BUILD/bin/chain" "$MODEL" "$@" >"$WORK/out.$name" 2>/dev/null || fail "chain failed" "chain $MODEL $*"
    put "$name.decode1" "$(sed -n 's/.*"tok_s": \([0-9.]*\).*/\1/p' "$WORK/out.$name")"
}

# ---- llama.cpp ------------------------------------------------------------------------------------------------------------------

free_port() {
    port=$((${port:-$((20000 + $$ % 20000))} + 1))
}
# The words "text" in the file, or the process's end.
wait_text() { # pid, file, text
    while kill -0 "$1" 2>/dev/null && ! grep -q "$3" "$2"; do sleep 0.1; done
    kill -0 "$1" 2>/dev/null
}

# Two servers of one thread each, as the two stages have; they sleep while they have no client. Sets RPC, their addresses.
start_rpc() {
    RPC='' RPC_PORTS=''
    for i in 1 2; do
        tries=0
        while :; do
            free_port
            : >"$WORK/rpc-$i.log"
            (llama "exec ${PIN:-}" "$RPC_SERVER" -H 127.0.0.1 -p "$port" -t 1) >"$WORK/rpc-$i.log" 2>&1 &
            pid=$!
            wait_text "$pid" "$WORK/rpc-$i.log" 'endpoint *:' && sleep 0.3 && kill -0 "$pid" 2>/dev/null && break
            tries=$((tries + 1))
            [ "$tries" -lt 20 ] || fail "ggml-rpc-server does not start" "see $WORK/rpc-$i.log"
        done
        children="$children $pid"
        RPC=$RPC${RPC:+,}127.0.0.1:$port
        RPC_PORTS="$RPC_PORTS $port"
    done
}

# The same servers behind an emulated network: rpc_behind DELAY-US MBIT sets RPC_FAR.
rpc_behind() {
    RPC_FAR=
    for to in $RPC_PORTS; do
        : >"$WORK/relay.$to.$1"
        "$BUILD/bin/relay" --to "$to" --delay-us "$1" --mbit "$2" >"$WORK/relay.$to.$1" &
        pid=$!
        children="$children $pid"
        wait_text "$pid" "$WORK/relay.$to.$1" '[0-9]' || fail "the relay does not start" "$BUILD/bin/relay --to $to"
        RPC_FAR=$RPC_FAR${RPC_FAR:+,}127.0.0.1:$(cat "$WORK/relay.$to.$1")
    done
}

# peer NAME PROMPT DECODE arguments of llama-bench: NAME.prefill and NAME.decode1, whichever is not 0. A short prompt first wakes everything up.
# THREADS: how many, else one.
peer() {
    name=$1 prompt=$2 decode=$3
    shift 3
    llama "${PIN:-}" "$LLAMA_BENCH" -m "$MODEL" -t "${THREADS:-1}" -r 1 --no-warmup -p "16$([ "$prompt" = 0 ] || echo ",$prompt")" -n "$decode" -o jsonl "$@" >"$WORK/out" 2>"$WORK/llama-bench.log" ||
        fail "llama-bench failed" "see $WORK/llama-bench.log"
    [ "$prompt" = 0 ] || put "$name.prefill" "$(sed -n "s/.*\"n_prompt\": $prompt,.*\"avg_ts\": \([0-9.]*\).*/\1/p" "$WORK/out")"
    [ "$decode" = 0 ] || put "$name.decode1" "$(sed -n "s/.*\"n_gen\": $decode,.*\"avg_ts\": \([0-9.]*\).*/\1/p" "$WORK/out")"
}

# server_start SEQUENCES TOKENS arguments of llama-server: sets SERVER_PORT and SERVER_PID.
server_start() {
    most=$1 tokens=$2
    shift 2
    free_port
    SERVER_PORT=$port
    : >"$WORK/server.$port.log"
    (llama exec "$LLAMA_SERVER" -m "$MODEL" --host 127.0.0.1 --port "$port" -np "$most" -c $((most * (tokens + 64))) -kvu --no-webui "$@") >"$WORK/server.$port.log" 2>&1 &
    SERVER_PID=$!
    children="$children $SERVER_PID"
    wait_text "$SERVER_PID" "$WORK/server.$port.log" 'listening on http' || fail "llama-server does not start" "see $WORK/server.$port.log"
}
# server_ask NAME PORT STREAMS TOKENS: NAME.decodeS.
server_ask() {
    value=$(node "$TOP/tests/bench/completions.mjs" "$2" "$3" "$4") || fail "llama-server does not answer" "see $WORK/server.$2.log"
    put "$1.decode$3" "$value"
}
# server NAME STREAMS,... TOKENS arguments of llama-server: NAME.decodeS for each number of streams.
server() {
    name=$1 list=$2 tokens=$3
    shift 3
    server_start "${list##*,}" "$tokens" "$@"
    for asked in $(echo "$list" | tr "," " "); do server_ask "$name" "$SERVER_PORT" "$asked" "$tokens"; done
    kill "$SERVER_PID" && wait "$SERVER_PID" 2>/dev/null || :
}

# ---- the page -------------------------------------------------------------------------------------------------------------------
# A section's report is made of these; report.awk fills in the numbers.
words() { printf 'words|%s\n' "$*"; }
rates() { printf 'words|\nwords|| tokens a second | median | spread |\nwords||---|---|---|\n'; }
ratios() { printf 'words|\nwords|| ratio (of each round) | median | spread | target | met |\nwords||---|---|---|---|---|\n'; }
figures() { printf 'words|\nwords|| %s | median | spread | target | met |\nwords||---|---|---|---|---|\n' "$1"; }
rate() { printf 'rate|%s|%s\n' "$1" "$2"; }             # text, name
ratio() { printf 'ratio|%s|%s|%s|%s\n' "$1" "$2" "$3" "${4:-}"; } # text, name, name it is divided by, least or nothing
figure() { printf 'figure|%s|%s|%s|%s\n' "$1" "$2" "${3:-}" "${4:-}"; } # text, name, unit, most or nothing
