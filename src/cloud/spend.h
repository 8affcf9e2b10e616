/* SPDX-License-Identifier: MIT
 * What upstreams cost, and the caps of a day and a month. A core: the time is an argument, and each change comes out as a row for the
 * store. The most that a request may cost is reserved before it is sent; when it has ended, however it has, the real cost takes the place
 * of the reservation. So the sum of what was spent and what may yet be spent doesn't exceed a cap, however many requests run at once, as
 * long as an upstream counts no more tokens than the request allows. Days and months are UTC's. A node counts what its own gateway has
 * spent. Loop thread. */
#ifndef CARAVAN_CLOUD_SPEND_H
#define CARAVAN_CLOUD_SPEND_H

#include "routing/upstream.h"

struct spend;

/* The cost of a request that runs. */
struct spend_hold {
    bool priced;           /* false: no price is known, and nothing is counted */
    struct upstream_price price; /* its numbers; the model's name isn't kept */
    char upstream[UPSTREAM_MAX_NAME + 1];
    int64_t day;           /* on which it counts, from 1970 */
    uint64_t amount;       /* billionths */
};

/* A change for the store: the amount of that day grows by `more`, which may be negative. */
typedef void (*spend_change_fn)(void *user, const char *upstream, int64_t day, int64_t more);

struct spend *spend_create(spend_change_fn fn, void *user);
void spend_free(struct spend *s); /* NULL is fine */

/* The first day of this time's month; rows since then have to be loaded. */
int64_t spend_first_day(int64_t now_s);
/* Adds the rows of the store (store/spend.h), once. Until then upstreams with a cap get nothing. ERR_FORMAT: they are no such rows. */
err_code spend_load(struct spend *s, const char *rows, size_t len, int64_t now_s, struct err *e);

/* ERR_BUSY: a cap would be exceeded; the error's retry_s says when its day or month ends, if what is spent is in the way. ERR_LIMIT: the
 * request would exceed a cap of which nothing is spent. ERR_UNAVAILABLE: the rows are not loaded; ERR_INVALID: a cap, but no price, or no
 * limit of the answer. Then nothing is reserved. */
err_code spend_reserve(struct spend *s, const struct upstream *u, const char *model, uint64_t most_prompt, uint64_t most_completion,
                       int64_t now_s, struct spend_hold *ret, struct err *e);
/* The request has ended; the hold is empty afterwards. Returns its cost. */
uint64_t spend_settle(struct spend *s, struct spend_hold *hold, uint64_t prompt, uint64_t cached, uint64_t completion);

/* What was spent or is reserved today and this month. */
void spend_totals(const struct spend *s, const char *upstream, int64_t now_s, uint64_t *ret_day, uint64_t *ret_month);

#endif
