/* SPDX-License-Identifier: MIT
 * What the ring links of all linked nodes have carried, as each node last told of its own (BUSY). A core without time: who looks twice sees
 * the rate. One thread; owned by the balance. */
#ifndef CARAVAN_CALLS_TRAFFIC_H
#define CARAVAN_CALLS_TRAFFIC_H

#include "members/ask.h"

struct traffic; /* opaque */
struct traffic *traffic_create(void);
void traffic_free(struct traffic *t); /* NULL is fine */
/* The node says this instead of what it said before; copied. */
void traffic_hear(struct traffic *t, uint64_t node, const struct ask_link *links, size_t n);
/* Forgets the nodes for which keep(user, node) is false. */
void traffic_sweep(struct traffic *t, bool (*keep)(void *user, uint64_t node), void *user);
/* The link from this stage, which the node holds, to the next one. NULL: nothing was said of it. Valid until the node speaks again. */
const struct ask_link *traffic_find(const struct traffic *t, uint64_t node, const char *instance, uint32_t stage);

#endif
