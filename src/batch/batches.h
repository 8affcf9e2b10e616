/* SPDX-License-Identifier: MIT
 * The batches of a gateway (/v1/batches): carries out what the core (batch/core.h) says. A line of a batch's input becomes a request from
 * within (http/within.h) on behalf of the key that made the batch, and goes the way that clients' requests go; its answer is a row of the
 * store. Batches that had not come to their end go on after a restart. Loop thread. */
#ifndef CARAVAN_BATCH_BATCHES_H
#define CARAVAN_BATCH_BATCHES_H

#include "batch/uploads.h"

struct batches;

/* Answers the request in x as if a client had sent it. */
typedef void (*batches_ask_fn)(void *user, struct http_exchange *x);

/* The gateway and the files outlive it. Reads the batches that go on. Blocks: for the start. */
struct batches *batches_open(struct gateway *g, struct uploads *f, batches_ask_fn ask, void *user);
/* Asks no more lines; those in flight go on. */
void batches_stop(struct batches *s);
/* Gives all lines in flight up: they are asked again after the next start. NULL is fine. */
void batches_close(struct batches *s);
/* How many batches have not come to their end, and how many of their lines are in flight. */
size_t batches_live(const struct batches *s);
size_t batches_in_flight(const struct batches *s);

/* Makes a batch of a file of this owner that is there; it is to be kept, and then begun. cloud: the request's x-caravan-cloud, NULL: none.
 * NULL: too many batches are live (*e). */
struct batches_job *batches_make(struct batches *s, const char *owner, const struct batch_order *order, const char *cloud, struct err *e);
/* The live batch with this id, if it is this owner's; NULL: none. */
struct batches_job *batches_find(struct batches *s, const char *owner, const char *id);
/* The batch as it is now. */
const struct batch_object *batches_object(struct batches_job *job);
/* Keeps the object in the store; fn as for store_batch_put. */
struct store_ask *batches_keep(struct batches_job *job, store_fn fn, void *user);
/* It is in the store: reads and checks its lines, and then asks them. Or it could not be kept: forgets it. */
void batches_begin(struct batches_job *job);
void batches_drop(struct batches_job *job);
/* ERR_INVALID: it comes to its end already. */
err_code batches_cancel(struct batches_job *job, struct err *e);
/* Does a live batch need this file? */
bool batches_use(const struct batches *s, const char *file);

#endif
