/* SPDX-License-Identifier: MIT
 * Two nodes coordinate the same model, since for a while they didn't see each other: which of them lets go of it. Each node decides for
 * itself by what it knows of both, and both by the same rules, so that one of them stays. A pure function. Any thread. */
#ifndef CARAVAN_MEMBERS_RIVAL_H
#define CARAVAN_MEMBERS_RIVAL_H

#include <stdbool.h>
#include <stdint.h>

/* A model as one of the nodes coordinates it. */
struct rival {
    uint64_t node;
    bool ready;
    bool pinned;  /* on the command line of that node */
    bool failed;  /* nothing is done for it any more */
    bool stuck;   /* there is no room for it. Only told of one's own */
};

/* Does `mine` let go for `other`? What is ready must also be idle, and this must have held for longer than news of a change takes to come
 * (a few seconds): else both might let go, each for what the other no longer is. */
bool rival_yields(const struct rival *mine, const struct rival *other);

#endif
