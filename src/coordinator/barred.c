/* SPDX-License-Identifier: MIT
 * See barred.h. */
#include "coordinator/barred.h"

#include <stdio.h>
#include <string.h>

/* Does the trouble pass by itself, or lie between nodes? */
static bool passes(err_code code) {
    switch (code) {
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_PROTOCOL:
    case ERR_STALE:
    case ERR_BUSY:
    case ERR_CANCELLED:
    case ERR_UNAVAILABLE: return true;
    default: return false;
    }
}

static void barred_remove(struct barred *b, uint32_t at) { memmove(&b->list[at], &b->list[at + 1], (--b->n - at) * sizeof(b->list[0])); }

void barred_worked(struct barred *b, uint64_t node) {
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].node == node) barred_remove(b, i--);
}

void barred_failed(struct barred *b, clock_us now, const struct plan_node *node, const struct err *why) {
    struct barred_node x = {.node = node->id};
    if (passes(why->code)) return;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].node == node->id) x = b->list[i];
    barred_worked(b, node->id);
    if (b->n == BARRED_MAX) barred_remove(b, 0); /* replaces the node whose last failure is longest ago */
    snprintf(x.name, sizeof(x.name), "%s", node->name);
    snprintf(x.why, sizeof(x.why), "%.*s", (int)strcspn(why->text, "\n"), why->text);
    x.until = ++x.failures >= BARRED_AFTER ? now + BARRED_US : 0;
    b->list[b->n++] = x;
}

const struct barred_node *barred_find(const struct barred *b, clock_us now, uint64_t node) {
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].node == node && now < b->list[i].until) return &b->list[i];
    return NULL;
}

uint32_t barred_pick(const struct barred *b, clock_us now, const struct plan_node *nodes, uint32_t n, struct plan_node *use) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!barred_find(b, now, nodes[i].id)) use[count++] = nodes[i];
    return count;
}
