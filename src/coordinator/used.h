/* SPDX-License-Identifier: MIT
 * The memory of one node that stages take, in all and on each of its GPUs, and what is left of the node's offer. Values; any thread. */
#ifndef CARAVAN_COORDINATOR_USED_H
#define CARAVAN_COORDINATOR_USED_H

#include "members/record.h"
#include "plan/plan.h"

struct used {
    uint64_t all; /* bytes */
    uint32_t n_on;
    struct engine_used on[PROFILE_MAX_DEVICES]; /* of them, on GPUs */
};
void used_add(struct used *u, uint64_t bytes, const struct engine_used *on, uint32_t n_on);
/* Sets the memory that the node has left, and its devices with what each has left. */
void used_offer(const struct used *u, const struct record *r, struct plan_node *ret);
/* What a planned stage takes on GPUs: at most ENGINE_MAX_USED. Returns how many there are. */
uint32_t used_planned(const struct plan_model *m, const struct plan_node *node, const struct plan_stage *s, struct engine_used *ret);

#endif
