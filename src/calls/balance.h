/* SPDX-License-Identifier: MIT
 * Shares requests among the copies of a model: which copy answers the next one (routing/router decides), and how much work each copy has.
 * The work of heads on this node is counted here and told to the linked nodes (BUSY), with what waits in this node's gateway and what its
 * ring links have carried; that of other nodes is what they tell. Loop thread only; owned by the node. */
#ifndef CARAVAN_CALLS_BALANCE_H
#define CARAVAN_CALLS_BALANCE_H

#include "calls/instances.h"
#include "calls/traffic.h"
#include "routing/router.h"
#include "holder/stages.h"
#include "loading/serve.h"
#include "members/ask.h"
#include "members/control.h"
#include "wire/request.h"

/* What the balance uses of the node; all of it outlives it. */
struct balance_parts {
    struct instances instances;
    uint32_t queue; /* requests that may wait for each instance, beside those that it answers */
    struct control *control;
    struct stages *stages;
    struct serve *serve;
    /* Requests that the instance's head, on this node, works on or has queued. */
    size_t (*here)(void *user, const char *instance);
    /* What waits in this node's gateway: at most RECORD_MAX_MODELS queues. *ret_oldest: a number that changes when the first of those that
     * wait is another one. */
    size_t (*waiting)(void *user, struct ask_queue *ret, uint64_t *ret_oldest);
    void *user;
};
struct balance; /* opaque */
struct balance *balance_create(const struct balance_parts *parts);
void balance_free(struct balance *b); /* NULL is fine */
/* Records have changed: forgets the instances that are gone. */
void balance_update(struct balance *b);

/* The ready instance of this model that is to answer. ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_BUSY. request may be NULL. */
err_code balance_pick(struct balance *b, const char *model, const struct router_request *request, const struct record_model **ret,
                      struct err *e);
/* A request was sent to the instance, where it will take as long as is returned; it has ended there, with this code. */
clock_us balance_begin(struct balance *b, const char *instance, const struct router_request *request);
void balance_end(struct balance *b, const char *instance, clock_us predicted, err_code code);
/* The last event of a request that was computed there: its times. */
void balance_learn(struct balance *b, const char *instance, const struct request_event *ev);

/* The requests of an instance, as far as this node knows. */
struct coordinator_work balance_work(struct balance *b, const char *instance);
/* The requests for a model that wait in the gateways of all nodes. */
struct coordinator_queue balance_queue(struct balance *b, const char *model);
/* When the model will be unloaded if nobody asks it anything, in seconds since 1970; INT64_MAX: it stays. */
int64_t balance_expires(struct balance *b, const char *model);

/* What ring links have carried, here and on the linked nodes. Borrowed. */
const struct traffic *balance_traffic(const struct balance *b);

/* Tells the linked nodes how much work the heads here have, if that has changed; after balance_tell_anew in any case, since a node has been
 * linked that may not have heard it. */
void balance_tell(struct balance *b);
void balance_tell_anew(struct balance *b);
/* A BUSY frame from another node. An error means that the frame makes no sense. */
err_code balance_on_busy(struct balance *b, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

#endif
