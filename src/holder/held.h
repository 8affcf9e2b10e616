/* SPDX-License-Identifier: MIT
 * Which layers of which models this node held last: kept in the file held.json of the state folder, so that a model that is loaded again
 * goes where its weights are. Loop thread only. */
#ifndef CARAVAN_HOLDER_HELD_H
#define CARAVAN_HOLDER_HELD_H

#include "members/record.h"

enum { HELD_MAX = 128 }; /* models; the one whose layers changed longest ago is forgotten */

struct held; /* opaque */
/* state_dir: ending in '/'; NULL: nothing is read or written. A file that cannot be read counts as empty, and is said in the log. */
struct held *held_open(const char *state_dir);
void held_close(struct held *h); /* NULL is fine */

/* Layers [first, end) of the model are held. true: that is new, and was written. */
bool held_set(struct held *h, const char *model, uint32_t first, uint32_t end);
/* The layers of the models that changed last, the newest first. Returns how many, at most max. */
uint32_t held_newest(const struct held *h, struct record_held *ret, uint32_t max);

#endif
