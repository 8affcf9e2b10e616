#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine that was made as a copy of another one, state folder included, in hosts of a test's own: b runs, c has its identity. c is refused
# and told what to do, b is told, `nodes` says so, and b's link is not touched. A node that is started again is not taken for a copy, and c
# with an identity of its own is one more node. Needs root.
set -eu
hosts="a b c"
subnet=10.83.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge
nodes_say() { in_host a "$CARAVAN" nodes --state-dir "$CARAVAN_TMP/state-a" 2>/dev/null | grep -q "$1"; }
links_with() { [ "$(grep -c "linked with $2 " "$1.log")" -ge "$3" ]; }

start a
until_true "the first node has a key" test -s state-a/cluster.key
mkdir -p state-b
cp state-a/cluster.key state-b/cluster.key
start b --peer 10.83.0.1
until_true "b is linked" linked a b
cp -r state-b state-c
rm -f state-c/node.json state-c/admin.key
start c --peer 10.83.0.1
until_true "the copy is told what to do" grep -q 'two machines run as one node: "b" at 10.83.0.2 .*stop the node, remove the file identity' c.log
until_true "the original is told" grep -q "a second machine, at 10.83.0.3, runs with this node's identity (a refuses it)" b.log
until_true "nodes says so" nodes_say 'b runs twice: the machine at 10.83.0.3 has a copy'
! grep -q 'lost b' a.log || { echo "not ok: the original has lost its link"; exit 1; }

# As the hint says.
kill "$pid_c"
wait "$pid_c" || true
rm state-c/identity
start c --peer 10.83.0.1
until_true "with an identity of its own it is in" linked a c

# A node that is killed and started again is no copy, however fast.
: >b.log
kill -9 "$pid_b"
start b --peer 10.83.0.1
until_true "b is linked again" links_with a b 2
! grep -q 'two machines\|second machine' b.log || { echo "not ok: b is taken for a copy"; exit 1; }
