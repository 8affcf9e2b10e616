#!/bin/sh
# SPDX-License-Identifier: MIT
# Three hosts (network namespaces on a bridge): one link cut, the node behind it is suspect and not gone, since the third still hears it; a
# partition, both sides go on serving, and come together when it heals; garbage on the port hurts nobody. Needs root.
set -eu
[ "$(id -u)" = 0 ] && command -v ip >/dev/null 2>&1 && ip netns add "cp$$-probe" 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
ip netns del "cp$$-probe"
net="cp$$-net"
hosts="a b c"
pids=

finish() {
    status=$?
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    for h in $hosts; do ip netns del "cp$$-$h" 2>/dev/null || true; done
    ip netns del "$net" 2>/dev/null || true
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        for h in $hosts; do [ ! -f "$h.log" ] || sed "s/^/$h: /" "$h.log"; done
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

ip netns add "$net"
ip netns exec "$net" ip link add br0 type bridge mcast_snooping 0
ip netns exec "$net" ip link set br0 up
number=0
for h in $hosts; do
    number=$((number + 1))
    ip netns add "cp$$-$h"
    ip link add e0 netns "cp$$-$h" type veth peer name "p-$h" netns "$net"
    ip netns exec "$net" ip link set "p-$h" master br0 up
    ip netns exec "cp$$-$h" ip link set lo up
    ip netns exec "cp$$-$h" ip addr add "10.78.0.$number/24" dev e0
    ip netns exec "cp$$-$h" ip link set e0 up
done

# start HOST MODEL OPTION...
start() {
    h=$1
    model=$2
    shift 2
    # shellcheck disable=SC2086 # no model: no argument
    ip netns exec "cp$$-$h" "$CARAVAN" up $model --name "$h" --memory 64M --threads 1 --ctx 512 --state-dir "$CARAVAN_TMP/state-$h" \
        --key-file "$CARAVAN_TMP/key" "$@" >>"$h.log" 2>&1 &
    pids="$pids $!"
}
until_true() {
    what=$1
    left=$(($2 * 10))
    shift 2
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "not ok: $what"; exit 1; }
        sleep 0.1
    done
    echo "ok: $what"
}
nodes() { ip netns exec "cp$$-$1" "$CARAVAN" nodes --json --state-dir "$CARAVAN_TMP/state-$1" 2>/dev/null || true; }
# sees HOST OTHER STATE: "linked", "suspect", or "gone" (not in its list)
sees() {
    state=$(nodes "$1" | tr -d ' \n' | grep -o "\"name\":\"$2\",\"self\":false,\"state\":\"[a-z]*\"" | sed 's/.*"state":"//; s/"//') || true
    [ "${state:-gone}" = "$3" ]
}
answers() { ip netns exec "cp$$-$1" "$CARAVAN" run caravan-demo "Who are you?" --state-dir "$CARAVAN_TMP/state-$1" --max-tokens 8 2>>run.log | grep -q .; }

demo="$CARAVAN_SOURCE/models/caravan-demo.gguf"
start a "$demo"
until_true "there is a key" 10 test -s key
start b "" --peer 10.78.0.1
start c "$demo" --peer 10.78.0.1
for pair in "a b" "a c" "b c" "c b"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair are linked" 20 sees $pair linked
done

# One link of three.
ip netns exec "cp$$-a" ip route add blackhole 10.78.0.3/32
until_true "c is suspect to a" 15 sees a c suspect
sleep 5 # longer than it takes to be given up
sees a c suspect || { echo "not ok: c is no longer suspect to a, though b hears it"; exit 1; }
sees b c linked || { echo "not ok: b lost c"; exit 1; }
ip netns exec "cp$$-a" ip route del blackhole 10.78.0.3/32
until_true "a and c are linked again" 20 sees a c linked

# c alone on one side.
ip netns exec "$net" ip link set p-c down
until_true "c is gone for a" 20 sees a c gone
until_true "a is gone for c" 20 sees c a gone
until_true "one side answers" 20 answers a
until_true "and the other" 20 answers c
ip netns exec "$net" ip link set p-c up
for pair in "a c" "b c" "c a"; do
    # shellcheck disable=SC2086
    until_true "$pair are linked when it has healed" 20 sees $pair linked
done

# A peer that speaks nothing that anybody understands.
port=$(grep -o '"listen":[0-9]*' state-a/node.json | cut -d: -f2)
ip netns exec "cp$$-b" bash -c "exec 3<>/dev/tcp/10.78.0.1/$port; head -c 20000 /dev/urandom >&3; cat <&3 >/dev/null" 2>/dev/null || true
until_true "garbage is refused" 10 grep -q "refused a connection from 10.78.0.2" a.log
sees a b linked && answers a || { echo "not ok: garbage hurt"; exit 1; }
