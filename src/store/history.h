/* SPDX-License-Identifier: MIT
 * The store's table of samples over time, for charts. What a row's JSON means is not the store's matter (gateway/history.h). Threads as in
 * store.h. */
#ifndef CARAVAN_STORE_HISTORY_H
#define CARAVAN_STORE_HISTORY_H

#include "store/store.h"

/* Keeps a row, a JSON array, of this step (seconds) and time (seconds since 1970); drops those of the step from before `oldest`. There is
 * no answer; a failure is logged. */
void store_history_put(struct store *s, int64_t step, int64_t time, const char *json);
void store_history_sweep(struct store *s, int64_t step, int64_t oldest);
/* The rows of the step whose times are later than `after`, and the one before them: a JSON array, the oldest first. */
struct store_ask *store_history_list(struct store *s, int64_t step, int64_t after, store_fn fn, void *user);

#endif
