#!/bin/sh
# SPDX-License-Identifier: MIT
# Discovery on a network of its own: three hosts (network namespaces on a bridge) find each other without being told; a node of another
# cluster is seen and left alone; the helper's death doesn't hurt; where multicast doesn't get through, --peer does. Needs root.
set -eu
unset CARAVAN_NO_DISCOVERY
hosts="a b c d"
subnet=10.77.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge

helper_of() { ip netns pids "$ns-$1" | while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' discover ' && echo "$pid"; done || true; }
has_new_helper() { new=$(helper_of a); [ -n "$new" ] && [ "$new" != "$old" ]; }

start a
until_true "the first node has a key" test -s state-a/cluster.key
for h in b c; do
    mkdir -p "state-$h"
    cp state-a/cluster.key "state-$h/cluster.key"
done
start b
start c --interface e0
start d # a cluster of its own
for pair in "a b" "b c" "c a"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair find each other" linked $pair
done
until_true "a node of another cluster is seen" grep -q '"d" at .* is of another cluster' a.log
! grep -q "linked with" d.log || { echo "not ok: d is linked"; exit 1; }

old=$(helper_of a)
lost=$(grep -c "lost" a.log) || true # 0 is a failure of grep
kill -SEGV "$old"
until_true "the helper is started again" has_new_helper
kill -0 "$pid_a"
[ "$(grep -c "lost" a.log)" = "$lost" ] || { echo "not ok: a lost a link"; exit 1; }

# No multicast to or from b: only --peer helps.
kill "$pid_b"
wait "$pid_b" || true
rm state-b/peers.json state-a/peers.json state-c/peers.json
kill "$pid_a" "$pid_c"
wait "$pid_a" || true
wait "$pid_c" || true
rm -f state-a/peers.json state-c/peers.json
ip netns exec "$ns-net" ip link set p-b type bridge_slave mcast_flood off bcast_flood on
ip netns exec "$ns-b" ip link set e0 multicast off
for h in a b c; do : >"$h.log"; done
start a
start c
until_true "a and c find each other again" linked a c
start b
sleep 4
! grep -q "linked with" b.log || { echo "not ok: b found someone without multicast"; exit 1; }
kill "$pid_b"
wait "$pid_b" || true
start b --peer 10.77.0.1
until_true "with --peer b is in" linked b a
until_true "and meets the others" linked b c
