/* SPDX-License-Identifier: MIT
 * A circuit breaker: leaves a place alone that fails, for longer after each failure in a row, and then tries it with one request at a time.
 * closed: it works, and everything may go there. open: nothing may, until its pause ends. half open: one request may, as a probe; if that
 * works, the breaker is closed, else it is open again for longer. A core: time is an argument; a value, embedded in its owner's struct. */
#ifndef CARAVAN_ROUTING_BREAKER_H
#define CARAVAN_ROUTING_BREAKER_H

#include "base/clock.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATES };
const char *breaker_state_name(enum breaker_state s); /* "closed", "open", "half-open" */

struct breaker {
    uint32_t allowed;          /* failures in a row before it opens; 1: the first one opens it */
    uint32_t failures;         /* in a row */
    uint32_t running;          /* requests that are there */
    clock_us until;            /* open until then */
};

void breaker_init(struct breaker *b, uint32_t allowed);
enum breaker_state breaker_state(const struct breaker *b, clock_us now);
/* May a request go there now? Half open: only while none is there. */
bool breaker_allows(const struct breaker *b, clock_us now);
/* A request goes there. It ends with one of the three functions below. */
void breaker_begin(struct breaker *b);
void breaker_worked(struct breaker *b);
void breaker_failed(struct breaker *b, clock_us now);
/* The request has ended and says nothing about the place: its client has left, or the request was at fault. */
void breaker_left(struct breaker *b);
/* The place asks to be left alone for so long (Retry-After); longer than a day is a day. */
void breaker_rest(struct breaker *b, clock_us now, clock_us pause);

#endif
