/* SPDX-License-Identifier: MIT
 * See rival.h. */
#include "coordinator/rival.h"

bool rival_yields(const struct rival *mine, const struct rival *other) {
    if (other->failed) return false;
    if (mine->pinned && other->pinned) return false;            /* each machine was given it by name: two copies are wanted */
    if (mine->pinned && !(mine->stuck && other->ready)) return false; /* the other node lets go once this one is ready */
    if (mine->asked > other->asked && !other->pinned) return mine->stuck && other->ready; /* as it was asked for last */
    if (mine->asked < other->asked) return other->ready || !mine->ready;
    if (mine->ready != other->ready) return other->ready;
    if (other->pinned) return true;
    return other->node < mine->node;
}
