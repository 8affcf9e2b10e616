/* SPDX-License-Identifier: MIT
 * The table of what upstreams have cost: an amount for each upstream and day (UTC, counted from 1970), in billionths of the owner's
 * currency. What a request may cost at most is added before it is sent, and corrected when its real cost is known, so a crash in between
 * leaves too much in the table, never too little. See store.h for threads. */
#ifndef CARAVAN_STORE_SPEND_H
#define CARAVAN_STORE_SPEND_H

#include "store/store.h"

/* Adds to the amount of a day; more may be negative. There is no answer; a failure is logged. */
void store_spend_add(struct store *s, const char *upstream, int64_t day, int64_t more);
/* The amounts since that day: JSON, [[upstream, day, amount], ...]. */
struct store_ask *store_spend_read(struct store *s, int64_t since, store_fn fn, void *user);

#endif
