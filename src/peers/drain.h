/* SPDX-License-Identifier: MIT
 * Is this machine to be emptied? Its record says so, and the coordinators of the cluster do the rest (coordinator/offers, replan). It stays
 * so from one start to the next. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_DRAIN_H
#define CARAVAN_PEERS_DRAIN_H

#include <stdbool.h>

#include "peers/news.h"

struct drain; /* opaque */

/* state_dir: ending in '/'; NULL: nothing is kept. */
struct drain *drain_open(const char *state_dir, struct news *news);
void drain_free(struct drain *d); /* NULL is fine */
bool drain_is_on(const struct drain *d);
void drain_set(struct drain *d, bool on);

#endif
