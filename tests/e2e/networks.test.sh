#!/bin/sh
# SPDX-License-Identifier: MIT
# Two machines on two networks, one of which is slow, in hosts of a test's own: a ring's links go by the fast one, whichever was told first;
# a ring that was loaded while only the slow one was there moves to the fast one once that is there; when the fast one goes down, the model
# goes on by the slow one. Needs root.
set -eu
hosts="a b"
subnet=10.86.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
model="$CARAVAN_SOURCE/models/caravan-demo.gguf"
all_on_bridge
second_network 10.87.0
for h in $hosts; do
    in_host "$h" tc qdisc add dev e0 root tbf rate 4mbit burst 16kb latency 400ms 2>/dev/null || { echo "skipped: no tbf here"; exit 77; }
done
# Connections of stages between the two hosts by network 10.8N: each of the two dials one.
stages_by() { in_host a ss -tnpH state established | grep 10.8 | grep "10\.8$1\." | grep -cE "pid=($(stage_pids))," || true; }
stage_pids() { ps -o pid= --ppid "$pid_a" | tr -d ' ' | paste -sd '|'; }
ring_by() { [ "$(stages_by "$1")" = 2 ] && [ "$(stages_by "$((13 - $1))")" = 0 ]; }
is_ready() { in_host a "$CARAVAN" nodes --state-dir "$CARAVAN_TMP/state-a" 2>/dev/null | grep -q 'caravan-demo *ready *2'; }
answers() {
    in_host a "$CARAVAN" run caravan-demo "Count to 3" --max-tokens 8 --state-dir "$CARAVAN_TMP/state-a" >answer 2>&1 && [ -s answer ]
}
begin() {
    rm -rf state-a state-b
    : >a.log
    : >b.log
    start a --placement 4,4 "$model"
    until_true "the first node has a key" test -s state-a/cluster.key
    mkdir -p state-b
    cp state-a/cluster.key state-b/cluster.key
    start b "$@"
    until_true "the model is loaded on both" is_ready
}
end() {
    kill "$pid_a" "$pid_b"
    wait "$pid_a" "$pid_b" || true
}

for peers in "10.86.0.1 --peer 10.87.0.1" "10.87.0.1 --peer 10.86.0.1"; do
    # shellcheck disable=SC2086 # two options
    begin --peer $peers
    until_true "its ring is on the fast network (told of $peers)" ring_by 7
    [ "$(grep -c 'loading layers' a.log)" = 1 ] || { echo "not ok: it was loaded twice"; exit 1; }
    end
done

for h in $hosts; do in_host net ip link set "q-$h" down; done
begin --peer 10.86.0.1 --peer 10.87.0.1
until_true "its ring is on the only network" ring_by 6
for h in $hosts; do in_host net ip link set "q-$h" up; done
until_true "the better network is used for the link" grep -q 'b is linked by 10.87.0.2 from now on: .* Mbit/s .* by 10.86.0.2 it is' a.log
until_true "the ring moves there when idle" ring_by 7
grep -q 'would run over a better network between its machines' a.log || { echo "not ok: the log"; exit 1; }
until_true "and is ready" is_ready
for h in $hosts; do in_host net ip link set "q-$h" down; done
until_true "the slow network takes over" ring_by 6
grep -q 'the network by which it reaches the next stage, at 10.87.0.[12], is down' a.log || { echo "not ok: it was found by waiting"; exit 1; }
until_true "the model is ready again" is_ready
until_true "and answers" answers
! grep -qE ' lost [ab]:|[ab] is gone' a.log b.log || { echo "not ok: a machine counted as lost"; exit 1; }
