/* SPDX-License-Identifier: MIT
 * Round trips and throughput between nodes, for the plan: what this node has measured of its own links (plan/probe decides when), and what
 * the records of the others say of theirs. Measurements are kept in the state folder. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_LINKS_H
#define CARAVAN_NODE_LINKS_H

#include "members/control.h"
#include "node/news.h"
#include "node/reach.h"
#include "node/records.h"
#include "plan/plan.h"

/* What links uses of the node; all of it outlives them. */
struct links_parts {
    uint64_t self;         /* this node's id */
    const char *state_dir; /* ending in '/'; NULL: nothing is measured or kept */
    struct control *control;
    const struct reach *reach;
    const struct records *records;
    struct news *news;
};
struct links; /* opaque */
struct links *links_create(const struct links_parts *parts);
void links_free(struct links *l); /* NULL is fine */

/* busy: requests run here, or this machine is being measured; they have the links for themselves. */
void links_tick(struct links *l, bool busy);
/* The payload of a PROBE or PROBED frame from a node. ERR_PROTOCOL: it makes no sense. */
err_code links_on_probe(struct links *l, uint64_t from, const uint8_t *payload, size_t len, bool busy, struct err *e);
err_code links_on_probed(struct links *l, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
uint64_t links_throughput(const struct links *l, uint64_t to); /* bytes per second; 0: not measured */
/* For plan_wish.link, with the links as link_user. Times of 0: nothing is known. */
struct plan_link links_between(void *links, uint64_t from, uint64_t to);

#endif
