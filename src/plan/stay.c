/* SPDX-License-Identifier: MIT
 * A model that is loaded again goes where it was, unless it would be clearly slower there: its nodes have the weights of these layers, and
 * perhaps kept prefixes. Among alike nodes the search would choose by chance, and each node fetch what another one has. */
#include "plan/plan_priv.h"

#define STAY_SLACK 1.3 /* how much slower a token may be there: as much as must be gained by dividing a model */

uint32_t plan_stay_chain(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint32_t *chain,
                         struct plan_wish *wish) {
    uint32_t n = 0, at = 0;
    while (at < m->n_layer && n < PLAN_MAX_STAGES) {
        uint32_t i = 0;
        while (i < n_nodes && (nodes[i].had_first != at || nodes[i].had_end <= at)) i++;
        if (i == n_nodes) return 0;
        at = nodes[i].had_end; /* so no node comes twice */
        wish->list[n] = nodes[i].had_end - nodes[i].had_first;
        chain[n++] = i;
    }
    wish->placement = PLAN_LIST;
    wish->n_list = n;
    return at == m->n_layer ? n : 0;
}

bool plan_stay_pays(const struct plan *before, const struct plan *best, const struct plan_model *m, const struct plan_node *nodes,
                    const struct plan_wish *wish) {
    struct plan_figures here, there;
    if (before->n_stage != best->n_stage) return false; /* fewer stages are worth a move */
    plan_predict(before, m, nodes, wish, &here);
    plan_predict(best, m, nodes, wish, &there);
    return here.token_s <= STAY_SLACK * there.token_s && here.streams_tps * STAY_SLACK >= there.streams_tps;
}
