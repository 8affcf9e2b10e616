/* SPDX-License-Identifier: MIT
 * In which order requests of the same priority get slots when they come from several keys: by start-time fair queueing (Goyal, Vin and
 * Cheng, 1996). Each request gets a number when it comes: that at which the last request of its key ends, or that of the request that got
 * a slot last, if this is higher. A request ends at its number plus its KV cells. The lowest number has its turn. So each key gets as many
 * cells as the others while their requests wait, and the requests of one key keep their order. A core: no I/O, and no clock. */
#ifndef CARAVAN_SCHED_TURN_H
#define CARAVAN_SCHED_TURN_H

#include <stddef.h>
#include <stdint.h>

struct sched_turn_key {
    uint64_t key, end; /* of its last request */
};
struct sched_turns {
    uint64_t now; /* the number of the request that got a slot last, or the highest one before */
    struct sched_turn_key *keys; /* owned; those whose end is above now */
    size_t n, cap;
};

void sched_turns_done(struct sched_turns *t); /* an empty struct needs no init */
/* The number of a request with so many cells. key 0 is one like the others: requests of nobody. */
uint64_t sched_turns_take(struct sched_turns *t, uint64_t key, uint64_t cells);
/* The request with this number gets its slot. */
void sched_turns_begin(struct sched_turns *t, uint64_t number);
/* Nobody waits: no key owes anything to the others. */
void sched_turns_clear(struct sched_turns *t);

#endif
