/* SPDX-License-Identifier: MIT
 * A small model in the head's process that guesses the big model's next tokens (--draft). It is greedy, and has one sequence for each of
 * the scheduler's slots, with a KV cache of its own that follows each slot's text by the longest common beginning. It uses the engine port,
 * and does not know the ring. Owner: the compute thread. */
#ifndef CARAVAN_STAGE_DRAFT_H
#define CARAVAN_STAGE_DRAFT_H

#include "base/clock.h"
#include "engine/engine.h"
#include "sched/spec.h"

struct draft; /* opaque */

/* ERR_INVALID: the two models do not have the same vocabulary; the error names a token in which they differ. The number of tokens may
 * differ a little, since models pad the end of their vocabulary. On success the draft owns *small. It reads `big` only during the call. */
err_code draft_create(const struct engine *big, struct engine *small, clock_us (*clock)(void *user), void *user, struct draft **ret,
                      struct err *e);
void draft_free(struct draft *d); /* NULL is fine */
/* The functions that the scheduler calls. If a text is far ahead of the small model's text, each call reads one more batch, so that no
 * request waits; there are no guesses until the small model has caught up. A small model that fails is logged once, and makes no more
 * guesses. */
struct sched_drafter draft_drafter(struct draft *d);

#endif
