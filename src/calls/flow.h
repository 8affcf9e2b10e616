/* SPDX-License-Identifier: MIT
 * What the answers that come to this node show of each ring: tokens so far, guesses and those that came true, and where the time of its
 * stages went. Sums since the ring was first seen: who looks twice sees the rate. Live, for `caravan top` and GET /caravan/v1/status; plans
 * learn from plan/learn instead, which takes only requests that ran alone. Loop thread only; owned by calls. */
#ifndef CARAVAN_CALLS_FLOW_H
#define CARAVAN_CALLS_FLOW_H

#include "base/json.h"
#include "wire/request.h"

enum { FLOW_MAX_RINGS = 64 }; /* further ones take the place of the one that was seen first */

struct flow; /* opaque */
struct flow *flow_create(void);
void flow_free(struct flow *f); /* NULL is fine */
/* An event of a request that this instance answers. */
void flow_event(struct flow *f, const char *instance, const struct request_event *ev);
uint64_t flow_tokens(const struct flow *f); /* of all rings, also of those that were forgotten */
/* Adds to the node's state "rings": [{"instance", "tokens", "guesses": {"text", "small", "own": {"made", "right"}},
 * "stages": [{"frames", "compute_us", "wait_us", "hop_us"}]}]. */
void flow_status(const struct flow *f, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
