/* SPDX-License-Identifier: MIT
 * The response cache of a gateway: the core (cache.h) with a clock and a store. Loop thread; owned by the gateway. */
#ifndef CARAVAN_CACHE_SERVICE_H
#define CARAVAN_CACHE_SERVICE_H

#include "cache/cache.h"
#include "cache/entry.h"
#include "cache/port.h"
#include "io/loop.h"

struct cache_service; /* opaque */

/* The decision about a request. entry: its answer, valid during the call, and the answer's age. entry NULL: the request has to compute
 * its answer, and ends with cache_service_done or cache_service_leave. */
typedef void (*cache_service_fn)(void *user, const struct entry *entry, int64_t age_s);

/* A request in the cache: embedded in its owner, zeroed. */
struct cache_request {
    struct cache_ticket ticket;
    cache_service_fn fn;
    void *user;
};

struct cache_service *cache_service_create(struct io_loop *loop, const struct cache_limits *limits);
/* The service's store, whose answers go to cache_service_found; the service closes it. Before the first request. */
void cache_service_use(struct cache_service *s, const struct cache_port *port);
void cache_service_found(void *service, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len);
void cache_service_free(struct cache_service *s); /* NULL is fine */

/* fn is called later, or at once, within this call. */
void cache_service_ask(struct cache_service *s, const uint8_t key[CACHE_KEY_SIZE], const struct cache_wish *wish, struct cache_request *r,
                       cache_service_fn fn, void *user);
/* The request's answer is computed. An answer that is too long to be kept is the request's alone: the next one computes. */
void cache_service_done(struct cache_service *s, struct cache_request *r, const struct entry_writer *w, const struct api_usage *usage);
/* The request leaves, at any time; its fn is not called any more. Neither this function nor cache_service_done calls the fn of another
 * request: the loop does that later. */
void cache_service_leave(struct cache_service *s, struct cache_request *r);
size_t cache_service_held(const struct cache_service *s); /* bytes of answers in memory */

#endif
