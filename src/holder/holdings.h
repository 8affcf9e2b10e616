/* SPDX-License-Identifier: MIT
 * Which models have their weights on this machine: the files that the weights server serves, what was fetched before (the cache), and what
 * stages are fetching now. Other nodes are told, so that they fetch from here; a node that fetches from here is told who else has the
 * model. Loop thread only; owned by the node. */
#ifndef CARAVAN_HOLDER_HOLDINGS_H
#define CARAVAN_HOLDER_HOLDINGS_H

#include "holder/stages.h"
#include "members/control.h"
#include "peers/news.h"
#include "peers/records.h"
#include "weights/server.h"

/* What holdings uses of the node; all of it outlives them. */
struct holdings_parts {
    struct io_loop *loop;
    const char *cache; /* folder of fetched weights */
    const char *state_dir; /* ending in '/'; NULL: which layers were held is not kept */
    uint64_t cache_limit; /* bytes that it may take; 0: what the disk has */
    struct weights_server *weights;
    struct stages *stages;
    struct control *control;
    const struct records *records;
    struct news *news;
};
struct holdings; /* opaque */
struct holdings *holdings_create(const struct holdings_parts *parts);
void holdings_free(struct holdings *h); /* NULL is fine */
/* Looks through the cache in a thread, if it is time to. */
void holdings_look(struct holdings *h);
/* A stage is ready: its layers are the last that this node held of the model, also after a restart. */
void holdings_held(struct holdings *h, const struct stage_order *order);
/* Adds the models to this node's record. */
void holdings_record(const struct holdings *h, struct record *r);
/* Records have changed: the weights server is told which other nodes have the models that it serves. */
void holdings_sources(const struct holdings *h);

#endif
