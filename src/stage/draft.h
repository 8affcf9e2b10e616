/* SPDX-License-Identifier: MIT
 * A small model in the head's process that guesses what the big one will say (--draft): greedy, one sequence for each of the scheduler's
 * slots, with a KV cache of its own that follows each slot's text by the longest common beginning. Over the engine port; it knows no ring.
 * Owner: the compute thread. */
#ifndef CARAVAN_STAGE_DRAFT_H
#define CARAVAN_STAGE_DRAFT_H

#include "base/clock.h"
#include "engine/engine.h"
#include "sched/spec.h"

struct draft; /* opaque */

/* ERR_INVALID: the two models do not have the same vocabulary; the error names a token in which they differ. Engines with fewer or more
 * tokens at the end, which pads theirs, are taken. Takes *small over on success; big is only looked at now. */
err_code draft_create(const struct engine *big, struct engine *small, clock_us (*clock)(void *user), void *user, struct draft **ret,
                      struct err *e);
void draft_free(struct draft *d); /* NULL is fine */
/* What the scheduler asks. A text that is far ahead of the small model's is taken in by and by, a batch at each call, so that nobody waits
 * for it; until then there are no guesses. A small model that fails says so once in the log, and guesses nothing more. */
struct sched_drafter draft_drafter(struct draft *d);

#endif
