/* SPDX-License-Identifier: MIT
 * By which kind of network other nodes are reached: wired, Wi-Fi, a VPN, or none since they are on the same machine. For people, who
 * see why a link is slow. Asks the system, and keeps the answer for a minute. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_WAYS_H
#define CARAVAN_PEERS_WAYS_H

#include "io/loop.h"
#include "members/record.h"

struct ways; /* opaque */

struct ways *ways_create(struct io_loop *loop);
void ways_free(struct ways *w); /* NULL is fine */
/* To the node with this address. Unknown where the system doesn't tell. */
enum record_way ways_to(struct ways *w, const char *host);

#endif
