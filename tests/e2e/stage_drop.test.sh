#!/bin/sh
# SPDX-License-Identifier: MIT
# Three hosts hold a ring, a fourth is spare. The frames from one stage to the next get lost, in one direction only, while all nodes still hear one
# another through others. The ring is given up in bounded time, another ring avoids that link, and the answer goes on. Needs root.
set -eu
hosts="a b c d"
subnet=10.79.0
. "$CARAVAN_SOURCE/tests/e2e/lib/hosts.sh"
all_on_bridge

demo="$CARAVAN_SOURCE/models/caravan-demo.gguf"
join() {
    h=$1
    shift
    start "$h" --threads 1 --key-file "$CARAVAN_TMP/key" --exact --log-level debug "$@"
}
answer() {
    ip netns exec "$ns-a" "$CARAVAN" run caravan-demo "Count to 100" --state-dir "$CARAVAN_TMP/state-a" --temperature 0 --max-tokens 200 2>>run.log
}
# holder STAGE: the host that loaded it last
holder() { for h in $hosts; do grep "loading layers .* (stage $1 of" "$h.log" | tail -1 | sed "s/^\\([-0-9]* [0-9:.]*\\).*/\\1 $h/"; done | sort | tail -1 | cut -d' ' -f3; }
ready() { [ "$(grep -c '"caravan-demo" is ready (3 stages)' a.log)" -ge "$1" ]; }

join a "$demo" --ctx 1024 --parallel 2 --placement 3,2,3
until_true "there is a key" test -s key
for h in b c d; do join "$h" --peer 10.79.0.1; done
until_true "the model is ready" ready 1
before=$(grep -c '"caravan-demo" is ready' a.log)
whole=$(answer)
[ -n "$whole" ] || { echo "not ok: no answer"; exit 1; }
middle=$(holder 2) tail=$(holder 3)
echo "ring: $(holder 1) $middle $tail"
eval "lost=\$number_$tail"
ip netns exec "$ns-$middle" ip route add blackhole "10.79.0.$lost/32"
start=$(date +%s)
again=$(answer) || { echo "not ok: the answer ended with an error"; cat run.log; exit 1; }
[ "$again" = "$whole" ] || { echo "not ok: another answer: $again"; exit 1; }
echo "ok: the answer is whole, $(($(date +%s) - start)) s after the link was lost"
ready $((before + 1)) || { echo "not ok: no other ring was made"; exit 1; }
grep -q "no sign of life" a.log || { echo "not ok: the reason is not told"; exit 1; }
case "$(holder 1)$(holder 2)$(holder 3)$(holder 1)" in
*"$middle$tail"*) echo "not ok: the same way again, though there is another" && exit 1 ;;
esac
echo "ok: the other ring: $(holder 1) $(holder 2) $(holder 3)"
