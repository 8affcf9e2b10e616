#!/bin/sh
# SPDX-License-Identifier: MIT
# Three hosts (network namespaces on a bridge). One link is cut: the node at its other end is suspect and not gone, since the third still hears it. A
# partition: both sides go on serving, and join again when it heals. Garbage on the port does no harm. Needs root.
set -eu
hosts="a b c"
subnet=10.78.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge

# join HOST OPTION...: a node of the one cluster.
join() {
    h=$1
    shift
    start "$h" --threads 1 --ctx 512 --key-file "$CARAVAN_TMP/key" "$@"
}
nodes() { ip netns exec "$ns-$1" "$CARAVAN" nodes --json --state-dir "$CARAVAN_TMP/state-$1" 2>/dev/null || true; }
# sees HOST OTHER STATE: "linked", "suspect", or "gone" (not in its list)
sees() {
    state=$(nodes "$1" | tr -d ' \n' | grep -o "\"name\":\"$2\",\"self\":false,\"state\":\"[a-z]*\"" | sed 's/.*"state":"//; s/"//') || true
    [ "${state:-gone}" = "$3" ]
}
answers() { ip netns exec "$ns-$1" "$CARAVAN" run caravan-demo "Who are you?" --state-dir "$CARAVAN_TMP/state-$1" --max-tokens 8 2>>run.log | grep -q .; }

demo="$CARAVAN_SOURCE/models/caravan-demo.gguf"
join a "$demo"
until_true "there is a key" test -s key
join b --peer 10.78.0.1
join c "$demo" --peer 10.78.0.1
for pair in "a b" "a c" "b c" "c b"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair are linked" sees $pair linked
done

# One link of three.
ip netns exec "$ns-a" ip route add blackhole 10.78.0.3/32
until_true "c is suspect to a" sees a c suspect
sleep 5 # longer than it takes to be given up
sees a c suspect || { echo "not ok: c is no longer suspect to a, though b hears it"; exit 1; }
sees b c linked || { echo "not ok: b lost c"; exit 1; }
ip netns exec "$ns-a" ip route del blackhole 10.78.0.3/32
until_true "a and c are linked again" sees a c linked

# c alone on one side.
ip netns exec "$ns-net" ip link set p-c down
until_true "c is gone for a" sees a c gone
until_true "a is gone for c" sees c a gone
until_true "one side answers" answers a
until_true "and the other" answers c
ip netns exec "$ns-net" ip link set p-c up
for pair in "a c" "b c" "c a"; do
    # shellcheck disable=SC2086
    until_true "$pair are linked when it has healed" sees $pair linked
done

# A peer that sends garbage.
port=$(grep -o '"listen":[0-9]*' state-a/node.json | cut -d: -f2)
ip netns exec "$ns-b" bash -c "exec 3<>/dev/tcp/10.78.0.1/$port; head -c 20000 /dev/urandom >&3; cat <&3 >/dev/null" 2>/dev/null || true
until_true "garbage is refused" grep -q "refused a connection from 10.78.0.2" a.log
sees a b linked && answers a || { echo "not ok: garbage hurt"; exit 1; }
