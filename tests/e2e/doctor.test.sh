#!/bin/sh
# SPDX-License-Identifier: MIT
# `caravan doctor` in hosts of its own (network namespaces on a bridge, one of them behind a router): it finds the reason why two machines
# don't see each other, with each cause made for real, and finds nothing where there is no fault. Needs root.
set -eu
unset CARAVAN_NO_DISCOVERY
hosts="a b c d far router"
subnet=10.79.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
clean() {
    rm -rf "/etc/netns/$ns-a"
    rmdir /etc/netns 2>/dev/null || true
}
all_on_bridge a b c d router
for h in a b c d router; do
    eval "number=\$number_$h"
    in_host "$h" ip addr add "fd79::$number/64" dev e0 nodad
done
# The way to far has a link with a small MTU, and the router's messages (ICMP) do not get through.
ip link add e1 netns "$ns-router" type veth peer name e0 netns "$ns-far"
in_host router ip addr add 10.80.0.1/24 dev e1
in_host router ip link set e1 mtu 1280 up
in_host router sysctl -qw net.ipv4.ip_forward=1
in_host router ip rule add iif lo to 10.79.0.0/24 blackhole
in_host router ip rule add iif lo to 10.80.0.0/24 blackhole
in_host far ip addr add 10.80.0.2/24 dev e0
in_host far ip link set e0 up
in_host far ip route add default via 10.80.0.1
in_host a ip route add 10.80.0.0/24 via 10.79.0.5
mkdir -p "/etc/netns/$ns-a"
printf '127.0.0.1 localhost\n10.79.0.2 beta\nfd79::2 beta\n' >"/etc/netns/$ns-a/hosts"

# doctor HOST STATUS OPTION...: its words go to the file said.
doctor() {
    from=$1
    wanted=$2
    shift 2
    got=0
    in_host "$from" "$CARAVAN" doctor --state-dir "$CARAVAN_TMP/state-$from" "$@" >said 2>&1 || got=$?
    [ "$got" = "$wanted" ] || { echo "not ok: doctor $* ended with $got, not $wanted"; cat said; exit 1; }
}
# says VERDICT CHECK WORDS
says() {
    grep -q "^  $1 *$2 .*$3" said || { echo "not ok: it should say: $1 $2 $3"; cat said; exit 1; }
    echo "ok: $1 $2 $3"
}

doctor a 1 --no-discovery
says FAIL key "in no cluster yet"
says warn node "no node runs here"
[ ! -e state-a ] || { echo "not ok: looking has made a folder"; exit 1; }

start a
until_true "the first node has a key" test -s state-a/cluster.key
for h in b d far; do
    mkdir -p "state-$h"
    cp state-a/cluster.key "state-$h/cluster.key"
done
start b --listen '[::]:7433'
start c # a cluster of its own
start d --no-discovery --peer 10.79.0.1
start far --no-discovery
for pair in "a b" "b a" "a d" "d a"; do
    # shellcheck disable=SC2086 # two words
    until_true "$pair are linked" linked $pair
done

until_true "b has announced itself" grep -q '"b" at .* is of another cluster' c.log
until_true "a remembers b" grep -q '"name":"b"' state-a/peers.json
until_true "far has opened its port" test -s state-far/node.json

# All is well, with b as a remembered node, by its name, and by its IPv6 address.
doctor a 0
says ok node "runs, and listens on \[::\]:7433"
says ok multicast "e0: sends and receives; nodes that answered: .*10.79.0.2"
grep -q '^b (\(10.79.0.2\|\[f[de][78][90]::.*\]\):7433)$' said || { echo "not ok: b is not remembered"; cat said; exit 1; }
says ok frames "32 KiB there and 48 KiB back"
says ok link "linked with it"
doctor a 0 beta
says ok name "10.79.0.2"
says ok name "fd79::2"
says ok discovery "it answers by multicast"
doctor a 0 --no-discovery --peer '[fd79::2]:7433'
grep -q '^\[fd79::2\]:7433$' said || { echo "not ok: the IPv6 address is not looked at"; cat said; exit 1; }
doctor a 0 --no-discovery --json 10.79.0.2
grep -q '"failed":0.*"check":"answer","verdict":"ok"' said || { echo "not ok: JSON"; cat said; exit 1; }

doctor a 1 --no-discovery nowhere.invalid
says FAIL name "cannot find the address"
doctor a 1 --no-discovery 10.79.0.3
says FAIL key "another cluster"
doctor a 1 --no-discovery 10.79.0.2:9
says FAIL connect "refused"
doctor a 1 --no-discovery 10.79.0.99
says FAIL connect "unreachable"
doctor a 1 --no-discovery "127.0.0.1:$(grep -o '"api":[0-9]*' state-a/node.json | cut -d: -f2)"
says FAIL key "no handshake"
in_host c ip route add blackhole 10.79.0.1/32
doctor a 1 --no-discovery 10.79.0.3
says FAIL connect "no answer: packets are dropped"

doctor a 1 --no-discovery 10.80.0.2
says ok answer '"far"'
says FAIL frames "large ones are lost from here to there"
in_host router ip link set e1 mtu 1500
in_host router ip route change 10.79.0.0/24 dev e0 mtu lock 1280
doctor a 1 --no-discovery 10.80.0.2
says FAIL frames "large ones are lost from there to here"
in_host router ip route change 10.79.0.0/24 dev e0
doctor a 1 --no-discovery 10.80.0.2
says ok frames "32 KiB there"
says FAIL link "is not linked with it"

in_host a ip link set e0 multicast off
doctor a 0 10.79.0.2
says warn multicast "e0: has multicast switched off"
doctor a 1 --interface e0 10.79.0.2
says FAIL multicast "e0: has multicast switched off"
in_host a ip link set e0 multicast on
doctor a 1 --interface e7 10.79.0.2
says FAIL multicast "e7: there is no such interface"
doctor a 0 --interface e0 10.79.0.4
says warn discovery "it does not answer by multicast"

in_host a "$CARAVAN" nodes remove d --state-dir "$CARAVAN_TMP/state-a"
doctor d 1 --no-discovery 10.79.0.1
says FAIL answer "was shut out"

chmod 644 state-d/cluster.key
doctor d 1 --no-discovery 10.79.0.1
says FAIL key "state-d/cluster.key"
says ok connect "answers"

# A node that has missed a rotation of the key.
cp state-a/cluster.key old.key
kill "$pid_c"
wait "$pid_c" || true
in_host c ip route del blackhole 10.79.0.1/32
in_host a "$CARAVAN" key rotate --state-dir "$CARAVAN_TMP/state-a"
start c --no-discovery --key-file "$CARAVAN_TMP/old.key" --state-dir "$CARAVAN_TMP/state-old"
until_true "c has started with the old key" test -s state-old/node.json
doctor a 1 --no-discovery 10.79.0.3
says warn key "the one from before the key was rotated"

cp state-c/cluster.key state-a/cluster.key # as `caravan join` leaves it, with the node still running
doctor a 1 --no-discovery
says FAIL node "another key"
