/* SPDX-License-Identifier: MIT
 * See pulse.h. */
#include "base/pulse.h"

#include <stdatomic.h>

static _Atomic uint64_t steps;

clock_us pulse_look(struct pulse *p, clock_us now, clock_us beat, uint64_t sign) {
    clock_us passed = p->looked == 0 ? 0 : now - p->looked;
    clock_us still = p->still + (passed < beat ? passed : beat);
    if (p->looked != 0 && sign != p->sign) {
        if (p->still > p->longest) p->longest = p->still;
        still = 0;
    }
    p->sign = sign;
    p->looked = now;
    p->still = still;
    return still;
}

void pulse_rest(struct pulse *p) {
    p->looked = 0;
    p->still = 0;
}

void pulse_step_done(void) { atomic_fetch_add_explicit(&steps, 1, memory_order_relaxed); }

uint64_t pulse_steps_done(void) { return atomic_load_explicit(&steps, memory_order_relaxed); }
