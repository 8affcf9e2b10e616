/* SPDX-License-Identifier: MIT
 * A call and the response cache: it may get a kept answer, and its own answer may be kept. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_CACHE_H
#define CARAVAN_REQUESTS_CALL_CACHE_H

#include "requests/call_priv.h"

/* The step LOOKING: asks the cache, where it may have a part in the call. */
err_code call_cache_look(struct call *call, enum call_state *next, struct err *e);
/* The cache has no part in what the present target answers. */
void call_cache_bypass(struct call *call);
bool call_cache_waits(const struct call *call);
/* The answer comes from the cache: nothing was computed for it. */
bool call_cache_hit(const struct call *call);
/* An event of an answer that is computed. */
void call_cache_record(struct call *call, const struct api_event *ev);
/* The answer is complete. fits: it is what the request asks for. */
void call_cache_keep(struct call *call, bool fits);
void call_cache_free(struct call *call);

#endif
