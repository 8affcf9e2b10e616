/* SPDX-License-Identifier: MIT
 * The store's tables of the gateway's keys and of what was used, by day, key and model. What a key's JSON means is not the store's matter
 * (ledger/key.h). Days are numbers of base/calendar.h, money is in millionths. Threads as in store.h. */
#ifndef CARAVAN_STORE_LEDGER_H
#define CARAVAN_STORE_LEDGER_H

#include "store/store.h"

/* Keeps a key under its id. ERR_IO: it isn't kept. */
struct store_ask *store_key_put(struct store *s, const char *id, const char *hash, const char *json, store_fn fn, void *user);
/* ERR_NOT_FOUND: there is no such key. */
struct store_ask *store_key_drop(struct store *s, const char *id, store_fn fn, void *user);
/* All keys: a JSON array of {"hash": text, "key": the key's JSON}. */
struct store_ask *store_keys(struct store *s, store_fn fn, void *user);

struct store_usage {
    int64_t day;
    const char *key, *model;
    int64_t requests, failed, prompt_tokens, cached_tokens, completion_tokens, money;
    int64_t quota_requests, quota_tokens; /* what counts against the key's quotas */
};
/* Adds to the row of this day, key and model. There is no answer; a failure is logged. */
void store_usage_add(struct store *s, const struct store_usage *more);
/* The rows of these days, both included, the newest day first: a JSON array of objects with the fields of struct store_usage, but
 * those of quotas, and with "removed": the name of a key that is gone, else null. */
struct store_ask *store_usage_list(struct store *s, int64_t first, int64_t last, store_fn fn, void *user);
/* For each key, what it has used of its quotas on the last of these days, and on all of them: a JSON array of
 * {"key", "day_requests", "day_tokens", "day_money", "requests", "tokens", "money"}. */
struct store_ask *store_usage_sums(struct store *s, int64_t first, int64_t last, store_fn fn, void *user);

#endif
