/* SPDX-License-Identifier: MIT
 * Decides which of two nodes unloads a model that both coordinate, because for a while they did not see each other. Each node decides for
 * itself by what it knows of both. As the rules are the same, one of them stays. A pure function. Any thread. */
#ifndef CARAVAN_COORDINATOR_RIVAL_H
#define CARAVAN_COORDINATOR_RIVAL_H

#include <stdbool.h>
#include <stdint.h>

/* A model as one of the nodes coordinates it. */
struct rival {
    uint64_t node;
    bool ready;
    bool pinned;  /* on the command line of that node */
    uint32_t asked; /* when a user asked for it, in seconds since 1970; 0: only requests did */
    bool failed;  /* its load has failed and is not tried again */
    bool stuck;   /* there is no room for it; known of one's own copies only */
};

/* Does `mine` let go for `other`? The caller waits until this has held for longer than news of a change takes to spread (a few seconds),
 * and until a ready copy is idle. Otherwise both might let go. */
bool rival_yields(const struct rival *mine, const struct rival *other);

#endif
