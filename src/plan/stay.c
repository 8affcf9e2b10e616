/* SPDX-License-Identifier: MIT
 * A model that is loaded again goes where it was, unless it would be clearly slower there: its nodes have the weights of these layers, and
 * perhaps kept prefixes. Among alike nodes the search would choose by chance, and each node fetch what another one has. */
#include "plan/plan_priv.h"

#define STAY_SLACK 1.3 /* how much slower a token may be there: as much as must be gained by dividing a model */

/* Continues the chain, of n nodes so far, with former slices from layer `at` on that fit. tries: how many more may be looked at, since what
 * nodes remember may be of different times. */
static uint32_t continue_chain(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint32_t at, uint32_t *chain,
                               uint32_t n, uint32_t *tries) {
    if (at == m->n_layer) return n;
    for (uint32_t i = 0; i < n_nodes && n < PLAN_MAX_STAGES; i++) {
        const struct plan_node *x = &nodes[i]; /* each next slice begins later, so no node comes twice */
        if (x->had_first != at || x->had_end <= at || x->had_end > m->n_layer) continue;
        if (*tries == 0) return 0;
        (*tries)--;
        if (!m->may(m->user, at, x->had_end) || m->need(m->user, at, x->had_end) > x->memory) continue;
        chain[n] = i;
        uint32_t found = continue_chain(m, nodes, n_nodes, x->had_end, chain, n + 1, tries);
        if (found > 0) return found;
    }
    return 0;
}

uint32_t plan_stay_chain(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint32_t *chain,
                         struct plan_wish *wish) {
    uint32_t tries = 1000, n = continue_chain(m, nodes, n_nodes, 0, chain, 0, &tries);
    for (uint32_t i = 0; i < n; i++) wish->list[i] = nodes[chain[i]].had_end - nodes[chain[i]].had_first;
    wish->placement = PLAN_LIST;
    wish->n_list = n;
    return n;
}

bool plan_stay_pays(const struct plan *before, const struct plan *best, const struct plan_model *m, const struct plan_node *nodes,
                    const struct plan_wish *wish) {
    struct plan_figures here, there;
    if (before->n_stage != best->n_stage) return false; /* fewer stages are worth a move */
    plan_predict(before, m, nodes, wish, &here);
    plan_predict(best, m, nodes, wish, &there);
    return here.token_s <= STAY_SLACK * there.token_s && here.streams_tps * STAY_SLACK >= there.streams_tps;
}
