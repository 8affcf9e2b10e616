/* SPDX-License-Identifier: MIT
 * Where to cut a model's layers for nodes in a given order: dynamic programming over the nodes and the layers. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "plan/plan_priv.h"

/* best[k][end]: the smallest cost with nodes 0 to k-1 holding layers 0 to end-1; from[k][end]: where the last of these slices begins. */
bool plan_cut(const struct plan_cuts *p, uint32_t *ret_bounds) {
    uint32_t n = p->n_layer, row = n + 1;
    double *best = mem_calloc((size_t)(p->n_nodes + 1) * row, sizeof(*best));
    uint32_t *from = mem_calloc((size_t)(p->n_nodes + 1) * row, sizeof(*from));
    for (size_t i = 1; i < (size_t)(p->n_nodes + 1) * row; i++) best[i] = INFINITY;
    for (uint32_t k = 1; k <= p->n_nodes; k++)
        for (uint32_t first = k - 1; first < n; first++) {
            double before = best[(k - 1) * row + first];
            for (uint32_t end = first + 1; end <= n && !isinf(before); end++) {
                double slice = p->cost(p->user, k - 1, first, end);
                double cost = p->largest ? fmax(before, slice) : before + slice;
                if (cost >= best[k * row + end]) continue;
                best[k * row + end] = cost;
                from[k * row + end] = first;
            }
        }
    bool found = !isinf(best[p->n_nodes * row + n]);
    if (found) ret_bounds[p->n_nodes] = n;
    for (uint32_t k = p->n_nodes; found && k > 0; k--) ret_bounds[k - 1] = from[k * row + ret_bounds[k]];
    free(best);
    free(from);
    return found;
}
