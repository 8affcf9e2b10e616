#!/bin/sh
# SPDX-License-Identifier: MIT
# What docs/howto/containers.md says of networks: two machines (a, b), and two containers (c, d) on a bridge of machine a's own, which routes
# between it and the machines' network. Containers of one bridge find each other; the machines' nodes are not found from there, since no
# multicast is passed on; an address does (--peer, and the code of join). A container with its machine's own network is found as that
# machine is. Needs root.
set -eu
unset CARAVAN_NO_DISCOVERY
hosts="a b c d"
subnet=10.88.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge a b
in_host a ip link add inner type bridge mcast_snooping 0
in_host a ip addr add 10.89.0.1/24 dev inner
in_host a ip link set inner up
number=1
for h in c d; do
    number=$((number + 1))
    ip link add e0 netns "$ns-$h" type veth peer name "in-$h" netns "$ns-a"
    in_host a ip link set "in-$h" master inner up
    in_host "$h" ip addr add "10.89.0.$number/24" dev e0
    in_host "$h" ip link set e0 up
    in_host "$h" ip route add default via 10.89.0.1
done
in_host a sysctl -qw net.ipv4.ip_forward=1
in_host b ip route add 10.89.0.0/24 via 10.88.0.1

start b
until_true "a machine has a key" test -s state-b/cluster.key
for h in a c; do
    mkdir -p "state-$h"
    cp state-b/cluster.key "state-$h/cluster.key"
done
in_host b "$CARAVAN" invite --state-dir "$CARAVAN_TMP/state-b" >invitation
code=$(grep -o 'caravan join [^ ]*' invitation | cut -d' ' -f3)
in_host d "$CARAVAN" join "$code" --state-dir "$CARAVAN_TMP/state-d" >said || { cat invitation said; echo "not ok: join"; exit 1; }
start d
until_true "a container joins by the code, which has the machine's address" linked d b
kill "$pid_b" "$pid_d"
wait "$pid_b" "$pid_d" || true
rm -f state-d/peers.json state-b/peers.json
: >d.log

start b
start c
start d
until_true "containers of one bridge find each other" linked c d
sleep 4 # longer than two nodes of one network ever take to find each other
for h in c d; do ! grep -q "linked with b " $h.log || { echo "not ok: $h found b without an address"; exit 1; }; done
echo "ok: discovery does not leave the bridge"
kill "$pid_c"
wait "$pid_c" || true
start c --peer 10.88.0.2
until_true "with the machine's address they are linked" linked c b
until_true "and the other container hears of it" linked d b

# The machine's own network: as docker run --network host.
kill "$pid_c" "$pid_d"
wait "$pid_c" "$pid_d" || true
rm -f state-a/peers.json state-b/peers.json
kill "$pid_b"
wait "$pid_b" || true
rm -f state-b/peers.json
start b
start a
until_true "on the machine's own network it is found" linked a b
