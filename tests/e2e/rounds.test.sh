#!/bin/sh
# SPDX-License-Identifier: MIT
# Rounds of faults on a real cluster, in hosts of a test's own: lib/rounds.mjs kills, stops and cuts off while answers are streamed through the
# host g, which itself is never ended. CARAVAN_SEED and CARAVAN_ROUNDS repeat and lengthen a run. Needs root.
set -eu
hosts="a b c g"
subnet=10.88.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
command -v node >/dev/null 2>&1 || { echo "skipped: no node on this machine"; exit 77; }
all_on_bridge
in_host net ip addr add "$subnet.100/24" dev br0
in_host net ip link set lo up
export CARAVAN_HOSTS="$ns" CARAVAN_SUBNET="$subnet"
in_host net node "$CARAVAN_SOURCE/tests/e2e/lib/rounds.mjs"
