/* SPDX-License-Identifier: MIT
 * The machines of the cluster that are asleep, as far as this node can tell: it has met their nodes, no node hears them now, and it knows
 * hardware addresses by which magic packets may wake them (members/wake). Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_SLEEPERS_H
#define CARAVAN_PEERS_SLEEPERS_H

#include "base/clock.h"
#include "endpoint/server.h"
#include "peers/known.h"
#include "peers/records.h"

/* What sleepers use of the node; all of it outlives them. */
struct sleepers_parts {
    uint64_t self;    /* this node */
    const char *name; /* its name */
    const struct known *known;
    const struct control *control;
    const struct records *records;
};
struct sleeper {
    uint64_t id;
    char name[64];
    uint64_t memory; /* bytes that its node last offered; 0: not known */
    int64_t seen;    /* seconds since 1970 */
    bool waking;     /* a packet was sent within the last two minutes */
};
struct sleepers; /* opaque */
struct sleepers *sleepers_create(const struct sleepers_parts *parts);
void sleepers_free(struct sleepers *s); /* NULL is fine */

void sleepers_linked(struct sleepers *s, uint64_t id); /* a link with the node stands: its machine has come */
size_t sleepers_list(const struct sleepers *s, struct sleeper *ret, size_t max);
/* Sends the packets for one machine. ERR_NOT_FOUND: it is not asleep. ERR_NETWORK: no network takes them. */
err_code sleepers_wake(struct sleepers *s, uint64_t id, struct err *e);
/* For the machine whose node has this name or id. "all": for all that are asleep, if there are any. *ret: for how many. */
err_code sleepers_wake_named(struct sleepers *s, const char *name, size_t *ret, struct err *e);
/* Adds "asleep" to the node's state. */
void sleepers_status(const struct sleepers *s, yyjson_mut_doc *doc, yyjson_mut_val *root);
/* Adds the route POST /caravan/v1/nodes/wake {"name"}. */
void sleepers_route_add(struct sleepers *s, struct endpoint *ep);

#endif
