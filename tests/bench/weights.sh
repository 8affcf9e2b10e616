#!/bin/sh
# SPDX-License-Identifier: MIT
# Time until a model that one node has is ready on four, over links of 1 Gbit/s (network namespaces, veth, tbf), against llama.cpp's RPC backend
# that pushes the same weights over the same links. Prints "name value unit" lines, a round each. Needs root; status 77: skipped.
# Environment: ROUNDS (2), BUILD, CARAVAN_SYSROOT_DIR, MODEL, RATE (1gbit)
#   one, two, all    seconds until ready: one, two, all four nodes have the file; `again`: from what the nodes had fetched before
#   *.sent           MiB that the holders sent   *.floor  seconds that their links need for that, TCP's headers included
#   rpc, rpc.again   the push, and a second one from the servers' own cache (-c)
set -eu

TOP=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/build/release}
ROOT=${CARAVAN_SYSROOT_DIR:-$TOP/build}/sysroot-test
WORK=$TOP/build/bench
MODEL=${MODEL:-$WORK/1b-q4_k.gguf}
ROUNDS=${ROUNDS:-2}
RATE=${RATE:-1gbit}
MBIT=$(echo "$RATE" | sed 's/gbit$/000/; s/mbit$//')
NS=cvb$$
NET=10.92.1
pids=

