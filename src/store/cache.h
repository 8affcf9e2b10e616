/* SPDX-License-Identifier: MIT
 * The store's table of cached answers: bytes under a key, until a time. The table is kept below store_options.cache_size; the answers that
 * were used least recently go first. What the bytes mean is not the store's matter (cache/entry.h). Threads as in store.h. */
#ifndef CARAVAN_STORE_CACHE_H
#define CARAVAN_STORE_CACHE_H

#include <stdbool.h>

#include "store/store.h"

enum { STORE_CACHE_KEY = 32, STORE_CACHE_MAX_WAITING = 32 << 20 };

/* now: seconds since 1970. fn gets the bytes, or ERR_NOT_FOUND: they are not there, or not valid any more. */
struct store_ask *store_cache_get(struct store *s, const uint8_t key[STORE_CACHE_KEY], int64_t now, store_fn fn, void *user);
/* Copies the bytes, which replace those of the same key. There is no answer; a failure is logged. They are dropped if more than
 * STORE_CACHE_MAX_WAITING bytes already wait to be written. */
void store_cache_put(struct store *s, const uint8_t key[STORE_CACHE_KEY], const void *data, size_t len, int64_t now, int64_t expires);

#endif
