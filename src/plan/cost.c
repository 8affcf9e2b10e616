/* SPDX-License-Identifier: MIT
 * The needs and costs of slices (plan_priv.h): what they take (spread.c) and how long devices compute them (sum.c), hops between nodes. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_priv.h"

/* Guesses for links that were not measured: 1 Gbit/s Ethernet. */
#define GUESS_RTT        0.0003
#define GUESS_THROUGHPUT 117e6
/* Seconds for a frame to leave one program and reach the other. */
#define HOP_OVERHEAD 0.00005

void plan_cost_init(struct plan_cost *c, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                    const struct plan_wish *wish) {
    uint32_t n = m->n_layer;
    *c = (struct plan_cost){.m = m, .wish = wish, .nodes = nodes, .n_nodes = n_nodes, .n = n};
    c->need = mem_calloc((size_t)(n + 1) * (n + 1), sizeof(*c->need));
    for (uint32_t first = 0; first < n; first++)
        for (uint32_t end = first + 1; end <= n; end++)
            c->need[first * (n + 1) + end] = m->may(m->user, first, end) ? m->need(m->user, first, end) : UINT64_MAX;
    c->sums = mem_calloc(n + 1, sizeof(*c->sums));
    for (uint32_t i = 0; i < n; i++) {
        c->sums[i + 1] = c->sums[i];
        plan_sum_layer(m, i, 1, false, &c->sums[i + 1]);
    }
    c->order = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*c->order));
    for (uint32_t i = 0; i < n_nodes; i++) plan_device_order(&nodes[i], c->order[i]);
}

void plan_cost_done(struct plan_cost *c) {
    free(c->need);
    free(c->sums);
    free(c->order);
}

uint64_t plan_bytes_on(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end) {
    struct plan_spread s;
    uint64_t sum = 0;
    if (!plan_node_spreads(node) || !plan_spread_make(m, node, first, end, &s)) return m->need(m->user, first, end);
    for (uint32_t i = 0; i < node->n_devices; i++) sum += s.bytes[i];
    return sum;
}

bool plan_holds(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, uint64_t bytes) {
    struct plan_spread s;
    if (bytes > node->memory) return false;
    if (plan_node_spreads(node) && !plan_spread_make(m, node, first, end, &s)) return false;
    if (!node->fetches || m->weights == NULL) return true;
    return !node->cut_off && m->weights(m->user, first, end) <= node->room;
}

bool plan_cost_fits(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end) {
    return plan_holds(c->m, &c->nodes[node], first, end, c->need[first * (c->n + 1) + end]);
}

double plan_cost_read(const struct plan_cost *c, uint32_t first, uint32_t end) {
    return c->sums[end].read - c->sums[first].read + (end == c->n ? c->m->head.dense : 0);
}

double plan_cost_batch(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end, double tokens, double prompt) {
    const struct plan_node *n = &c->nodes[node];
    static const struct plan_device plain;
    struct plan_spread s;
    if (plan_node_spreads(n) && plan_spread_make(c->m, n, first, end, &s))
        return PLAN_STAGE_OVERHEAD + plan_sum_spread(c->m, c->sums, n, first, end, &s, tokens, prompt);
    struct plan_sum sum = plan_sum_layers(c->m, c->sums, first, end, tokens, prompt);
    if (end == c->n) plan_sum_head(c->m, tokens, prompt, &sum);
    plan_sum_lead(c->m, first, tokens, prompt, &sum);
    return PLAN_STAGE_OVERHEAD + plan_sum_time(&sum, n->n_devices ? &n->devices[0] : &plain);
}

double plan_cost_stage(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end) {
    return plan_cost_batch(c, node, first, end, 1, 0);
}

double plan_cost_hidden(const struct plan_cost *c) { return 64 + c->m->n_embd * (c->wish->wire_bytes > 0 ? c->wish->wire_bytes : 4); }

double plan_cost_hop(const struct plan_cost *c, uint32_t from, uint32_t to, double bytes) {
    struct plan_link l = {0};
    if (from == to) return 0;
    if (c->wish->link) l = c->wish->link(c->wish->link_user, c->nodes[from].id, c->nodes[to].id);
    if (l.rtt_s <= 0) l.rtt_s = GUESS_RTT;
    if (l.throughput <= 0) l.throughput = GUESS_THROUGHPUT;
    return l.rtt_s / 2 + bytes / l.throughput + HOP_OVERHEAD;
}

double plan_cost_token(const struct plan_cost *c, const struct plan *p) {
    double sum = 0;
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const struct plan_stage *s = &p->stages[i], *next = &p->stages[(i + 1) % p->n_stage];
        sum += plan_cost_stage(c, s->node, s->first, s->end);
        sum += plan_cost_hop(c, s->node, next->node, i + 1 < p->n_stage ? plan_cost_hidden(c) : PLAN_TOKEN_BYTES);
    }
    return sum;
}

double plan_cost_streams(const struct plan_cost *c, const struct plan *p, uint32_t streams) {
    uint32_t groups = streams < p->n_stage ? streams : p->n_stage;
    double tokens = (double)streams / groups, pass = 0, longest = 0;
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const struct plan_stage *s = &p->stages[i];
        double time = plan_cost_batch(c, s->node, s->first, s->end, tokens, 0);
        double bytes = i + 1 < p->n_stage ? plan_cost_hidden(c) : PLAN_TOKEN_BYTES;
        pass += time + plan_cost_hop(c, s->node, p->stages[(i + 1) % p->n_stage].node, tokens * bytes);
        if (time > longest) longest = time;
    }
    double cycle = groups * longest > pass ? groups * longest : pass;
    return streams / cycle;
}
