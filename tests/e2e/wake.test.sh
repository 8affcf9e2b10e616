#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine of the cluster that is asleep, in hosts of a test's own: it is shown as asleep, `caravan wake` sends a magic packet for its
# network interface, as that host sees, and once it is up its node is linked again. With --wake a model that needs the machine wakes it, and
# is divided between the two. Needs root and node.
set -eu
hosts="a b"
subnet=10.89.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge

# The machine's own part: what its network interface does while it is asleep. It waits for the packet, says so when it has come, and ends.
cat >sleeper.mjs <<'JS'
import dgram from 'node:dgram';
const address = Buffer.from(process.argv[2].replaceAll(':', ''), 'hex');
const wanted = Buffer.concat([Buffer.alloc(6, 0xff), ...Array(16).fill(address)]);
const socket = dgram.createSocket('udp4');
socket.on('message', (packet) => { if (packet.equals(wanted)) { console.log('woken'); process.exit(0); } });
socket.bind(9, () => console.log('asleep'));
JS
mac() { in_host "$1" cat /sys/class/net/e0/address; }
caravan_on_a() { in_host a "$CARAVAN" "$@" --state-dir "$CARAVAN_TMP/state-a"; }
shows() { caravan_on_a nodes 2>/dev/null | grep -qE "^b +.* $1 "; }
sleeps() {
    kill -9 "$pid_b"
    : >asleep
    ip netns exec "$ns-b" node sleeper.mjs "$(mac b)" >asleep 2>&1 &
    pids="$pids $!"
    until_true "the other machine is asleep" grep -q asleep asleep
}

start a
until_true "the first node has a key" test -s state-a/cluster.key
mkdir -p state-b
cp state-a/cluster.key state-b/cluster.key
start b --peer 10.89.0.1
until_true "they are linked" linked a b
until_true "the address is remembered" grep -q "$(mac b | tr -d :)" state-a/peers.json
! caravan_on_a wake b 2>err || { echo "not ok: a machine that is awake was woken"; exit 1; }
grep -q '"b" is awake' err || { echo "not ok: the reason"; cat err; exit 1; }
! caravan_on_a wake nobody 2>err || { echo "not ok: a machine that nobody knows was woken"; exit 1; }
! caravan_on_a wake a 2>err || { echo "not ok: the machine itself was woken"; exit 1; }
grep -q '"a" is this machine, which is awake' err || { echo "not ok: the reason"; cat err; exit 1; }
caravan_on_a wake all | grep -q 'No machine is asleep' || { echo "not ok: wake all"; exit 1; }

for name in b all; do
    sleeps
    until_true "it is shown as asleep" shows asleep
    caravan_on_a wake "$name" || { echo "not ok: wake $name"; exit 1; }
    until_true "the packet has come (wake $name)" grep -q woken asleep
    shows waking || { echo "not ok: it is not shown as waking"; caravan_on_a nodes; exit 1; }
    : >a.log
    start b --peer 10.89.0.1
    until_true "it is linked again" linked a b
    until_true "and shown so" shows linked
done

# A model that is to be divided needs the other machine, and wakes it.
kill -9 "$pid_a"
wait "$pid_a" || true
sleeps
: >a.log
start a --wake --placement 4,4 "$CARAVAN_SOURCE/models/caravan-demo.gguf"
until_true "a model has sent the packet" grep -q woken asleep
grep -q 'has no room on the machines that are awake: waking b' a.log || { echo "not ok: the log"; exit 1; }
waits() { caravan_on_a nodes 2>/dev/null | grep -q 'waits for machines that are being woken: b'; }
until_true "the model says what it waits for" waits
start b --peer 10.89.0.1
is_ready() { caravan_on_a nodes 2>/dev/null | grep -q 'caravan-demo *ready *2'; }
until_true "it runs on both" is_ready
