# SPDX-License-Identifier: MIT
# Hosts of a test's own, as network namespaces on one bridge; sourced by tests that have set `hosts` (each one's log is HOST.log, shown when
# the test fails) and `subnet` (three numbers of IPv4). All of it goes when the test ends. Needs root, else the test is skipped.
# shellcheck shell=sh disable=SC2154
ns="cv$$"
[ "$(id -u)" = 0 ] && command -v ip >/dev/null 2>&1 && ip netns add "$ns-net" 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
pids=
clean() { :; } # a test may have more to take away

finish() {
    status=$?
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    for h in net $hosts; do ip netns del "$ns-$h" 2>/dev/null || true; done
    clean
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        for h in $hosts; do [ ! -f "$h.log" ] || sed "s/^/$h: /" "$h.log"; done
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

in_host() {
    where=$1
    shift
    ip netns exec "$ns-$where" "$@"
}
# on_bridge HOST NUMBER: it is $subnet.NUMBER there; number_HOST holds the number.
on_bridge() {
    eval "number_$1=$2"
    ip link add e0 netns "$ns-$1" type veth peer name "p-$1" netns "$ns-net"
    in_host net ip link set "p-$1" master br0 up
    in_host "$1" ip addr add "$subnet.$2/24" dev e0
    in_host "$1" ip link set e0 up
}
# all_on_bridge [HOST...]: these hosts, or all of them. The first one is $subnet.1, and so on.
all_on_bridge() {
    # shellcheck disable=SC2086 # the hosts are words
    [ $# -gt 0 ] || set -- $hosts
    last=0
    for h in "$@"; do
        last=$((last + 1))
        on_bridge "$h" "$last"
    done
}
# second_network SUBNET: all hosts are on another bridge too, by e1 (in net: q-HOST).
second_network() {
    in_host net ip link add br1 type bridge mcast_snooping 0
    in_host net ip link set br1 up
    number=0
    for h in $hosts; do
        number=$((number + 1))
        ip link add e1 netns "$ns-$h" type veth peer name "q-$h" netns "$ns-net"
        in_host net ip link set "q-$h" master br1 up
        in_host "$h" sysctl -qw net.ipv6.conf.e0.disable_ipv6=1 net.ipv6.conf.e1.disable_ipv6=1
        in_host "$h" ip addr add "$1.$number/24" dev e1
        in_host "$h" ip link set e1 up
    done
}
in_host net ip link add br0 type bridge mcast_snooping 0
in_host net ip link set br0 up
for h in $hosts; do
    ip netns add "$ns-$h"
    in_host "$h" ip link set lo up
done

# start HOST OPTION...: a node in that host, with the folder state-HOST; its process is pid_HOST.
start() {
    h=$1
    shift
    ip netns exec "$ns-$h" "$CARAVAN" up --name "$h" --memory 64M --state-dir "$CARAVAN_TMP/state-$h" "$@" >>"$h.log" 2>&1 &
    pids="$pids $!"
    eval "pid_$h=$!"
}
# until_true WHAT COMMAND...: the limit is there to end a test that hangs, on the slowest of machines.
until_true() {
    what=$1
    shift
    limit=$(($(date +%s) + 120))
    until "$@"; do
        [ "$(date +%s)" -lt "$limit" ] || { echo "not ok: $what"; exit 1; }
        sleep 0.1
    done
    echo "ok: $what"
}
linked() { grep -q "linked with $2 " "$1.log"; }
