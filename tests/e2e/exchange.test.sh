#!/bin/sh
# SPDX-License-Identifier: MIT
# Three hosts (network namespaces on a bridge) with slow links: two have the model's file, the third fetches its slice from both. One of the
# two is killed in the middle: the rest comes from the other. One of the two has wrong bytes: they are dropped, the log says so, and the right
# ones come from the other. Needs root.
set -eu
hosts="a b c"
subnet=10.79.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge
for h in a b; do
    in_host "$h" tc qdisc add dev e0 root tbf rate 2mbit burst 16kb latency 200ms || { echo "skipped: tc cannot shape links here"; exit 77; }
done

# Ends all nodes.
stop() {
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || :; done
    for pid in $pids; do wait "$pid" 2>/dev/null || :; done
    pids=
}

# start HOST ARGUMENTS: b and c do not see the folder that a's file is in.
start() {
    h=$1
    shift
    mkdir -p "models-$h"
    # shellcheck disable=SC2016 # for the inner shell
    ip netns exec "$ns-$h" unshare -m sh -c '[ "$0" = a ] || mount -t tmpfs none held; exec "$@"' "$h" "$CARAVAN" up "$@" --name "$h" --memory 64M \
        --threads 1 --ctx 256 --parallel 1 --batch 64 --state-dir "state-$h" --models-dir "models-$h" --key-file key >"$h.log" 2>&1 &
    pids="$pids $!"
}
sent() { in_host "$1" "$CARAVAN" nodes --json --api 127.0.0.1:8080 | sed -n 's/.*"weights_sent": *\([0-9]*\).*/\1/p'; }
has_sent() { [ "$(sent "$1")" -ge "$2" ]; }

# both: a serves the model cut in two, c lacks its half and fetches; then b comes, which has a file too. Ends when b has sent something.
both() {
    rm -rf state-? ./*.log
    start a held/demo.gguf --placement 4,4
    until_true 'a is up' grep -q 'API at' a.log
    start c --peer 10.79.0.1:7433
    until_true 'c fetches' grep -q 'fetching from' c.log
    start b --peer 10.79.0.1:7433
    b=$!
    until_true 'b sends weights too' has_sent b 1
}
# The model is ready, and its weights are right.
answered() {
    until_true 'the model is ready' grep -q 'is ready' a.log
    answer=$(in_host c "$CARAVAN" run demo 'Who are you?' --api 127.0.0.1:8080 --temperature 0 2>/dev/null)
    case $answer in *Caravan*) ;; *) echo "the answer was: $answer"; exit 1 ;; esac
}

mkdir held models-b
cp "$CARAVAN_SOURCE/models/caravan-demo.gguf" held/demo.gguf
cp held/demo.gguf models-b/demo.gguf

both
kill -9 "$b"
if grep -q 'is ready' a.log; then
    echo "all was there before b was killed: the links are too fast for this test"
    exit 1
fi
answered
grep -q 'source 10.79.0.2:7433: ' c.log || { echo "c did not say that it lost b"; exit 1; }
stop

# One byte of each chunk past the first half is wrong, the header is not.
size=$(wc -c <models-b/demo.gguf)
at=$((size / 2))
while [ "$at" -lt "$size" ]; do
    byte=$(od -An -tu1 -j "$at" -N 1 models-b/demo.gguf)
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$(printf '%o' $((byte ^ 1)))" | dd of=models-b/demo.gguf bs=1 seek="$at" conv=notrunc 2>/dev/null
    at=$((at + 1048576))
done
both
answered
grep -q '10.79.0.2:7433 sent chunk .* does not match its hash' c.log || { echo "c did not say that b's bytes are wrong"; exit 1; }
exit 0
