#!/bin/sh
# SPDX-License-Identifier: MIT
# Discovery on a network of its own: three hosts (network namespaces on a bridge) find each other without being told; a node of another
# cluster is seen and left alone; the helper's death doesn't hurt; where multicast doesn't get through, --peer does. Needs root.
set -eu
[ "$(id -u)" = 0 ] && command -v ip >/dev/null 2>&1 && ip netns add "cv$$-probe" 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
ip netns del "cv$$-probe"
unset CARAVAN_NO_DISCOVERY
net="cv$$-net"
hosts="a b c d"
pids=

finish() {
    status=$?
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    for h in $hosts; do ip netns del "cv$$-$h" 2>/dev/null || true; done
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
    ip netns add "cv$$-$h"
    ip link add e0 netns "cv$$-$h" type veth peer name "p-$h" netns "$net"
    ip netns exec "$net" ip link set "p-$h" master br0 up
    ip netns exec "cv$$-$h" ip link set lo up
    ip netns exec "cv$$-$h" ip addr add "10.77.0.$number/24" dev e0
    ip netns exec "cv$$-$h" ip link set e0 up
done

# start HOST OPTION...: a node in that host, with the folder state-HOST.
start() {
    h=$1
    shift
    ip netns exec "cv$$-$h" "$CARAVAN" up --name "$h" --memory 64M --state-dir "$CARAVAN_TMP/state-$h" "$@" >>"$h.log" 2>&1 &
    pids="$pids $!"
    eval "pid_$h=$!"
}
# until WHAT SECONDS COMMAND...
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
linked() { grep -q "linked with $2 " "$1.log"; }
helper_of() { ip netns pids "cv$$-$1" | while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' discover ' && echo "$pid"; done || true; }
has_new_helper() { new=$(helper_of a); [ -n "$new" ] && [ "$new" != "$old" ]; }

start a
until_true "the first node has a key" 10 test -s state-a/cluster.key
for h in b c; do
    mkdir -p "state-$h"
    cp state-a/cluster.key "state-$h/cluster.key"
done
start b
start c --interface e0
start d # a cluster of its own
for pair in "a b" "b c" "c a"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair find each other" 20 linked $pair
done
until_true "a node of another cluster is seen" 20 grep -q '"d" at .* is of another cluster' a.log
! grep -q "linked with" d.log || { echo "not ok: d is linked"; exit 1; }

old=$(helper_of a)
kill -SEGV "$old"
until_true "the helper is started again" 15 has_new_helper
kill -0 "$pid_a"
! grep -q "lost" a.log || { echo "not ok: a lost a link"; exit 1; }

# No multicast to or from b: only --peer helps.
kill "$pid_b"
wait "$pid_b" || true
rm state-b/peers.json state-a/peers.json state-c/peers.json
kill "$pid_a" "$pid_c"
wait "$pid_a" || true
wait "$pid_c" || true
rm -f state-a/peers.json state-c/peers.json
ip netns exec "$net" ip link set p-b type bridge_slave mcast_flood off bcast_flood on
ip netns exec "cv$$-b" ip link set e0 multicast off
for h in a b c; do : >"$h.log"; done
start a
start c
until_true "a and c find each other again" 20 linked a c
start b
sleep 4
! grep -q "linked with" b.log || { echo "not ok: b found someone without multicast"; exit 1; }
kill "$pid_b"
wait "$pid_b" || true
start b --peer 10.77.0.1
until_true "with --peer b is in" 20 linked b a
until_true "and meets the others" 20 linked b c
