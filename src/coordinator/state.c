/* SPDX-License-Identifier: MIT
 * See state.h. */
#include "coordinator/state.h"

#include "base/mem.h"

void coordinator_act(struct coordinator *c, const struct coordinator_action *a) {
    if (c->at_action == c->n_actions) c->at_action = c->n_actions = 0;
    if (c->n_actions == c->cap_actions) {
        c->cap_actions = c->cap_actions ? 2 * c->cap_actions : 16;
        c->actions = mem_realloc(c->actions, c->cap_actions, sizeof(*a));
    }
    c->actions[c->n_actions++] = *a;
}
