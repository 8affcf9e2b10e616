/* SPDX-License-Identifier: MIT
 * Loading and unloading models, here or by the node that looks after them (ASK, ANSWER), for the admin API and for requests that wait. The
 * coordinator core decides what follows (loading/serve). Loop thread only; owned by the node. */
#ifndef CARAVAN_LOADING_MODELS_H
#define CARAVAN_LOADING_MODELS_H

#include "catalog/catalog.h"
#include "catalog/files.h"
#include "catalog/pulls.h"
#include "loading/names.h"
#include "loading/serve.h"
#include "members/ask.h"
#include "members/control.h"
#include "peers/drain.h"

/* What models uses of the node; all of it outlives them. */
struct models_parts {
    uint64_t self;
    const char *node_name;
    struct coordinator *core;
    struct serve *serve;
    struct catalog *catalog;
    struct files *files;
    struct pulls *pulls;
    struct drain *drain;
    struct names *names;
    const struct records *records;
    struct control *control;
};
struct models; /* opaque */
struct models *models_create(const struct models_parts *parts);
void models_free(struct models *m); /* NULL is fine */
void models_stop(struct models *m); /* the node is shutting down: no model is taken over or kept any more */

/* The next five call done with the result, at once or later from the loop. A name may be the path of a file of this machine. */
typedef catalog_done_fn models_done_fn;
/* This node is to coordinate the model. */
void models_load_here(struct models *m, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
/* How this node would load a model of its models folder now; nothing is loaded. plan: an object of doc (coordinator/preview.h), NULL with
 * an error. doc outlives done. */
typedef void (*models_planned_fn)(void *user, err_code code, yyjson_mut_val *plan, const struct err *e);
void models_plan(struct models *m, const char *name, const struct load_wish *wish, yyjson_mut_doc *doc, models_planned_fn done, void *user);
/* What slices of a model of its models folder would take here, by libllama's own word. n: valid during the call; NULL if that is not
 * known. */
typedef void (*models_sizes_fn)(void *user, const struct needs *n);
void models_sizes(struct models *m, const char *name, const struct load_wish *wish, models_sizes_fn done, void *user);
/* Deletes the model's files from this node's models folder. */
void models_remove_here(struct models *m, const char *name, models_done_fn done, void *user);
/* The node that looks after the model does it, or, for a load, the node that is to. */
void models_load(struct models *m, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
void models_unload(struct models *m, const char *name, models_done_fn done, void *user);
/* The node with this name or id, or this one (NULL or ""), fetches a model from a hub; or ends that (catalog/pulls.h). done hears that it
 * has begun. ERR_NOT_FOUND: no such node is linked. */
void models_pull(struct models *m, const char *node, const char *source, bool drop, models_done_fn done, void *user);
/* The node with this name or id, or this one, gives its layers up and takes no more; or takes layers again. ERR_NOT_FOUND. */
void models_drain(struct models *m, const char *node, bool on, models_done_fn done, void *user);
/* The model's coordinator unloads it when it has been idle for so long; negative: it stays. */
void models_keep(struct models *m, const char *name, int32_t seconds, bool may_unload);

/* A model whose coordinator is gone: loads it here as it was; asks its heir to do so. */
void models_take(struct models *m, const struct orphan *o);
void models_tell_heir(struct models *m, uint64_t heir, const struct orphan *o);
/* Asks the node to unload a copy of the model, which it coordinates, and that `room` allows to leave: this node
 * needs the room. */
void models_ask_room(struct models *m, uint64_t node, const char *name, enum coordinator_room room);
/* Questions to a node that is gone end with an error. */
void models_asks_lost(struct models *m, const struct record *lost);
/* The payload of an ASK or ANSWER frame from a node. An error means that it makes no sense. */
err_code models_on_ask(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code models_on_answer(struct models *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

#endif
