/* SPDX-License-Identifier: MIT
 * The node's side of discovery: runs the helper (`caravan discover`, src/members/discover.h) as a child, starts it again with back-off
 * when it ends, and passes on what it finds of this node's own cluster. The helper's death never hurts the node. Loop thread only. */
#ifndef CARAVAN_PEERS_DISCOVERY_H
#define CARAVAN_PEERS_DISCOVERY_H

#include "io/loop.h"
#include "members/discovery_line.h"

struct discovery;
typedef void (*discovery_fn)(void *user, const struct discovery_line *line);
/* self: copied (its interfaces are not: they outlive the discovery). */
struct discovery *discovery_start(struct io_loop *loop, const char *program, const struct discovery_line *self, discovery_fn on_found,
                                  discovery_fn on_gone, void *user);
void discovery_free(struct discovery *d); /* NULL is fine */

#endif
