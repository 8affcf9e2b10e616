# SPDX-License-Identifier: MIT
# One stream over a network of 20 ms on text that repeats itself, with guesses from that text and without.
# shellcheck shell=sh
begin() {
    model 1b
}
round() {
    ring plain --stages 2 --decode "$((DECODE * 2))" --repetitive --delay-us 20000 --mbit 100
    ring guess --stages 2 --decode "$((DECODE * 2))" --repetitive --delay-us 20000 --mbit 100 --draft 16
}
report() {
    words "One stream of $((DECODE * 2)) tokens, model 1b, 2 stages of 1 thread, links of 20 ms one way and 100 Mbit/s. The model's weights are random:"
    words "its greedy text falls into repetition, which is what is guessed here."
    rates
    rate "without guesses" plain.decode1
    rate "with guesses, at most 16 ahead" guess.decode1
    ratios
    ratio "with guesses against without" guess.decode1 plain.decode1 3
}
