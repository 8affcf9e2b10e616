/* SPDX-License-Identifier: MIT
 * The store's tables of batches (/v1/batches) and of their results. What a batch's JSON means is not the store's matter. A line has one
 * result: the first one that is put stays. Times are seconds since 1970. Threads as in store.h. */
#ifndef CARAVAN_STORE_BATCHES_H
#define CARAVAN_STORE_BATCHES_H

#include <stdbool.h>

#include "store/store.h"

/* Keeps a batch, in place of what was kept of it. live: it has not come to its end. */
struct store_ask *store_batch_put(struct store *s, const char *owner, const char *id, const char *json, bool live, int64_t created,
                                  store_fn fn, void *user);
struct store_ask *store_batch_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
/* A JSON array of batches, the newest first. after: an id, "" from the newest on. */
struct store_ask *store_batch_list(struct store *s, const char *owner, const char *after, int64_t limit, store_fn fn, void *user);
/* All batches that are live, the oldest first: a JSON array of {"owner", "data"}. */
struct store_ask *store_batches_live(struct store *s, store_fn fn, void *user);
/* Forgets batches that were made before that time and have come to their end. */
void store_batch_sweep(struct store *s, int64_t before);

/* Keeps results: a JSON array of [line, failed (0 or 1), text]. Those of a line that has one are dropped. */
struct store_ask *store_results_put(struct store *s, const char *batch, const char *json, store_fn fn, void *user);
/* The lines that have a result: a JSON array of [line, failed]. */
struct store_ask *store_results_done(struct store *s, const char *batch, store_fn fn, void *user);
/* Results behind the line `after` (-1: from the first one on), in the order of their lines: the number of the last of them and a line
 * feed, and then the texts, a line each. "": there are no more. A page ends at STORE_RESULTS_PAGE bytes. */
enum { STORE_RESULTS_PAGE = 256 << 10 };
struct store_ask *store_results_page(struct store *s, const char *batch, bool failed, int64_t after, store_fn fn, void *user);

#endif