say() { printf 'weights: %s\n' "$*" >&2; }
fail() {
    printf 'weights: error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
stop() {
    for p in $pids; do kill -TERM "$p" 2>/dev/null || :; done
    for p in $pids; do wait "$p" 2>/dev/null || :; done
    pids=
}
clean() {
    for p in $pids; do kill -KILL "$p" 2>/dev/null || :; done
    for i in 1 2 3 4 hub; do ip netns del "$NS-$i" 2>/dev/null || :; done
    rm -rf "$WORK/weights.$$" "$WORK/weights.$$.profile"
}
trap clean EXIT
trap 'exit 130' INT TERM

if [ "$(id -u)" != 0 ] || ! ip netns add "$NS-hub" 2>/dev/null; then
    say "skipped: network namespaces need root, and iproute2"
    exit 77
fi

# Four hosts on a bridge; the bytes that each sends, and the bytes that it gets, pass a bucket of RATE.
network() {
    ip -n "$NS-hub" link add name hub0 type bridge
    ip -n "$NS-hub" link set hub0 up
    for i in 1 2 3 4; do
        ip netns add "$NS-$i"
        ip -n "$NS-hub" link add "v$i" type veth peer name eth0 netns "$NS-$i"
        ip -n "$NS-hub" link set "v$i" master hub0 up
        ip -n "$NS-$i" addr add "$NET.$i/24" dev eth0
        ip -n "$NS-$i" link set lo up
        ip -n "$NS-$i" link set eth0 up
        ip netns exec "$NS-$i" tc qdisc add dev eth0 root tbf rate "$RATE" burst 256kb latency 50ms &&
            ip netns exec "$NS-hub" tc qdisc add dev "v$i" root tbf rate "$RATE" burst 256kb latency 50ms || { say "skipped: tc cannot shape links here"; exit 77; }
    done
}

prepare() {
    for program in caravan make-model; do [ -x "$BUILD/bin/$program" ] || fail "no \"$BUILD/bin/$program\"" "build first: make"; done
    mkdir -p "$WORK/weights.$$"
    if [ ! -f "$MODEL" ]; then
        say "making a model of 1.1 billion random weights, Q4_K"
        "$BUILD/bin/make-model" --preset 1b --type q4_k --out "$MODEL.part"
        mv "$MODEL.part" "$MODEL"
    fi
    "$BUILD/bin/caravan" profile "$WORK/weights.$$.profile" >/dev/null 2>&1
    LIBRARIES=$(find "$ROOT/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' 2>/dev/null | head -1)
    LOADER=$(find "$ROOT/lib64" "$ROOT/lib" "$LIBRARIES" -maxdepth 1 -name 'ld-linux*.so*' 2>/dev/null | head -1)
    RPC_SERVER=$(find "$ROOT/usr/libexec" "$ROOT/usr/bin" -name ggml-rpc-server 2>/dev/null | head -1)
}

now() { date +%s.%N; }
since() { echo "$1 $(now)" | awk '{ printf "%.2f", $2 - $1 }'; }

# wait_for FILE PATTERN: two minutes at most
wait_for() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 6000 ] || { tail -n 5 "$WORK/weights.$$"/*.log >&2; fail "no \"$2\" in $1" "see above"; }
        sleep 0.02
    done
}

node() { # HOST FILE-OR-"" ARGUMENTS
    host=$1
    shift
    mkdir -p "$D/models$host" "$D/state$host"
    cp "$WORK/weights.$$.profile" "$D/state$host/profile.json" # it need not measure itself while the clock runs
    # shellcheck disable=SC2016 # for the inner shell
    ip netns exec "$NS-$host" unshare -m sh -c '[ "$0" = 1 ] || mount -t tmpfs none "$1"; shift; exec "$@"' "$host" "$D/held" "$BUILD/bin/caravan" up "$@" --listen "$NET.$host:7433" --api 127.0.0.1:8080 --key-file "$D/key" \
        --state-dir "$D/state$host" --models-dir "$D/models$host" --name "n$host" --no-discovery --threads 1 --ctx 256 --parallel 1 \
        --batch 64 >/dev/null 2>"$D/n$host.log" &
    pids="$pids $!"
}

sent_of() {
    ip netns exec "$NS-$1" "$BUILD/bin/caravan" nodes --json --api 127.0.0.1:8080 | sed 's/.*"weights_sent":\([0-9]*\).*/\1/'
}

# caravan NAME HOLDERS: the nodes that have the file are up to HOLDERS
caravan() {
    name=$1 holders=$2
    D=$WORK/weights.$$
    mkdir -p "$D/held" # the files of the first host; the others, in mount namespaces of their own, don't see them
    ln -f "$MODEL" "$D/held/model.gguf"
    i=2
    while [ "$i" -le "$holders" ]; do
        mkdir -p "$D/models$i"
        ln -f "$MODEL" "$D/models$i/model.gguf"
        i=$((i + 1))
    done
    "$BUILD/bin/caravan" key --key-file "$D/key" >/dev/null 2>&1
    node 1 "$D/held/model.gguf" --placement 6,6,5,5
    wait_for "$D/n1.log" 'API at'
    for i in 2 3 4; do # one after another, so that each gets the same layers every time
        node "$i" --peer "$NET.1:7433"
        wait_for "$D/n1.log" "linked with n$i"
    done
    wait_for "$D/n1.log" 'loading layers'
    t=$(now)
    wait_for "$D/n1.log" 'is ready'
    seconds=$(since "$t")
    echo "$name $seconds s"
    i=1 all=0
    while [ "$i" -le "$holders" ]; do
        bytes=$(sent_of "$i")
        all=$((all + bytes))
        i=$((i + 1))
    done
    echo "$name.sent $((all / 1048576)) MiB"
    echo "$all $holders $MBIT" | awk -v name="$name" '{ printf "%s.floor %.2f s\n", name, $1 * 8 * 1514 / 1448 / ($3 * 1e6) / $2 }'
    stop
}

round() {
    rm -rf "$WORK/weights.$$"
    mkdir -p "$WORK/weights.$$"
    caravan one 1
    caravan again 1
    rm -rf "$WORK/weights.$$"/state* "$WORK/weights.$$"/models*
    caravan two 2
    rm -rf "$WORK/weights.$$"/state* "$WORK/weights.$$"/models*
    caravan all 4
    if [ -n "$RPC_SERVER" ]; then
        rpc rpc
        rpc rpc.again
    fi
}

# The same model, loaded by llama.cpp on the first host, which keeps a quarter (6 of 23 layers, the output counts) and pushes the others.
rpc() {
    D=$WORK/weights.$$
    for i in 2 3 4; do
        mkdir -p "$D/cache$i"
        LLAMA_CACHE=$D/cache$i ip netns exec "$NS-$i" "$LOADER" --library-path "$LIBRARIES:$LIBRARIES/llama" "$RPC_SERVER" -H "$NET.$i" -p 50052 -t 1 -c \
            >"$D/rpc$i.log" 2>&1 &
        pids="$pids $!"
    done
    for i in 2 3 4; do wait_for "$D/rpc$i.log" 'endpoint *:'; done
    sleep 0.5
    t=$(now)
    ip netns exec "$NS-1" "$LOADER" --library-path "$LIBRARIES:$LIBRARIES/llama" "$ROOT/usr/bin/llama-bench" -m "$MODEL" -t 1 -r 1 --no-warmup -p 0 -n 1 \
        --rpc "$NET.2:50052,$NET.3:50052,$NET.4:50052" -ngl 17 -ts 1/1/1 >"$D/rpc.out" 2>"$D/rpc.log" || fail "llama-bench failed" "see $D/rpc.log"
    echo "$1 $(since "$t") s"
    stop
}

prepare
network
n=1
while [ "$n" -le "$ROUNDS" ]; do
    say "round $n of $ROUNDS"
    round
    n=$((n + 1))
done
