# SPDX-License-Identifier: MIT
# One stream over a network of 20 ms on text that repeats itself, with guesses from that text and without; and on ordinary text, with
# guesses by the model's own layer for multi-token prediction, by a small model, and without.
# shellcheck shell=sh
begin() {
    model 1b
    BIG=$MODEL
    PREDICTS=$WORK/demo-mtp.gguf
    "$BUILD/bin/make-mtp" --model "$TOP/models/caravan-demo.gguf" --layer "$TOP/tests/data/demo-mtp.gguf" --out "$PREDICTS" ||
        fail "cannot make \"$PREDICTS\"" "is the disk full?"
}
# shellcheck disable=SC2034
ordinary() { # NAME STAGES, and the network
    pair=$1 MODEL=$PREDICTS stages=$2
    shift 2
    set -- --stages "$stages" --decode 160 --ask "$TOP/tests/bench/questions.txt" "$@"
    ring "none$pair" "$@"
    ring "own$pair" "$@" --draft 32 --mtp
    ring "small$pair" "$@" --draft 32 --draft-model "$TOP/models/caravan-demo.gguf"
}
# shellcheck disable=SC2034 # lib.sh reads MODEL
both() { # NAME MODEL, and the network
    pair=$1 MODEL=$2
    shift 2
    ring "plain$pair" --stages 2 --decode "$((DECODE * 2))" --repetitive "$@"
    ring "guess$pair" --stages 2 --decode "$((DECODE * 2))" --repetitive --draft 16 "$@"
}
round() {
    both 1b "$BIG" --delay-us 20000 --mbit 100
    both near "$BIG"
    both demo "$TOP/models/caravan-demo.gguf" --delay-us 20000 --mbit 100
    ordinary far 2 --delay-us 20000 --mbit 100
    ordinary near 2
    ordinary one 1
}
report() {
    words "One stream of $((DECODE * 2)) tokens, 2 stages of 1 thread, links of 20 ms one way and 100 Mbit/s. Text that repeats itself: the prompt is a"
    words "phrase of 8 tokens again and again, and a bias keeps the answer to these tokens; their order is the model's own choice, and falls into loops"
    words "that change now and then. With the demo model a trip is nearly all network; with 1b, a position more in a frame costs a core nearly what a"
    words "frame costs, so guesses follow one another in frames of their own, and what is gained is the time that stages would wait."
    words "Ordinary text: six questions to the demo model with a layer for multi-token prediction that was trained for it, greedy, up to 160 tokens each."
    words "The small model (--draft) is the demo model itself, whole: the best guesses that there can be, at the price of the model."
    rates
    rate "1b without guesses" plain1b.decode1
    rate "1b with guesses" guess1b.decode1
    rate "1b, no network, without guesses" plainnear.decode1
    rate "1b, no network, with guesses" guessnear.decode1
    rate "demo model without guesses" plaindemo.decode1
    rate "demo model with guesses" guessdemo.decode1
    rate "ordinary text, without guesses" nonefar.decode1
    rate "ordinary text, the model's own layer" ownfar.decode1
    rate "ordinary text, a small model" smallfar.decode1
    rate "ordinary text, no network, without guesses" nonenear.decode1
    rate "ordinary text, no network, the model's own layer" ownnear.decode1
    rate "ordinary text, one stage, without guesses" noneone.decode1
    rate "ordinary text, one stage, the model's own layer" ownone.decode1
    ratios
    ratio "1b, with guesses against without" guess1b.decode1 plain1b.decode1 3
    ratio "1b, no network, with guesses against without" guessnear.decode1 plainnear.decode1
    ratio "demo model, with guesses against without" guessdemo.decode1 plaindemo.decode1 3
    ratio "ordinary text, the model's own layer against none" ownfar.decode1 nonefar.decode1 1.6
    ratio "ordinary text, a small model against none" smallfar.decode1 nonefar.decode1 1.6
    ratio "ordinary text, no network, the model's own layer against none" ownnear.decode1 nonenear.decode1 0.97
    ratio "ordinary text, no network, a small model against none" smallnear.decode1 nonenear.decode1
    ratio "ordinary text, one stage, the model's own layer against none" ownone.decode1 noneone.decode1 0.97
}
