/* SPDX-License-Identifier: MIT
 * How far the clock at the other end of a link is ahead, from questions and answers with clock readings (RFC 5905 section 8). Clocks drift
 * apart, so the question is repeated. The error of an estimate is at most half the round trip, plus the drift since; a new answer replaces
 * the estimate if its error is smaller.
 * Sans-I/O: times are arguments. One owner, one thread. */
#ifndef CARAVAN_WIRE_PEER_CLOCK_H
#define CARAVAN_WIRE_PEER_CLOCK_H

#include <stdbool.h>

#include "base/clock.h"

enum {
    PEER_CLOCK_DRIFT_PPM = 100,   /* two quartz clocks, each of 50 */
    PEER_CLOCK_EVERY_US = 900000, /* between two questions */
};

struct peer_clock {
    int64_t offset_us;     /* theirs minus ours */
    clock_us rtt_us;       /* round trip of the answer that gave the offset */
    clock_us measured_at;  /* 0: never */
    clock_us asked_at;     /* the question that waits for its answer; 0: none */
    clock_us last_asked;
    unsigned answers;      /* so far, whether they counted or not */
};

/* Is it time for a question? Never while a question waits for its answer. */
bool peer_clock_is_due(const struct peer_clock *c, clock_us now);
void peer_clock_asked(struct peer_clock *c, clock_us now);
/* The answer to the question of `asked_at` has come. arrived, answered: their clock when the question came and when the answer left. An
 * answer to another question is ignored. */
void peer_clock_answered(struct peer_clock *c, clock_us asked_at, clock_us arrived, clock_us answered, clock_us now);
/* Microseconds from sent_us of their clock to `now` of ours; never negative. */
uint32_t peer_clock_hop_us(const struct peer_clock *c, uint64_t sent_us, clock_us now);

#endif
