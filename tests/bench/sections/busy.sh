# SPDX-License-Identifier: MIT
# A machine that does other work too: one and two programs that always want a core, beside one stage with its default threads, and beside
# llama-bench with a thread for each core.
# shellcheck shell=sh
CORES=$(getconf _NPROCESSORS_ONLN)
begin() { model 1b; }

# spin N: starts N programs that always want a core; unspin ends them.
spin() {
    spinners=
    for _ in $(seq "$1"); do
        sh -c 'while :; do :; done' &
        spinners="$spinners $!"
    done
    children="$children $spinners"
}
unspin() {
    for pid in $spinners; do kill "$pid" && wait "$pid" 2>/dev/null || :; done
}
# What a program that could use all cores may expect beside N that use one each, as a part of what it has alone: no program gets more than
# it can use, and none less than the others.
share() { awk -v c="$CORES" -v n="$1" 'BEGIN { each = c / (n + 1); print (c - n * (each < 1 ? each : 1)) / c }'; }

beside() { # spinning programs
    spin "$1"
    ring "caravan$1" --stages 1 --threads 0 --decode "$DECODE" --prefill "$PREFILL"
    THREADS=$CORES peer "llama$1" "$PREFILL" "$DECODE"
    unspin
}
# The last values of caravan0 and llama0 make the expected ones of this round.
expect() { # spinning programs
    for who in caravan llama; do
        for what in decode1 prefill; do
            put "$who$1.$what.share" "$(awk -v name="${who}0.$what" -v share="$(share "$1")" '$1 == name { v = $2 } END { print v * share }' "$VALUES")"
        done
    done
}
round() {
    for n in 0 1 2; do beside "$n"; done
    for n in 1 2; do expect "$n"; done
}
report() {
    words "Model 1b, one stream of $DECODE tokens, and a prompt of $PREFILL. The share: what is left of $CORES cores when no program gets more than it can"
    words "use, and none less than the others."
    rates
    for n in 0 1 2; do
        rate "Caravan, 1 stage, beside $n spinning programs: decode" "caravan$n.decode1"
        rate "llama-bench, $CORES threads, beside $n: decode" "llama$n.decode1"
        rate "Caravan, beside $n: prompt" "caravan$n.prefill"
        rate "llama-bench, beside $n: prompt" "llama$n.prefill"
    done
    ratios
    ratio "alone: Caravan against llama-bench, decode" caravan0.decode1 llama0.decode1 0.95
    for n in 1 2; do
        ratio "beside $n: Caravan against its share of what it does alone, decode" "caravan$n.decode1" "caravan$n.decode1.share" 0.9
        ratio "beside $n: llama-bench against its share, decode" "llama$n.decode1" "llama$n.decode1.share"
        ratio "beside $n: Caravan against its share, prompt" "caravan$n.prefill" "caravan$n.prefill.share" 0.9
        ratio "beside $n: llama-bench against its share, prompt" "llama$n.prefill" "llama$n.prefill.share"
        ratio "beside $n: Caravan against llama-bench, decode" "caravan$n.decode1" "llama$n.decode1" 1
    done
}
