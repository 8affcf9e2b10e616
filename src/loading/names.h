/* SPDX-License-Identifier: MIT
 * Models' names. In the whole cluster a name stands for one model, that is, one id: where two files have the same name, the model that is
 * loaded keeps it, else the one on the node with the smallest id, and the others get a tag. What people and clients write may differ from a
 * name in ":latest" and in the case of letters. Loop thread only; owned by the node. */
#ifndef CARAVAN_LOADING_NAMES_H
#define CARAVAN_LOADING_NAMES_H

#include <stdbool.h>

#include "loading/serve.h"

/* What names uses of the node; all of it outlives them. */
struct names_parts {
    uint64_t self;
    const struct coordinator *core;
    const struct records *records;
    struct catalog *catalog;
    struct serve *serve;
    const struct news *news;
};
struct names; /* opaque */
struct names *names_create(const struct names_parts *parts);
void names_free(struct names *n); /* NULL is fine */

/* For catalog_events.taken: does another model than the one with this id have the name, on this node or elsewhere? */
bool names_taken(const struct names *n, const char *name, const char *id);
/* Checks the names of this node's models again, if anything has changed. */
void names_review(struct names *n);
/* The name of the model that somebody asks for as `asked` (or by the path of its file); `asked` itself when no model's name fits. The
 * string is in a list that may be replaced: valid until records or files change. */
const char *names_resolve(const struct names *n, const char *asked);

#endif
