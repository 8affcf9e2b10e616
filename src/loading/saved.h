/* SPDX-License-Identifier: MIT
 * The models that this node was asked for by hand, and those that were unloaded, kept in the state folder from one start to the next.
 * Loop thread only; owned by the node. */
#ifndef CARAVAN_LOADING_SAVED_H
#define CARAVAN_LOADING_SAVED_H

#include "catalog/files.h"
#include "coordinator/coordinator.h"
#include "peers/news.h"

/* What saved uses of the node; all of it outlives it. */
struct saved_parts {
    const char *state_dir; /* ending in '/'; NULL: nothing is kept */
    const char *node_name;
    struct coordinator *core;
    struct files *files;
    const struct news *news;
};
struct saved; /* opaque */
/* Reads what this node coordinated before it was started again. It is loaded again unless another node does so by then. */
struct saved *saved_open(const struct saved_parts *parts);
void saved_close(struct saved *s); /* NULL is fine */
void saved_update(struct saved *s); /* writes the file if something has changed */

#endif
