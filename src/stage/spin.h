/* SPDX-License-Identifier: MIT
 * Whether a stage that waits for its next frame keeps looking (spins) or sleeps. Waking a sleeping core costs more than a fast network, and
 * slows the computation right after it. Spinning costs power, and takes the core from other threads. So a stage spins only while the gaps
 * between frames are about as short as its limit. If too much time passes between two looks, other threads use the core, and the stage
 * does not spin for a while. Pure: the caller reads the clock and looks. Owner: the stage's compute thread. */
#ifndef CARAVAN_STAGE_SPIN_H
#define CARAVAN_STAGE_SPIN_H

#include <stdbool.h>

#include "base/clock.h"

struct stage_spin {
    uint32_t limit_us;          /* longest spin; 0: never */
    uint32_t gap_us;            /* running mean of the wait for a frame */
    clock_us off_until;         /* the core was shared: the stage sleeps at once until then */
    clock_us start, last, lost; /* of the present spin: its start, its last look, time that other threads took */
    uint32_t budget_us;
};

/* limit_us: the user's limit. With more computing threads than cores it never spins. */
void stage_spin_init(struct stage_spin *s, uint32_t limit_us, uint32_t threads, uint32_t cores);
/* Waiting begins. */
void stage_spin_begin(struct stage_spin *s, clock_us now);
/* After each look that found nothing: false when it is time to sleep. */
bool stage_spin_more(struct stage_spin *s, clock_us now);
/* The wait is over. frame: a frame of the ring came, so this wait counts for the running mean. */
void stage_spin_end(struct stage_spin *s, clock_us now, bool frame);

/* Whether this machine runs on its battery. `folder`: /sys/class/power_supply on Linux; false if there is no such folder. */
bool stage_spin_on_battery(const char *folder);

#endif
