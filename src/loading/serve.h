/* SPDX-License-Identifier: MIT
 * The coordinator core (src/coordinator) in a node: tells it what the node sees, makes the models that it loads out of their files, and
 * carries its actions out over the control links, or here. Loop thread only; owned by the node. */
#ifndef CARAVAN_LOADING_SERVE_H
#define CARAVAN_LOADING_SERVE_H

#include "catalog/files.h"
#include "coordinator/coordinator.h"
#include "engine/params.h"
#include "loading/architectures.h"
#include "loading/learned.h"
#include "loading/sizes.h"
#include "members/control.h"
#include "peers/links.h"
#include "peers/news.h"
#include "peers/records.h"

/* How this node loads models as far as nothing else is said for them; all of it outlives serve. */
struct serve_config {
    const char *placement;
    const char *replan; /* "auto" or "never" */
    const struct engine_load *load;
    const struct stage_options *options;
    uint8_t dtype;     /* hidden states on the wire: enum frame_dtype */
    bool dtype_auto;   /* the plan chooses it */
    const char *draft; /* a small model that guesses for the model of the command line; "": none */
    const char *mmproj; /* the projector of the model of the command line; "": the one beside it */
};

/* What serve asks of the node above it. */
struct serve_callbacks {
    /* Fills in what this node says of itself; *ret is zero before, record_done after. */
    void (*own_record)(void *user, struct record *ret);
    struct coordinator_work (*work)(void *user, const char *instance); /* the requests of an instance, as far as this node knows */
    struct coordinator_queue (*queue)(void *user, const char *model);   /* the requests that wait in all gateways, likewise */
    /* Orders of the core for this node itself. The order may be changed. */
    void (*load)(void *user, struct stage_order *order);
    void (*unload)(void *user, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how);
    /* A model whose coordinator is gone: load it here as it was; ask its heir to do so. */
    void (*take)(void *user, const struct orphan *o);
    void (*tell_heir)(void *user, uint64_t heir, const struct orphan *o);
    /* Ask the node to unload a copy of the model, which it coordinates, if it may leave. */
    void (*ask_room)(void *user, uint64_t node, const char *model, enum coordinator_room room);
    /* The machines that are asleep; returns how many, at most max. NULL: models wake none. And: wake that of a node. */
    size_t (*sleepers)(void *user, struct coordinator_sleeper *ret, size_t max);
    void (*wake)(void *user, uint64_t node);
};

/* What serve uses of the node; all of it outlives serve, but for the core, which is freed first. */
struct serve_parts {
    uint64_t self;
    struct serve_config config;
    struct coordinator *core;
    struct control *control;
    const struct records *records;
    struct learned *learned;
    struct links *links;
    struct architectures *architectures; /* NULL: nothing is probed */
    struct sizes *sizes;   /* NULL: what models take is estimated */
    struct news *news;
    struct weights_server *weights; /* gives adapters to other nodes; NULL: they have them */
    const char *cache;              /* where hashes of adapters are kept; NULL: nowhere */
    struct serve_callbacks callbacks;
    void *user;
};
struct serve; /* opaque */
struct serve *serve_create(const struct serve_parts *parts);
void serve_free(struct serve *s); /* nobody is told; NULL is fine */

/* What the node sees now, for the core. Valid until records change. */
struct coordinator_view serve_view(struct serve *s);
/* Who looks after the model? Pointers are valid until records change. */
bool serve_claimed(struct serve *s, const char *name, struct coordinator_claim *ret);

/* What this node's options say for models for which nothing else is said. */
void serve_own_wish(const struct serve *s, struct load_wish *ret);
/* Loads the model of the file under this name, unless this node does so already. ERR_STALE: it is loaded in another way.
 * ERR_LIMIT, or what is wrong with the wish. */
err_code serve_open(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, struct err *e);
/* Finds out how the model can be cut, and what its slices would take here, for serve_preview; done as of sizes_ask, unless there is an
 * error. */
err_code serve_ask_sizes(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, sizes_done_fn done,
                         void *user, struct err *e);
/* How the model of the file would be loaded now (coordinator/preview.h); nothing is loaded. Errors as of serve_open, and of the plan. */
err_code serve_preview(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, yyjson_mut_doc *doc,
                       yyjson_mut_val **ret, struct err *e);
/* For a model without a file here: ERR_OK if this node has loaded it or is loading it; the wish then counts for it. ERR_NOT_FOUND, without
 * a text: it has not. ERR_STALE: it is loaded in another way. */
err_code serve_again(struct serve *s, const char *name, const struct load_wish *wish, struct err *e);
/* The name of the model that this node has loaded from the file at `path`; NULL: none is. */
const char *serve_name(const struct serve *s, const char *path);
/* The model that this node has loaded as `from` is called `to` from now on. */
void serve_rename(struct serve *s, const char *from, const char *to);
/* Carries out what the core wants. To be called after each event that was given to the core. */
void serve_act(struct serve *s);
/* Records or requests have changed, or time has passed. */
void serve_update(struct serve *s);
/* A stage's report, from a child here (node: our id) or from another node. */
void serve_report(struct serve *s, uint64_t node, const struct stage_report *r);

#endif
