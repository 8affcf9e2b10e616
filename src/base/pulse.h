/* SPDX-License-Identifier: MIT
 * Signs of life. A pulse watches a number that grows while its subject lives, such as bytes received from a peer or steps done by a
 * thread. The owner looks about once a beat; the pulse says how long the number has stood still. The time between two looks counts as
 * one beat at most: if the watcher itself stood still (a suspended machine, a long computation of its own), it blames nobody for the
 * silence. A sans-I/O core; one thread.
 *
 * pulse_step_done counts this process's steps: any thread calls it after each piece of work that must end. */
#ifndef CARAVAN_BASE_PULSE_H
#define CARAVAN_BASE_PULSE_H

#include <stdint.h>

#include "base/clock.h"

struct pulse {
    uint64_t sign;    /* at the last look */
    clock_us looked;  /* the time of the last look; 0: never */
    clock_us still;   /* watched time since the number last grew */
    clock_us longest; /* the longest standstill that was followed by growth */
};

/* One look. Returns how long the number has stood still, in watched time. */
clock_us pulse_look(struct pulse *p, clock_us now, clock_us beat, uint64_t sign);
/* Nothing is expected of the subject now: counting begins anew with the next look. */
void pulse_rest(struct pulse *p);

void pulse_step_done(void);
uint64_t pulse_steps_done(void);

#endif
