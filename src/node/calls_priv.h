/* SPDX-License-Identifier: MIT
 * The inside of calls, shared by calls.c (requests on their way), calls_route.c (the choice among instances) and calls_wait.c (requests
 * that wait for a model). */
#ifndef CARAVAN_NODE_CALLS_PRIV_H
#define CARAVAN_NODE_CALLS_PRIV_H

#include "gateway/router.h"
#include "node/calls.h"

struct backend_call {
    uint64_t id; /* towards the head: count << SLOT_BITS | slot */
    /* The asking side: the gateway here (fn or text_fn), or another node, which knows the call as from_id. */
    backend_event_fn fn;
    backend_text_fn text_fn; /* for tokens, for text, or for a model to become ready */
    bool tokenizes, back;    /* a TOKENIZE; back: from tokens to text */
    void *user;
    uint64_t from, from_id;
    /* The answering side: a child here, or another node. */
    struct stage_child *child;
    uint64_t node;
    char instance[ROUTER_MAX_NAME]; /* the router counts the call there; "": it doesn't */
    /* While it waits for a model. */
    char *waits; /* the model's name, owned; NULL: the call does not wait */
    clock_us until, asked; /* asked: when somebody was last asked to load it; 0: not yet */
    bool answered;
};

struct calls {
    struct calls_parts parts;
    struct backend_call **slots; /* [n_slots]; NULL: free */
    size_t n_slots, n, n_waiting;
    size_t *free_slots;          /* a stack of [n_free] */
    size_t n_free;
    uint64_t count;
    struct router *router;
    struct buf scratch;
    uint64_t told;       /* a hash of what the last BUSY said */
    struct io_task look; /* calls that wait look at their models again */
    bool stopping;
};

/* ---- calls.c ---- */
/* Puts a call into the table. ERR_BUSY: it is full; the call is freed. */
err_code calls_add(struct calls *c, struct backend_call *call, struct err *e);
void calls_remove(struct calls *c, struct backend_call *call);
struct backend_call *calls_find(const struct calls *c, uint64_t id);

/* ---- calls_route.c ---- */
/* The ready instance of this model that is to answer. ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_BUSY. prefix may be NULL. */
err_code calls_pick(struct calls *c, const char *model, const struct router_prefix *prefix, const struct record_model **ret, struct err *e);
/* For struct backend. */
int64_t calls_expires(void *calls, const char *model);

/* ---- calls_wait.c ---- */
/* For struct backend. */
err_code calls_await(void *calls, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e);
void calls_wait_all(struct calls *c);

#endif
