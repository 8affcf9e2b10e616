/* SPDX-License-Identifier: MIT
 * Which nodes can be stages of one ring. Every stage connects to the next one, so a machine whose firewall keeps other machines out
 * can't be in a ring with them. The node that can't connect to most others is left out first, until all the rest can connect to each
 * other. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "plan/plan_priv.h"

static enum plan_reach connect_reach(const struct plan_node *nodes, const struct plan_wish *w, uint32_t from, uint32_t to) {
    if (from == to || w->link == NULL) return PLAN_REACHES;
    return w->link(w->link_user, nodes[from].id, nodes[to].id).reach;
}

/* How many connections with the nodes that are still in, in both directions, can't be made. */
static uint32_t connect_missing(const struct plan_node *nodes, uint32_t n, const struct plan_wish *w, const bool *out, uint32_t i) {
    uint32_t missing = 0;
    for (uint32_t k = 0; k < n; k++)
        if (!out[k]) missing += (connect_reach(nodes, w, i, k) != PLAN_REACHES) + (connect_reach(nodes, w, k, i) != PLAN_REACHES);
    return missing;
}

uint32_t plan_connect_pick(const struct plan_node *nodes, uint32_t n, const struct plan_wish *w, uint32_t *index) {
    bool *out = mem_calloc(n, sizeof(*out));
    uint32_t *missing = mem_calloc(n, sizeof(*missing)), kept = 0;
    for (uint32_t i = 0; i < n; i++) missing[i] = connect_missing(nodes, n, w, out, i);
    for (;;) {
        uint32_t worst = n - 1; /* of equals the last one; so the node that was asked stays if it can */
        for (uint32_t i = n; i-- > 0;)
            if (missing[i] > missing[worst]) worst = i;
        if (missing[worst] == 0) break;
        out[worst] = true;
        for (uint32_t i = 0; i < n; i++)
            if (missing[i] > 0) missing[i] = out[i] ? 0 : connect_missing(nodes, n, w, out, i);
    }
    for (uint32_t i = 0; i < n; i++)
        if (!out[i]) index[kept++] = i;
    free(missing);
    free(out);
    return kept;
}

/* A connection with one of the remaining nodes that keeps the node out. */
static void connect_why(const struct plan_node *nodes, const struct plan_wish *w, const uint32_t *index, uint32_t n, uint32_t i,
                        struct buf *out) {
    for (uint32_t k = 0; k < n; k++) {
        enum plan_reach there = connect_reach(nodes, w, i, index[k]), back = connect_reach(nodes, w, index[k], i);
        const char *from = nodes[there != PLAN_REACHES ? i : index[k]].name, *to = nodes[there != PLAN_REACHES ? index[k] : i].name;
        if (there == PLAN_REACHES && back == PLAN_REACHES) continue;
        if (there == PLAN_REACHES_NOT || back == PLAN_REACHES_NOT)
            buf_printf(out, "\n%s can be in no ring with %s, since %s cannot connect to %s: `caravan doctor` on %s says why", nodes[i].name,
                       nodes[index[k]].name, from, to, from);
        else
            buf_printf(out, "\n%s waits until it is known whether it and %s can connect to each other", nodes[i].name,
                       nodes[index[k]].name);
        return;
    }
}

void plan_explain_apart(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *w,
                        struct buf *out) {
    if (n_nodes == 0) return;
    uint32_t *index = mem_calloc(n_nodes, sizeof(*index)), n = plan_connect_pick(nodes, n_nodes, w, index);
    for (uint32_t i = 0, at = 0; i < n_nodes; i++) {
        char room[STR_SHORT];
        if (at < n && index[at] == i) at++;
        else connect_why(nodes, w, index, n, i, out);
        if (!nodes[i].fetches || !m->weights) continue;
        if (nodes[i].cut_off)
            buf_printf(out, "\n%s cannot connect to %s, where it would fetch the weights: `caravan doctor` on %s says why", nodes[i].name,
                       nodes[0].name, nodes[i].name);
        else if (nodes[i].room < m->weights(m->user, 0, m->n_layer))
            buf_printf(out, "\n%s has no weights of this model, and room for %s of them on its disk (--cache-limit, --state-dir)",
                       nodes[i].name, str_size(nodes[i].room, room));
    }
    free(index);
}
