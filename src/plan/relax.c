/* SPDX-License-Identifier: MIT
 * A lower bound for the search (plan_priv.h): the cheapest walk through nodes that holds all layers, where a walk may visit a node
 * several times, but pays a price for each visit (a Lagrangian relaxation of "each node at most once"). The prices of nodes that are
 * visited more than once rise. A walk is found by dynamic programming over (node, layers placed), so one table bounds every partial
 * ring. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_priv.h"

#define LEAST_SCALE 0.02
enum { ROUNDS = 200, PATIENCE = 10 };

struct plan_relax {
    uint32_t n_nodes, n;
    const double *hop;   /* [from * n_nodes + to] seconds of a hidden state */
    const double *stage; /* [(node * (n+1) + first) * (n+1) + end]; INFINITY: no slice */
    double *left;        /* [(head * n_nodes + last) * (n+1) + end] */
    double *enter;       /* [node * (n+1) + first] the cheapest way from entering a node; while a table is made */
    double price[COST_MAX_NODES];
};

/* Fills one table: left[last * (n+1) + end] from left[..][n], which is given. Returns the cost of the cheapest whole walk. */
static double relax_walk(struct plan_relax *r, double *left) {
    uint32_t row = r->n + 1;
    for (uint32_t at = r->n; at-- > 0;) {
        for (uint32_t node = 0; node < r->n_nodes; node++) {
            const double *stage = &r->stage[(node * row + at) * row], *after = &left[node * row];
            double best = INFINITY;
            for (uint32_t end = at + 1; end < row; end++)
                if (stage[end] + after[end] < best) best = stage[end] + after[end];
            r->enter[node * row + at] = best + r->price[node];
        }
        for (uint32_t last = 0; last < r->n_nodes; last++) {
            double best = INFINITY;
            for (uint32_t node = 0; node < r->n_nodes; node++) {
                double time = r->hop[last * r->n_nodes + node] + r->enter[node * row + at];
                if (node != last && time < best) best = time;
            }
            left[last * row + at] = best;
        }
    }
    double best = INFINITY;
    for (uint32_t node = 0; node < r->n_nodes; node++)
        if (r->enter[node * row] < best) best = r->enter[node * row];
    return best;
}

/* How often the cheapest walk visits each node. */
static void relax_visits(const struct plan_relax *r, const double *left, uint32_t *visits) {
    uint32_t row = r->n + 1, last = UINT32_MAX;
    memset(visits, 0, r->n_nodes * sizeof(*visits));
    for (uint32_t at = 0; at < r->n;) {
        uint32_t node = UINT32_MAX, end = at;
        double best = INFINITY, least = INFINITY;
        for (uint32_t k = 0; k < r->n_nodes; k++) {
            double time = (last == UINT32_MAX ? 0 : r->hop[last * r->n_nodes + k]) + r->enter[k * row + at];
            if (k != last && time < best) best = time, node = k;
        }
        for (uint32_t to = at + 1; node != UINT32_MAX && to < row; to++) {
            double time = r->stage[(node * row + at) * row + to] + left[node * row + to];
            if (time < least) least = time, end = to;
        }
        if (end == at) return; /* there is no walk */
        visits[node]++;
        last = node;
        at = end;
    }
}

/* One step along the subgradient; false: no node is visited twice, and no unused node has a price. */
static bool relax_step(struct plan_relax *r, const uint32_t *visits, double gap, double scale) {
    double norm = 0;
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        double g = (double)visits[i] - 1;
        if (g > 0 || r->price[i] > 0) norm += g * g;
    }
    if (norm <= 0 || gap <= 0) return false;
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        r->price[i] += scale * gap / norm * ((double)visits[i] - 1);
        if (r->price[i] < 0) r->price[i] = 0;
    }
    return true;
}

static double relax_prices(const struct plan_relax *r) {
    double sum = 0;
    for (uint32_t i = 0; i < r->n_nodes; i++) sum += r->price[i];
    return sum;
}

/* Raises the bound of whole plans towards `limit`, the cost of the best known one. */
static void relax_tune(struct plan_relax *r, double *left, const double *token, double limit) {
    double best_price[COST_MAX_NODES] = {0}, best = -INFINITY, scale = 1;
    uint32_t visits[COST_MAX_NODES], row = r->n + 1;
    for (uint32_t round = 0, since = 0; round < ROUNDS && scale > LEAST_SCALE; round++, since++) {
        for (uint32_t last = 0; last < r->n_nodes; last++) {
            double back = INFINITY;
            for (uint32_t head = 0; head < r->n_nodes; head++)
                if (head != last && token[last * r->n_nodes + head] < back) back = token[last * r->n_nodes + head];
            left[last * row + r->n] = back;
        }
        double bound = relax_walk(r, left) - relax_prices(r);
        if (isinf(bound)) break;
        if (bound > best) {
            best = bound;
            since = 0;
            memcpy(best_price, r->price, sizeof(best_price));
        }
        if (since == PATIENCE) {
            scale *= 0.7;
            since = 0;
            memcpy(r->price, best_price, sizeof(best_price));
        }
        relax_visits(r, left, visits);
        if (!relax_step(r, visits, limit - bound, scale)) break;
    }
    memcpy(r->price, best_price, sizeof(best_price));
}

struct plan_relax *plan_relax_create(uint32_t n_nodes, uint32_t n, const double *hop, const double *token, const double *stage,
                                     double limit) {
    struct plan_relax *r = MEM_NEW(struct plan_relax);
    uint32_t row = n + 1;
    *r = (struct plan_relax){.n_nodes = n_nodes, .n = n, .hop = hop, .stage = stage};
    r->left = mem_calloc((size_t)n_nodes * n_nodes * row, sizeof(*r->left));
    r->enter = mem_calloc((size_t)n_nodes * row, sizeof(*r->enter));
    relax_tune(r, r->left, token, limit);
    for (uint32_t head = 0; head < n_nodes; head++) {
        double *left = &r->left[(size_t)head * n_nodes * row];
        for (uint32_t last = 0; last < n_nodes; last++) left[last * row + n] = last == head ? INFINITY : token[last * n_nodes + head];
        relax_walk(r, left);
    }
    return r;
}

void plan_relax_free(struct plan_relax *r) {
    if (!r) return;
    free(r->left);
    free(r->enter);
    free(r);
}

double plan_relax_price(const struct plan_relax *r, uint64_t set) {
    double sum = 0;
    for (uint32_t i = 0; i < r->n_nodes; i++)
        if (!(set >> i & 1)) sum += r->price[i];
    return sum;
}

double plan_relax_left(const struct plan_relax *r, uint8_t head, uint8_t last, uint32_t end) {
    return r->left[((size_t)head * r->n_nodes + last) * (r->n + 1) + end];
}
