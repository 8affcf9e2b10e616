/* SPDX-License-Identifier: MIT
 * Can this node connect to the others' ports? A control link stands between two nodes whichever of them dialled it; a ring's link and the
 * fetch of weights need one direction. So this node tries a connection to each linked node, at once and again now and then, closes it,
 * and says in its record what came of it. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_REACH_H
#define CARAVAN_PEERS_REACH_H

#include "members/control.h"
#include "members/record.h"
#include "peers/news.h"

/* What reach uses of the node; all of it outlives it. */
struct reach_parts {
    struct io_loop *loop;
    struct control *control;
    struct news *news;
};
struct reach; /* opaque */
struct reach *reach_create(const struct reach_parts *parts);
void reach_free(struct reach *r); /* NULL is fine */
/* Tries what there is to try; when a link stands, and about twice a second. */
void reach_tick(struct reach *r);
enum record_reach reach_of(const struct reach *r, uint64_t node);

#endif
