/* SPDX-License-Identifier: MIT
 * What a client wants of the cache: its header Cache-Control (RFC 9111, section 5.2.1) and its header x-caravan-cache. Pure. */
#ifndef CARAVAN_CACHE_WISH_H
#define CARAVAN_CACHE_WISH_H

#include <stdbool.h>
#include <stdint.h>

struct cache_wish {
    bool look;       /* an answer from the cache will do */
    bool keep;       /* the answer may be kept */
    bool any;        /* also of a request whose answer is drawn at random: x-caravan-cache: any */
    int64_t max_age; /* seconds; INT64_MAX: any age */
};

/* control, own: the headers' values; NULL: there are none. no-store: the cache has no part in the request. no-cache, max-age=0: the
 * answer is computed, and replaces the one that is kept. Directives that nothing here knows are ignored, as the RFC asks. */
struct cache_wish cache_wish_read(const char *control, const char *own);

/* Would the request get the same answer again? Only such an answer is kept, unless the client wants any. */
bool cache_wish_allows(const struct cache_wish *w, float temperature, bool has_seed);

#endif
