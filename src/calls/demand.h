/* SPDX-License-Identifier: MIT
 * What the gateways of all nodes say of the requests that wait in them for a place at a model. Each node's last word counts; it tells
 * how long its oldest request has waited, and from then on that time goes on. A core: time is an argument. One thread. */
#ifndef CARAVAN_CALLS_DEMAND_H
#define CARAVAN_CALLS_DEMAND_H

#include "coordinator/view.h"
#include "members/ask.h"

struct demand; /* opaque */
struct demand *demand_create(void);
void demand_free(struct demand *d); /* NULL is fine */
/* The node says this instead of what it said before. */
void demand_hear(struct demand *d, clock_us now, uint64_t node, const struct ask_queue *queues, size_t n);
/* Forgets the nodes for which keep(user, node) is false. */
void demand_sweep(struct demand *d, bool (*keep)(void *user, uint64_t node), void *user);
/* All that waits for this model. */
struct coordinator_queue demand_of(const struct demand *d, clock_us now, const char *model);

#endif
