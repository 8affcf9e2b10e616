/* SPDX-License-Identifier: MIT
 * The inside of calls, shared by calls.c (requests on their way), calls_wait.c (requests that wait for a model) and calls_backend.c (the
 * gateway's port). */
#ifndef CARAVAN_CALLS_CALLS_PRIV_H
#define CARAVAN_CALLS_CALLS_PRIV_H

#include "calls/calls.h"
#include "calls/flow.h"
#include "calls/sent.h"
#include "stage/tokenize.h"

struct backend_call {
    uint64_t id; /* towards the head: count << SLOT_BITS | slot */
    /* The asking side: the gateway here (fn or text_fn), or another node, which knows the call as from_id. */
    backend_event_fn fn;
    backend_text_fn text_fn; /* for tokens, for text, or for a model to become ready */
    bool tokenizes, back;    /* a TOKENIZE; back: from tokens to text */
    void *user;
    uint64_t from, from_id;
    size_t bytes; /* from another node: what it sent */
    /* The answering side: a child here, or another node. */
    struct stage_child *child;
    uint64_t node;
    clock_us predicted;      /* how long it will take there, as the balance has said */
    char instance[ROUTER_MAX_NAME]; /* the balance counts the call there; "": it doesn't */
    struct buf whole;        /* the request with all bytes of its pictures, until the head has taken it without some of them */
    char (*marks)[REQUEST_MARK_SIZE]; /* [n_marks]; its pictures, until the head has taken them; owned */
    uint32_t n_marks;
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
    struct flow *flow;
    struct sent sent;
    struct buf scratch;
    struct io_task look; /* calls that wait look at their models again */
    bool stopping;
};

/* ---- calls.c ---- */
/* Puts a call into the table. ERR_BUSY: it is full; the call is freed. */
err_code calls_add(struct calls *c, struct backend_call *call, struct err *e);
void calls_remove(struct calls *c, struct backend_call *call);
struct backend_call *calls_find(const struct calls *c, uint64_t id);
/* Sends the request to the node of the instance's head, under the call's own id. Takes the call over: afterwards it is in the table, or, on
 * failure, freed. */
err_code calls_start(struct calls *c, const struct request *r, const char *instance, uint64_t head, struct backend_call *call,
                     struct err *e);
/* As calls_start, for TOKENIZE. */
err_code calls_start_text(struct calls *c, struct tokenize_ask *ask, uint64_t head, struct backend_call *call, struct err *e);
void calls_cancel(struct calls *c, struct backend_call *call);

/* ---- calls_wait.c ---- */
/* For struct backend. */
err_code calls_await(void *calls, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e);

#endif
