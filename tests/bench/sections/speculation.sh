# SPDX-License-Identifier: MIT
# One stream over a network of 20 ms on text that repeats itself, with guesses from that text and without.
# shellcheck shell=sh
begin() {
    model 1b
    BIG=$MODEL
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
}
report() {
    words "One stream of $((DECODE * 2)) tokens, 2 stages of 1 thread, links of 20 ms one way and 100 Mbit/s. Text that repeats itself: the prompt is a"
    words "phrase of 8 tokens again and again, and a bias keeps the answer to these tokens; their order is the model's own choice, and falls into loops"
    words "that change now and then. With the demo model a trip is nearly all network; with 1b, a position more in a frame costs a core nearly what a"
    words "frame costs, so guesses follow one another in frames of their own, and what is gained is the time that stages would wait."
    rates
    rate "1b without guesses" plain1b.decode1
    rate "1b with guesses" guess1b.decode1
    rate "1b, no network, without guesses" plainnear.decode1
    rate "1b, no network, with guesses" guessnear.decode1
    rate "demo model without guesses" plaindemo.decode1
    rate "demo model with guesses" guessdemo.decode1
    ratios
    ratio "1b, with guesses against without" guess1b.decode1 plain1b.decode1 3
    ratio "1b, no network, with guesses against without" guessnear.decode1 plainnear.decode1
    ratio "demo model, with guesses against without" guessdemo.decode1 plaindemo.decode1 3
}
