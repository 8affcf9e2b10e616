/* SPDX-License-Identifier: MIT
 * Nodes on which loading a model has failed several times for a reason of their own (a full disk, a driver, a damaged file). Plans leave
 * them out for a while. Failures of the network, and those that pass by themselves, do not count. Values; the time is an argument. Any
 * thread. */
#ifndef CARAVAN_COORDINATOR_BARRED_H
#define CARAVAN_COORDINATOR_BARRED_H

#include "base/clock.h"
#include "plan/plan.h"

enum { BARRED_MAX = 16, BARRED_AFTER = 2 /* failures in a row */ };
#define BARRED_US 600000000u /* for so long */

struct barred_node {
    uint64_t node;
    char name[64];
    uint32_t failures; /* in a row */
    clock_us until;    /* 0: not barred */
    char why[160];
};
struct barred {
    struct barred_node list[BARRED_MAX];
    uint32_t n;
};

/* A load has failed on this node, for this reason; or it has worked there. */
void barred_failed(struct barred *b, clock_us now, const struct plan_node *node, const struct err *why);
void barred_worked(struct barred *b, uint64_t node);
/* NULL: the node is not barred now. */
const struct barred_node *barred_find(const struct barred *b, clock_us now, uint64_t node);
/* Copies the nodes that are not barred, in their order; use has n places. Returns how many. */
uint32_t barred_pick(const struct barred *b, clock_us now, const struct plan_node *nodes, uint32_t n, struct plan_node *use);

#endif
