/* SPDX-License-Identifier: MIT
 * The needs and costs of slices (plan_priv.h). In decoding a device reads its share of the weights once per step, so the time is bytes
 * over bandwidth; in prefill it is operations over operations per second; the longer one counts. A node's devices take turns (spread.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_priv.h"

/* Guesses for figures that were not measured: a plain computer with two channels of DDR4, and 1 Gbit/s Ethernet. */
#define GUESS_FLOPS      400e9
#define GUESS_RTT        0.0003
#define GUESS_THROUGHPUT 117e6
#define GUESS_LAYER      0.000025 /* of a GPU */
/* Seconds for a frame to leave one program and reach the other. */
#define HOP_OVERHEAD 0.00005

static double device_layer(const struct plan_device *d) { return d->layer_s > 0 ? d->layer_s : d->gpu ? GUESS_LAYER : 0; }
static double device_flops(const struct plan_device *d) { return d->flops > 0 ? d->flops : GUESS_FLOPS; }

/* Bytes that a step reads in a layer for `tokens` tokens of different sequences: the weights once, of the experts those that any token
 * chose, K and V of each sequence (on average the context is half full). Prompt tokens belong to one sequence. */
static double layer_read(const struct plan_cost *c, const struct plan_layer *l, double tokens, bool prompt) {
    double chosen = l->expert > 0 ? l->expert * (1 - pow(1 - l->share, tokens)) : 0;
    double positions = (c->m->n_ctx ? c->m->n_ctx : 4096) / 2.0;
    if (l->window && l->window < positions) positions = l->window;
    return l->dense + chosen + (prompt ? 1 : tokens) * (positions * l->kv_position + l->state);
}

static struct plan_layer plain_layer(const struct plan_model *m, uint32_t i) {
    if (m->layers) return m->layers[i];
    double bytes = (double)m->need(m->user, 0, m->n_layer) / m->n_layer;
    return (struct plan_layer){.dense = bytes, .macs = bytes};
}

void plan_cost_init(struct plan_cost *c, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                    const struct plan_wish *wish) {
    uint32_t n = m->n_layer;
    *c = (struct plan_cost){.m = m, .wish = wish, .nodes = nodes, .n_nodes = n_nodes, .n = n};
    c->need = mem_calloc((size_t)(n + 1) * (n + 1), sizeof(*c->need));
    for (uint32_t first = 0; first < n; first++)
        for (uint32_t end = first + 1; end <= n; end++)
            c->need[first * (n + 1) + end] = m->may(m->user, first, end) ? m->need(m->user, first, end) : UINT64_MAX;
    c->read = mem_calloc(n + 1, sizeof(*c->read));
    c->macs = mem_calloc(n + 1, sizeof(*c->macs));
    c->launches = mem_calloc(n + 1, sizeof(*c->launches));
    for (uint32_t i = 0; i < n; i++) {
        struct plan_layer l = plain_layer(m, i);
        c->read[i + 1] = c->read[i] + layer_read(c, &l, 1, false);
        c->macs[i + 1] = c->macs[i] + l.macs;
        c->launches[i + 1] = c->launches[i] + (l.launches > 0 ? l.launches : 1);
    }
    c->order = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*c->order));
    for (uint32_t i = 0; i < n_nodes; i++) plan_device_order(&nodes[i], c->order[i]);
}

void plan_cost_done(struct plan_cost *c) {
    free(c->need);
    free(c->read);
    free(c->macs);
    free(c->launches);
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
    return c->read[end] - c->read[first] + (end == c->n ? c->m->head.dense : 0);
}

/* Seconds that a device takes for this share of what is read and computed, and for so many layers' launches. */
static double device_time(const struct plan_device *d, double share, double read, double macs, double launches) {
    double a = share * read / plan_device_bandwidth(d), b = share * 2 * macs / device_flops(d);
    return (a > b ? a : b) + launches * device_layer(d);
}

/* One device computes all, or each of several its layers, one device after the other. */
static double devices_time(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end, double read, double macs) {
    const struct plan_node *n = &c->nodes[node];
    static const struct plan_device plain;
    struct plan_spread s;
    double all = 0, time = PLAN_STAGE_OVERHEAD, launches = c->launches[end] - c->launches[first];
    if (!plan_node_spreads(n) || !plan_spread_make(c->m, n, first, end, &s))
        return time + device_time(n->n_devices ? &n->devices[0] : &plain, 1, read, macs, launches);
    for (uint32_t i = 0; i < n->n_devices; i++) all += (double)s.work[i];
    for (uint32_t i = 0; i < n->n_devices; i++)
        if (s.layers[i] > 0)
            time += device_time(&n->devices[i], all > 0 ? (double)s.work[i] / all : 0, read, macs, s.layers[i] * launches / (end - first));
    return time;
}

double plan_cost_stage(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end) {
    double macs = c->macs[end] - c->macs[first] + (end == c->n ? c->m->head.macs : 0);
    return devices_time(c, node, first, end, plan_cost_read(c, first, end), macs);
}

double plan_cost_batch(const struct plan_cost *c, uint32_t node, uint32_t first, uint32_t end, double tokens, bool prompt) {
    double read = end == c->n ? c->m->head.dense : 0, macs = tokens * (c->macs[end] - c->macs[first]);
    for (uint32_t i = first; i < end; i++) {
        struct plan_layer l = plain_layer(c->m, i);
        read += layer_read(c, &l, tokens, prompt);
    }
    if (end == c->n) macs += c->m->head.macs * (prompt ? 1 : tokens);
    return devices_time(c, node, first, end, read, macs);
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
        double time = plan_cost_batch(c, s->node, s->first, s->end, tokens, false);
        double bytes = i + 1 < p->n_stage ? plan_cost_hidden(c) : PLAN_TOKEN_BYTES;
        pass += time + plan_cost_hop(c, s->node, p->stages[(i + 1) % p->n_stage].node, tokens * bytes);
        if (time > longest) longest = time;
    }
    double cycle = groups * longest > pass ? groups * longest : pass;
    return streams / cycle;
}
