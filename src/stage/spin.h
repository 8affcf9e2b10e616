/* SPDX-License-Identifier: MIT
 * Whether a stage that waits for its next frame keeps looking (spins) or sleeps. Waking a sleeping core costs more than a fast network, and
 * slows what is computed right after; spinning costs power, and the time of whoever else wants the core. So a stage spins only while frames
 * come about as fast as it may spin, and stops for a while when it sees that its core is shared: time passes between two looks that it did
 * not spend itself. Pure: the caller brings the clock and does the looking. Owner: the stage's compute thread. */
#ifndef CARAVAN_STAGE_SPIN_H
#define CARAVAN_STAGE_SPIN_H

#include <stdbool.h>

#include "base/clock.h"

struct stage_spin {
    uint32_t limit_us;          /* longest spin; 0: never */
    uint32_t gap_us;            /* running mean of how long a frame is waited for */
    clock_us off_until;         /* the core was shared: until then it sleeps at once */
    clock_us start, last, lost; /* of the spin that runs: its begin, the last look, time that others took */
    uint32_t budget_us;
};

/* limit_us as the user allows it. With more computing threads than cores it never spins. */
void stage_spin_init(struct stage_spin *s, uint32_t limit_us, uint32_t threads, uint32_t cores);
/* Waiting begins. */
void stage_spin_begin(struct stage_spin *s, clock_us now);
/* After each look that found nothing: false when it is time to sleep. */
bool stage_spin_more(struct stage_spin *s, clock_us now);
/* What was waited for is there; frame: it was one of the ring, which tells how long the next will be waited for. */
void stage_spin_end(struct stage_spin *s, clock_us now, bool frame);

/* Whether this machine runs on its battery; `folder`: /sys/class/power_supply (Linux), else there is none and it does not. */
bool stage_spin_on_battery(const char *folder);

#endif
