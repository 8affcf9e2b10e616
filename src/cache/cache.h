/* SPDX-License-Identifier: MIT
 * The decisions of the response cache: which request gets a kept answer, which one computes, and which ones wait for it. A core: (now,
 * event) -> actions. It owns no clock, no socket and no store; its owner carries out the actions and reports what came of them.
 *
 * The first request for a key looks into the store, and requests for the same key that come meanwhile wait with it. If the store has no
 * answer, the first of them computes, and the others wait for its answer; if it fails or is left by its client, the next one computes.
 * Answers that were given or computed lately are held in memory, below a size; those used least recently go first.
 *
 * Times are seconds since 1970, since stores are shared and outlive the process. One owner, any thread. */
#ifndef CARAVAN_CACHE_CACHE_H
#define CARAVAN_CACHE_CACHE_H

#include <stddef.h>

#include "base/list.h"
#include "cache/key.h"
#include "cache/wish.h"

struct cache; /* opaque */

struct cache_limits {
    int64_t ttl_s;     /* no answer is given when it is older */
    size_t memory;     /* bytes of answers that are held; 0: none are, the store has all */
};

/* A request in the cache: embedded in its owner and zeroed. It is in the cache from cache_ask until HIT, cache_done or cache_leave. */
struct cache_ticket {
    struct cache_place *place; /* NULL: it is not in the cache. This and the rest are the cache's own */
    struct list link;
    struct cache_wish wish;
    struct cache_bytes *bytes; /* its answer, until it is given */
    bool alone;                /* it computes for itself, and does not look at others */
};

enum cache_action_kind {
    CACHE_LOOK,    /* ask the store for key: cache_found follows */
    CACHE_KEEP,    /* put data into the store under key */
    CACHE_HIT,     /* ticket gets data, `age_s` seconds old. It has left the cache */
    CACHE_COMPUTE, /* ticket has to compute its answer */
};
/* Valid until the next cache_next. */
struct cache_action {
    enum cache_action_kind kind;
    const uint8_t *key;
    struct cache_ticket *ticket;
    const void *data;
    size_t len;
    int64_t created, age_s;
};

struct cache *cache_create(const struct cache_limits *limits);
/* All tickets must have left. NULL is fine. */
void cache_free(struct cache *c);

/* A request comes. What becomes of it comes as an action, perhaps at once. */
void cache_ask(struct cache *c, int64_t now, const uint8_t key[CACHE_KEY_SIZE], const struct cache_wish *wish, struct cache_ticket *t);
/* The store's answer, made at `created`; data NULL: it has none, or cannot be asked. */
void cache_found(struct cache *c, int64_t now, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len, int64_t created);
/* The ticket's answer is computed. data NULL: it is not to be kept. The ticket has left the cache. */
void cache_done(struct cache *c, int64_t now, struct cache_ticket *t, const void *data, size_t len);
/* The request leaves without an answer from the cache, or has no answer to share. Does nothing to a ticket that is not in the cache. */
void cache_leave(struct cache *c, struct cache_ticket *t);

/* Takes the next action; false: there is none. */
bool cache_next(struct cache *c, struct cache_action *ret);

size_t cache_held(const struct cache *c); /* bytes in memory */

#endif
