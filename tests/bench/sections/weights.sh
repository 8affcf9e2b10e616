# SPDX-License-Identifier: MIT
# Bringing the weights: four hosts with links of 1 Gbit/s, and llama.cpp's RPC that pushes the same model (tests/bench/weights.sh measures).
# shellcheck shell=sh
begin() {
    model 1b
    [ "$(id -u)" = 0 ] && command -v ip >/dev/null && command -v tc >/dev/null || fail "no hosts can be made here" "run it as root, with iproute2"
}
round() {
    status=0
    ROUNDS=1 MODEL="$MODEL" BUILD="$BUILD" CARAVAN_SYSROOT_DIR="${CARAVAN_SYSROOT_DIR:-$TOP/build}" \
        "$TOP/tests/bench/weights.sh" >"$WORK/out.weights" || status=$?
    [ "$status" = 0 ] || fail "the bench of weights ended with status $status" "tests/bench/weights.sh"
    while read -r name value _; do put "$name" "$value"; done <"$WORK/out.weights"
}
report() {
    words "Model 1b ($(($(wc -c <"$MODEL") / 1000000)) MB) on four hosts in network namespaces, each of whose links carries 1 Gbit/s in each direction (tbf); 6, 6, 5"
    words "and 5 layers. From the order to load until the model is ready. RPC: llama-bench's whole run, with one token, from the same host to the other"
    words "three, of which it keeps a quarter too; and once more from its servers' own cache (-c)."
    figures "seconds until the model is ready"
    figure "one host has the file" one " s"
    figure "what its link needs for these bytes, TCP's headers included" one.floor " s"
    figure "two hosts have it" two " s"
    figure "every host has it" all " s"
    figure "a second start, from what was fetched before" again " s"
    figure "llama.cpp RPC, pushed" rpc " s"
    figure "llama.cpp RPC, from its cache" rpc.again " s"
    figures "what the holders sent"
    figure "one host has the file" one.sent " MiB"
    figure "two hosts have it" two.sent " MiB"
    figure "every host has it" all.sent " MiB" 0
    figure "a second start" again.sent " MiB"
    ratios
    ratio "what the holder's link needs against the time with one holder" one.floor one 0.91
    ratio "RPC's push against one holder" rpc one 1
    ratio "one holder against two" one two 2
    ratio "RPC's push against every host having it" rpc all 5
    ratio "RPC's second start against ours" rpc.again again 1
}
