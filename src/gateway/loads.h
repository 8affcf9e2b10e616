/* SPDX-License-Identifier: MIT
 * Loads models for which no request waits: those that the routes file pins, and those whose clients are told to ask again. Predicts from
 * the loads that have ended how long a load takes. The gateway owns it. Loop thread. */
#ifndef CARAVAN_GATEWAY_LOADS_H
#define CARAVAN_GATEWAY_LOADS_H

#include "gateway/backend.h"
#include "io/loop.h"

struct loads; /* opaque */
struct loads *loads_create(struct io_loop *loop, const struct backend *backend); /* both outlive it */
void loads_free(struct loads *l); /* NULL is fine */
/* Has the model loaded, unless that is under way. bytes: of its files; 0: unknown. false: it can't be done now. l may be NULL. */
bool loads_begin(struct loads *l, const char *model, uint64_t bytes);
/* How long a load that is under way will still take, as predicted: at least a second. 0: nobody knows, or none is under way. */
uint32_t loads_left_s(const struct loads *l, const char *model);

#endif
