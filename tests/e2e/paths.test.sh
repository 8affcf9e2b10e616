#!/bin/sh
# SPDX-License-Identifier: MIT
# Two machines on two networks, in hosts of a test's own: they are linked by both, and when the network of the link goes down, the other one
# takes over before either machine counts as lost, whether they were told of both addresses or found them; and back again. Needs root.
set -eu
hosts="a b"
subnet=10.84.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge
second_network 10.85.0
# Connections between the two ports by network 10.8N.
by() { in_host a ss -tnH state established | grep ":7433" | grep -c "10\.8$1\." || true; }
both() { [ "$(by 4)" -ge 1 ] && [ "$(by 5)" -ge 1 ]; }
cut() { for h in a b; do in_host net ip link set "$([ "$1" = 4 ] && echo p || echo q)-$h" down; done; }
mend() { for h in a b; do in_host net ip link set "$([ "$1" = 4 ] && echo p || echo q)-$h" up; done; }
host_of_b() { in_host a "$CARAVAN" nodes --json --state-dir "$CARAVAN_TMP/state-a" 2>/dev/null | grep -o '"host":"10\.8[45]' | head -1 | grep -o '[45]$'; }
is_by() { [ "$(host_of_b)" = "$1" ]; }
# The network of the link goes down: the other one takes over.
change_over() {
    was=$(host_of_b)
    other=$((9 - was))
    cut "$was"
    until_true "network 1$other takes over" is_by "$other"
    ! grep -q 'warn .*lost\|is gone' a.log b.log || { echo "not ok: a machine counted as lost"; exit 1; }
    mend "$was"
    until_true "both networks have a link again" both
}

start a
until_true "the first node has a key" test -s state-a/cluster.key
mkdir -p state-b
cp state-a/cluster.key state-b/cluster.key
start b --peer 10.84.0.1 --peer 10.85.0.1
until_true "they are linked" linked a b
until_true "by both networks" both
for log in a b; do : >"$log.log"; done
change_over
change_over
kill "$pid_a" "$pid_b"
wait "$pid_a" "$pid_b" || true

# Found, not told.
unset CARAVAN_NO_DISCOVERY
rm -f state-a/peers.json state-b/peers.json
start a
start b
until_true "they find each other by both networks" both
for log in a b; do : >"$log.log"; done
change_over
