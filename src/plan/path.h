/* SPDX-License-Identifier: MIT
 * Two machines may be on several networks. Which of the ways between them is worth changing to? Pure; any thread. */
#ifndef CARAVAN_PLAN_PATH_H
#define CARAVAN_PLAN_PATH_H

#include "plan/plan.h"

/* Is `a` so much better than `b` that a change pays? Throughput decides; where both have about the same, the round trip does. Only what has
 * been measured counts: a way that has not been is neither better nor worse. */
bool path_better(const struct plan_link *a, const struct plan_link *b);
/* The best of the ways to change to from ways[used]; `used` itself: none is worth it. */
uint32_t path_choose(const struct plan_link *ways, uint32_t n, uint32_t used);

#endif
