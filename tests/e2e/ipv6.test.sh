#!/bin/sh
# SPDX-License-Identifier: MIT
# Networks without IPv4, in hosts of a test's own. a, b, c: IPv6 addresses; d, e, f: link-local ones alone, on interfaces whose names differ
# from host to host. Nodes listen as they do by default, find each other, carry a model in three slices, and fetch each other's weights.
# g: a machine whose IPv6 is off. Join codes hold addresses that others can reach. Needs root.
set -eu
hosts="a b c d e f g h"
subnet=10.81.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
model="$CARAVAN_SOURCE/models/caravan-demo.gguf"

# on_link HOST INTERFACE: link-local addresses only, ready at once.
on_link() {
    ip link add "$2" netns "$ns-$1" type veth peer name "p-$1" netns "$ns-net"
    in_host "$1" sysctl -qw "net.ipv6.conf.$2.accept_dad=0"
    in_host net ip link set "p-$1" master br0 up
    in_host "$1" ip link set "$2" up
}
link_local() { in_host "$1" ip -6 -o addr show dev "$2" scope link | sed -n 's|.*inet6 \([^/ ]*\)/.*|\1|p'; }
has_link_local() { [ -n "$(link_local "$1" "$2")" ]; }
api() { sed -n 's|.*API at http://\(127.0.0.1:[0-9]*\)/v1.*|\1|p' "$1.log" | tail -1; }
ask() { in_host "$1" curl -sS -m 60 "http://$(api "$1")$2" ${3:+-H 'content-type: application/json' -d "$3"}; }
ready() { ask "$1" /caravan/v1/status 2>/dev/null | grep -q '"ready": *true'; }
answers() {
    ask "$1" /v1/completions '{"model":"caravan-demo","prompt":"The","max_tokens":8,"temperature":0}' >answer 2>&1 && grep -q '"finish_reason": *"length"' answer
}
# The stages of the only model, by node.
stages() { ask "$1" /caravan/v1/status | tr ',' '\n' | grep -c '"first_layer"'; }
has_stages() { [ "$(stages "$1")" = "$2" ]; }
stop_all() {
    for h in "$@"; do eval "kill \$pid_$h"; done
    for h in "$@"; do eval "wait \$pid_$h" || true; done
}

# ---- addresses, but none of IPv4 ----
number=0
for h in a b c; do
    number=$((number + 1))
    on_link "$h" e0
    in_host "$h" ip addr add "fd81::$number/64" dev e0 nodad
done
in_host a ip link add docker0 type veth peer name veth0
in_host a ip link set docker0 up
in_host a ip link set veth0 up
in_host a ip addr add 172.17.0.1/16 dev docker0
start a --placement 3,3,2 "$model"
until_true "the first node has a key" test -s state-a/cluster.key
code=$(in_host a "$CARAVAN" invite --state-dir "$CARAVAN_TMP/state-a")
for h in b c; do
    # shellcheck disable=SC2086 # it is a command line
    in_host "$h" "$CARAVAN" ${code#caravan } --state-dir "$CARAVAN_TMP/state-$h" >/dev/null
    grep -q '"fd81::1"' "state-$h/peers.json" || { echo "not ok: the join code lacks the address"; cat "state-$h/peers.json"; exit 1; }
    ! grep -q '172.17\|127.0' "state-$h/peers.json" || { echo "not ok: the join code has an address that is of no use"; exit 1; }
done
start b
start c
for pair in "a b" "b c" "c a"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair are linked over IPv6" linked $pair
done
until_true "three slices are loaded over IPv6" ready a
until_true "there are three" has_stages a 3
until_true "an answer comes" answers a
in_host c "$CARAVAN" doctor --no-discovery --state-dir "$CARAVAN_TMP/state-c" >said || { cat said; exit 1; }
grep -q "All is well" said || { echo "not ok: doctor"; cat said; exit 1; }
in_host c env -u CARAVAN_NO_DISCOVERY "$CARAVAN" doctor --state-dir "$CARAVAN_TMP/state-c" >said || { cat said; exit 1; }
grep -q "multicast *e0: sends and receives" said || { echo "not ok: multicast over IPv6"; cat said; exit 1; }
got=0
in_host c "$CARAVAN" doctor 'fd81::3' --no-discovery --state-dir "$CARAVAN_TMP/state-c" >said || got=$?
[ "$got" = 1 ] && grep -q 'this machine itself' said || { echo "not ok: doctor takes this machine for another one"; cat said; exit 1; }
stop_all a b c

# ---- link-local addresses alone ----
for h in d e f; do
    on_link "$h" "l$h"
    until_true "$h has its link-local address" has_link_local "$h" "l$h"
done
start d --placement 3,3,2 "$model"
until_true "the first node has a key" test -s state-d/cluster.key
code=$(in_host d "$CARAVAN" invite --state-dir "$CARAVAN_TMP/state-d")
for h in e f; do
    # shellcheck disable=SC2086
    in_host "$h" "$CARAVAN" ${code#caravan } --state-dir "$CARAVAN_TMP/state-$h" >/dev/null
    start "$h"
done
for pair in "d e" "e f" "f d"; do
    # shellcheck disable=SC2086
    until_true "$pair are linked over link-local addresses" linked $pair
done
until_true "three slices are loaded over link-local addresses" ready d
until_true "there are three" has_stages d 3
! grep -q 'no sign of life' d.log || { echo "not ok: a stage dialled where nobody is"; exit 1; }
until_true "an answer comes" answers d
stop_all d e f

# ---- no IPv6 ----
for h in g h; do
    in_host "$h" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
done
on_bridge g 7
on_bridge h 8
start g
until_true "the first node has a key" test -s state-g/cluster.key
mkdir -p state-h
cp state-g/cluster.key state-h/cluster.key
start h --peer 10.81.0.7
until_true "machines without IPv6 are linked" linked h g
