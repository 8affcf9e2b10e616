/* SPDX-License-Identifier: MIT
 * Signs of life. A pulse watches a number that grows while its subject lives: bytes received from it, steps done by it. It is looked at
 * about once a beat, and says how long the number has stood still. Of the time between two looks one beat counts at most: a watcher that
 * itself stood still (a suspended machine, a long computation of its own) blames nobody for the silence. A sans-I/O core; one thread.
 *
 * pulse_step_done counts this process's steps: any thread calls it whenever something is done that can't go on for ever without it. */
#ifndef CARAVAN_BASE_PULSE_H
#define CARAVAN_BASE_PULSE_H

#include <stdint.h>

#include "base/clock.h"

struct pulse {
    uint64_t sign;    /* at the last look */
    clock_us looked;  /* when that was; 0: never */
    clock_us still;   /* watched time since the number last grew */
    clock_us longest; /* the longest time that it stood still and grew again after */
};

/* One look. Returns how long the number has stood still, in watched time. */
clock_us pulse_look(struct pulse *p, clock_us now, clock_us beat, uint64_t sign);
/* Nothing is expected of the subject now: counting begins anew with the next look. */
void pulse_rest(struct pulse *p);

void pulse_step_done(void);
uint64_t pulse_steps_done(void);

#endif
