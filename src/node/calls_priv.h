/* SPDX-License-Identifier: MIT
 * The inside of calls, for calls.c (requests on their way), calls_route.c (where they go), calls_wait.c (those that wait for a
 * model). */
#ifndef CARAVAN_NODE_CALLS_PRIV_H
#define CARAVAN_NODE_CALLS_PRIV_H

#include "base/arena.h"
#include "gateway/router.h"
#include "node/node_priv.h"

enum { CALLS_MAX_MODELS = 4096 };

struct backend_call {
    uint64_t id; /* towards the head: count << SLOT_BITS | slot */
    /* who asked: the gateway here (fn), or another node under its own id */
    backend_event_fn fn;
    backend_text_fn text_fn; /* it asks for tokens, for text, or waits for a model */
    bool tokenizes, back;
    void *user;
    uint64_t from, from_id;
    /* who answers: a child here, or another node */
    struct stage_child *child;
    uint64_t node;
    char instance[ROUTER_MAX_NAME]; /* as the router knows it; "": it doesn't */
    /* while it waits */
    char *waits; /* owned: for this model; NULL: it doesn't */
    clock_us until, asked; /* asked: when it was last asked to be loaded; 0: not yet */
    bool answered;
};

struct calls {
    struct backend_call **slots; /* [n_slots]; NULL: free */
    size_t n_slots, n, n_waiting;
    size_t *free_slots;          /* a stack of [n_free] */
    size_t n_free;
    uint64_t count;
    struct router *router;
    struct backend_model *models; /* [n_models] */
    size_t n_models;
    struct arena *models_text;   /* the strings in models: copies, since records and files change under it; NULL: not made yet */
    uint64_t models_news;        /* models is what it was at this n->news */
    struct buf scratch;
    uint64_t told;               /* what the last BUSY said, as a number that differs when it would */
};

/* ---- calls.c ---- */
/* Puts a call into the table. ERR_BUSY: it is full; the call is freed. */
err_code call_add(struct calls *c, struct backend_call *call, struct err *e);
void call_remove(struct calls *c, struct backend_call *call);
struct backend_call *call_find(const struct calls *c, uint64_t id);

/* ---- calls_route.c ---- */
/* The ready instance of this model that shall answer. ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_BUSY. prefix may be NULL. */
err_code calls_pick(struct node *n, const char *model, const struct router_prefix *prefix, const struct record_model **ret, struct err *e);
/* Is there an instance that can be asked now? */
bool calls_ready(const struct node *n, const char *name);
const struct backend_model *calls_models(void *self, size_t *ret_n);
int64_t calls_expires(void *self, const char *model);

/* ---- calls_wait.c ---- */
err_code calls_await(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e);
void calls_wait_all(struct node *n);

#endif
