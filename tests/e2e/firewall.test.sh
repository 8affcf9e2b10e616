#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine whose firewall lets nobody in, in hosts of a test's own: c links with a, since it dials a, and a cannot connect to it. `nodes`
# and the log say so and name doctor, doctor finds it, and all the same both carry one model: c makes the connections that a needs, of the
# ring in one case and of the weights, which only c has, in the other. Once the firewall is open, a makes its own. Needs root.
set -eu
hosts="a c"
subnet=10.82.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
model="$CARAVAN_SOURCE/models/caravan-demo.gguf"
mkdir held
cp "$model" held/
all_on_bridge
# The firewall of c: packets for the port are dropped before they are delivered. (The rule must stand before that of the local table.)
in_host c ip rule add pref 10 lookup local
in_host c ip rule del pref 0
in_host c ip rule add pref 5 iif e0 ipproto tcp dport 7433 blackhole

nodes() { in_host a "$CARAVAN" nodes --state-dir "$CARAVAN_TMP/state-a" 2>/dev/null >said; }
nodes_say() { nodes && grep -q "$1" said; }
answers() {
    in_host "$1" "$CARAVAN" run caravan-demo "Count to 3" --max-tokens 8 --state-dir "$CARAVAN_TMP/state-$1" >answer 2>&1 && [ -s answer ]
}
divided() {
    until_true "the model is loaded on both" nodes_say 'caravan-demo *ready *2'
    until_true "and answers on a" answers a
    until_true "and on c" answers c
    ! grep -q 'failed: ' a.log c.log || { echo "not ok: a load failed first"; exit 1; }
}
end() {
    kill "$pid_a" "$pid_c"
    wait "$pid_a" "$pid_c" || true
}

# a has the model: the link of the ring from a to c is made by c.
start a --placement 4,4 "$model"
until_true "the first node has a key" test -s state-a/cluster.key
mkdir -p state-c
cp state-a/cluster.key state-c/cluster.key
start c --peer 10.82.0.1
until_true "c is linked with a" linked a c
until_true "nodes says that a cannot connect to c" nodes_say 'a cannot connect to c, which makes the connections between them instead; `caravan doctor` on a says why'
grep -q 'c is linked with this node, but this node cannot connect to it .*caravan doctor' a.log || { echo "not ok: the log"; exit 1; }
in_host a "$CARAVAN" doctor --no-discovery --state-dir "$CARAVAN_TMP/state-a" 10.82.0.2 >said && { echo "not ok: doctor is content"; cat said; exit 1; }
grep -q 'FAIL *connect *no answer: packets are dropped' said || { echo "not ok: doctor"; cat said; exit 1; }
divided
[ "$(in_host a ss -tnH state established | grep -c '10.82.0.2:7433')" = 0 ] || { echo "not ok: a has connected to c"; exit 1; }
end

# c has the model: a fetches its half from there.
rm -f state-a/models.json
ip netns exec "$ns-a" unshare -m sh -c 'mount -t tmpfs none held; exec "$@"' a "$CARAVAN" up --name a --memory 64M --state-dir "$CARAVAN_TMP/state-a" >>a.log 2>&1 &
pids="$pids $!"
pid_a=$!
start c --placement 4,4 --peer 10.82.0.1 held/caravan-demo.gguf
divided
grep -q 'fetching from 10.82.0.2' a.log || { echo "not ok: a had the weights"; exit 1; }

# The firewall is opened.
in_host c ip rule del pref 5
until_true "a finds that c can be reached now" grep -q 'this node can connect to c now' a.log
