/* SPDX-License-Identifier: MIT
 * Requests that run through this node: from the gateway here or from another node, to a head stage here or to the node that has one. Every
 * hop gives the request an id of its own; a call is forgotten as soon as it has ended or been cancelled, and an answer that comes for it
 * later is dropped. Implements gateway/backend.h. Loop thread only; owned by the node. */
#ifndef CARAVAN_CALLS_CALLS_H
#define CARAVAN_CALLS_CALLS_H

#include "base/clock.h"
#include "calls/balance.h"
#include "calls/model_list.h"
#include "gateway/backend.h"
#include "holder/stages.h"
#include "loading/serve.h"
#include "members/control.h"

/* How an attempt to load a model ended; model: its name. */
typedef void (*calls_loaded_fn)(void *user, err_code code, const char *model, const struct err *e);

/* What calls asks of the node above it. */
struct calls_callbacks {
    /* Has the model loaded, by whichever node is to load it. done comes later, or at once. */
    void (*load)(void *user, const char *model, calls_loaded_fn done, void *done_user);
    /* As backend.keep, backend.status, backend.listing and backend.count. */
    void (*keep)(void *user, const char *model, int32_t seconds, bool may_unload);
    yyjson_mut_val *(*status)(void *user, yyjson_mut_doc *doc);
    yyjson_mut_val *(*listing)(void *user, yyjson_mut_doc *doc);
    void (*count)(void *user, struct backend_counts *ret); /* without the tokens */
};

/* What calls uses of the node; all of it outlives them. */
struct calls_parts {
    struct instances instances;
    const char *node_name; /* this node's */
    struct io_loop *loop;
    struct control *control;
    struct stages *stages;
    struct serve *serve;
    struct balance *balance; /* chooses the copy of the model */
    struct model_list *models;
    struct calls_callbacks callbacks;
    void *user;
};
struct calls; /* opaque */
struct calls *calls_create(const struct calls_parts *parts);
void calls_free(struct calls *c); /* NULL is fine */
void calls_stop(struct calls *c); /* the node is shutting down: requests no longer wait for models */
/* The port through which the gateway reaches the calls. */
struct backend calls_backend(struct calls *c);

/* Frames from other nodes. An error means that the frame makes no sense; the link is then closed. */
err_code calls_on_submit(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code calls_on_cancel(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code calls_on_tokenize(struct calls *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
/* EVENT and TOKENIZED, from a stage child (child not NULL, node 0) or from another node. */
err_code calls_on_event(struct calls *c, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);
err_code calls_on_tokenized(struct calls *c, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);

/* Ends the requests that heads of this instance were to answer here, with this reason. */
void calls_fail(struct calls *c, const char *instance, const struct err *why);
/* The child, or the node, is gone: requests that it was to answer may be sent elsewhere. What a lost node had asked for is cancelled. */
void calls_child_lost(struct calls *c, struct stage_child *child, const struct err *why);
void calls_node_lost(struct calls *c, uint64_t node, const struct err *why);

/* Adds to the node's state what its requests show of each ring (calls/flow.h). */
void calls_status(const struct calls *c, yyjson_mut_doc *doc, yyjson_mut_val *root);
size_t calls_count(const struct calls *c);
/* Requests that the instance's head, on this node, works on or has queued. */
size_t calls_on_instance(const struct calls *c, const char *instance);

/* The requests that wait here for a model to be loaded: adds them to the list, where the n queues before them are, one for each model.
 * Returns how many there are then, at most max. *oldest: as of struct balance_parts.waiting. */
size_t calls_waiting(const struct calls *c, struct ask_queue *list, size_t n, size_t max, uint64_t *oldest);

/* Records have changed, or time has passed: calls that wait look at their models again. */
void calls_update(struct calls *c);

#endif
