#!/bin/sh
# SPDX-License-Identifier: MIT
# A node without the model's file gets the bytes of its slice, and no others, from the node that has the file; and none the second time. So with an adapter. The file is hidden from the second node by a mount namespace of its own.
set -eu
if ! unshare -m true 2>/dev/null; then
    echo "skipped: mount namespaces are not allowed here"
    exit 77
fi
mkdir models
cp "$CARAVAN_SOURCE/models/caravan-demo.gguf" models/demo.gguf
pids=
trap 'for p in $pids; do kill -KILL "$p" 2>/dev/null || :; done' EXIT
fail() { echo "$*"; tail -n 30 ./*.log; exit 1; }

# wait_for FILE PATTERN: until the pattern stands in the file, 2 minutes at most
wait_for() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 2400 ] || fail "no \"$2\" in $1"
        sleep 0.05
    done
}
port() { sed "s/.*\"$2\":\([0-9]*\).*/\1/" "$1.ports"; }

# round NAME PATTERN [OPTION...]: a holder of the files and a node without them; the model cut in two; the answer matches
round() {
    name=$1 pattern=$2
    shift 2
    rm -f ./*.ports
    common="--listen 127.0.0.1:0 --api 127.0.0.1:0 --key-file cluster.key --threads 1 --ctx 256 --parallel 1 --batch 64"
    # shellcheck disable=SC2086 # several options
    "$CARAVAN" up models/demo.gguf --placement 4,4 $common "$@" --name holder --state-dir holder --ready-fd 3 3>holder.ports 2>"holder-$name.log" &
    holder=$!
    pids="$pids $holder"
    wait_for holder.ports api
    # shellcheck disable=SC2086
    unshare -m sh -c 'mount -t tmpfs none models && exec "$@"' sh "$CARAVAN" up --peer "127.0.0.1:$(port holder listen)" $common --name other \
        --state-dir other --ready-fd 3 3>other.ports 2>"other-$name.log" &
    other=$!
    pids="$pids $other"
    wait_for "holder-$name.log" 'is ready'
    answer=$("$CARAVAN" run demo 'Who are you?' --api "127.0.0.1:$(port other api)" --temperature 0 --max-tokens 32 2>/dev/null)
    kill -TERM $other $holder
    wait $other || fail "the second node did not end in order"
    wait $holder || fail "the holder did not end in order"
    case $answer in $pattern) ;; *) fail "the answer was: $answer" ;; esac
}

round first '*Caravan*'
grep -q 'fetching from' other-first.log || fail "the second node did not fetch"
wait_for other-first.log 'weights: fetched'
all=$(wc -c <models/demo.gguf)
held=$(du -k --apparent-size other/weights/*/0.gguf | cut -f1)
stored=$(du -k other/weights/*/0.gguf | cut -f1)
[ "$held" -ge $((all / 1024)) ] || fail "the sparse file is $held KB long"
[ "$stored" -lt $((all / 1024 * 9 / 10)) ] || fail "it holds $stored KB of $((all / 1024)) KB: more than its slice"
round second '*Caravan*'
grep -q 'fetched 0 B' other-second.log || fail "weights crossed the network a second time: $(grep fetched other-second.log)"
# A cache whose chunk map was lost is filled again, not trusted.
rm other/weights/*/0.have
round third '*Caravan*'
grep -q 'fetched 0 B' other-third.log && fail "chunks were taken for granted without their map"
# The part of an adapter is fetched, too: the answer is that of a machine that has everything.
"$CARAVAN_BUILD/bin/make-lora" --model models/demo.gguf --out models/style.gguf
alone() { "$CARAVAN" run models/demo.gguf 'Who are you?' --threads 1 --ctx 256 --temperature 0 --max-tokens 32 "$@" 2>/dev/null; }
plain=$(alone)
styled=$(alone --lora models/style.gguf:2)
[ "$plain" != "$styled" ] || fail "the adapter changes nothing"
round adapter '*' --lora models/style.gguf:2
[ "$answer" = "$styled" ] || fail "with an adapter: $answer, on one machine: $styled"
exit 0
