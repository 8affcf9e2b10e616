#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine whose firewall lets nobody in, in hosts of a test's own: c links with the others, since it dials them, and nobody can connect to
# it. It is in no ring with them, though it was there first; `nodes` and the log say so and name doctor, doctor finds it, and once the
# firewall is open c is used. Needs root.
set -eu
hosts="a b c"
subnet=10.82.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
model="$CARAVAN_SOURCE/models/caravan-demo.gguf"
all_on_bridge
# The firewall of c: what comes in for the port is dropped before it is delivered. (The rule must stand before that of the local table.)
in_host c ip rule add pref 10 lookup local
in_host c ip rule del pref 0
in_host c ip rule add pref 5 iif e0 ipproto tcp dport 7433 blackhole

nodes() { in_host a "$CARAVAN" nodes --state-dir "$CARAVAN_TMP/state-a" 2>/dev/null >said; }
nodes_say() { nodes && grep -q "$1" said; }
stage_on() { grep -q "loading layers" "$1.log"; }

start a --placement 4,4 "$model"
until_true "the first node has a key" 10 test -s state-a/cluster.key
for h in b c; do
    mkdir -p "state-$h"
    cp state-a/cluster.key "state-$h/cluster.key"
done
start c --peer 10.82.0.1
until_true "c is linked with a" 20 linked a c
until_true "nodes says that nobody can connect to c" 20 nodes_say 'a cannot connect to c: no model is divided between them; `caravan doctor` on a says why'
grep -q 'c is linked with this node, but this node cannot connect to it .*caravan doctor' a.log || { echo "not ok: the log"; exit 1; }
until_true "the plan says why c is not used" 10 grep -q 'c can be in no ring with a, since a cannot connect to c: `caravan doctor` on a says why' a.log
in_host a "$CARAVAN" doctor --no-discovery --state-dir "$CARAVAN_TMP/state-a" 10.82.0.3 >said && { echo "not ok: doctor is content"; cat said; exit 1; }
grep -q 'FAIL *connect *no answer: packets are dropped' said || { echo "not ok: doctor"; cat said; exit 1; }

start b --peer 10.82.0.1
until_true "the model is loaded on a and b" 60 nodes_say 'caravan-demo *ready *2'
stage_on b
! stage_on c || { echo "not ok: c was asked to load"; exit 1; }
! grep -q 'failed: ' a.log || { echo "not ok: a load failed first"; exit 1; }

# The firewall is opened, and b goes.
in_host c ip rule del pref 5
until_true "a finds that c can be reached now" 60 grep -q 'this node can connect to c now' a.log
kill "$pid_b"
until_true "c takes b's place" 60 stage_on c
until_true "and the model is there again" 60 nodes_say 'caravan-demo *ready *2'
