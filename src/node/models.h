/* SPDX-License-Identifier: MIT
 * Loading and unloading models, here or by the node that looks after them (ASK, ANSWER), for the admin API and for requests that wait. The
 * coordinator core decides what follows (node/serve). Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_MODELS_H
#define CARAVAN_NODE_MODELS_H

#include "members/ask.h"
#include "members/control.h"
#include "node/catalog.h"
#include "node/files.h"
#include "node/names.h"
#include "node/serve.h"

/* What models uses of the node; all of it outlives them. */
struct models_parts {
    uint64_t self;
    const char *node_name;
    struct coordinator *core;
    struct serve *serve;
    struct catalog *catalog;
    struct files *files;
    struct names *names;
    const struct records *records;
    struct control *control;
};
struct models; /* opaque */
struct models *models_create(const struct models_parts *parts);
void models_free(struct models *m); /* NULL is fine */
void models_stop(struct models *m); /* the node is shutting down: no model is taken over or kept any more */

/* The next four call done with the result, at once or later from the loop. A name may be the path of a file of this machine. */
typedef catalog_done_fn models_done_fn;
/* This node is to coordinate the model. */
void models_load_here(struct models *m, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
/* Deletes the model's files from this node's models folder. */
void models_remove_here(struct models *m, const char *name, models_done_fn done, void *user);
/* The node that looks after the model does it, or, for a load, the node that is to. */
void models_load(struct models *m, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
void models_unload(struct models *m, const char *name, models_done_fn done, void *user);
/* The model's coordinator unloads it when it has been idle for so long; negative: it stays. */
void models_keep(struct models *m, const char *name, int32_t seconds);

/* A model whose coordinator is gone: loads it here as it was; asks its heir to do so. */
void models_take(struct models *m, const struct orphan *o);
void models_tell_heir(struct models *m, uint64_t heir, const struct orphan *o);
/* Asks the node to unload a copy of the model, which it coordinates, if that is idle: this node needs the room. */
void models_ask_room(struct models *m, uint64_t node, const char *name);
/* Questions to a node that is gone end with an error. */
void models_asks_lost(struct models *m, const struct record *lost);
/* The payload of an ASK or ANSWER frame from a node. An error means that it makes no sense. */
err_code models_on_ask(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code models_on_answer(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

#endif
