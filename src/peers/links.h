/* SPDX-License-Identifier: MIT
 * Round trips and throughput between nodes, for the plan: what this node has measured of its own links (plan/probe decides when), and what
 * the records of the others say of theirs; and which of several links with a node is used, if both machines are on several networks.
 * Measurements are kept in the state folder. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_LINKS_H
#define CARAVAN_PEERS_LINKS_H

#include "members/control.h"
#include "peers/news.h"
#include "peers/reach.h"
#include "peers/records.h"
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

/* A link stands since just now: before anything is planned with it. */
void links_linked(struct links *l);
/* busy: requests run here, or this machine is being measured; they have the links for themselves. */
void links_tick(struct links *l, bool busy);
/* The payload of a PROBE or PROBED frame from a node. ERR_PROTOCOL: it makes no sense. */
err_code links_on_probe(struct links *l, uint64_t from, const uint8_t *payload, size_t len, bool busy, struct err *e);
err_code links_on_probed(struct links *l, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
uint64_t links_throughput(const struct links *l, uint64_t to); /* bytes per second; 0: not measured */
/* As reach_of; unknown also while a better link with the node may come, or is being measured. */
enum record_reach links_reached(const struct links *l, uint64_t to);
/* Is the link that is used with a node by now much better than the one to this address of it? */
bool links_outgrown(const struct links *l, uint64_t to, const char *host);
/* For plan_wish.link, with the links as link_user. Times of 0: nothing is known. */
struct plan_link links_between(void *links, uint64_t from, uint64_t to);

#endif
