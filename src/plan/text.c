/* SPDX-License-Identifier: MIT
 * The plan in words (plan.h): the choice and its reason, where a token's time goes, which nodes are left out, what would help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "plan/plan_priv.h"

#define SMALL_BITS 4.85 /* of a weight in q4_k_m, on average */

/* "12.3", "0.42": three significant figures. */
static const char *number(double v, char out[STR_SHORT]) {
    snprintf(out, STR_SHORT, v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v);
    return out;
}

static const char *seconds(double s, char out[STR_SHORT]) { return str_duration(s < 1e12 ? (uint64_t)(s * 1e6 + 0.5) : UINT64_MAX, out); }

/* The width of a column for the nodes' names. */
static int name_width(const struct plan *p, const struct plan_node *nodes) {
    size_t wide = 12;
    for (uint32_t i = 0; i < p->n_stage; i++)
        if (strlen(nodes[p->stages[i].node].name) > wide) wide = strlen(nodes[p->stages[i].node].name);
    return (int)wide;
}

/* "    Vulkan0 layers 8-27, output head 14.2 GB; RAM layers 0-7, embedding 3.1 GB". Nothing for a node without a GPU. */
static void explain_devices(const struct plan_model *m, const struct plan_node *node, const struct plan_stage *s, struct buf *out) {
    struct plan_spread spread;
    char bytes[STR_SHORT];
    uint32_t end = s->end;
    if (!plan_node_spreads(node) || !plan_spread_make(m, node, s->first, s->end, &spread)) return;
    uint32_t apart = s->first + spread.n_apart;
    buf_append_str(out, "    ");
    for (uint32_t i = 0; i < spread.n_used; i++) {
        uint32_t device = spread.used[i], first = end - spread.layers[device];
        buf_printf(out, "%s: layers %u-%u%s", node->devices[device].name, first, end - 1,
                   i == 0 && s->end == m->n_layer ? " and the output head" : "");
        if (apart > first) buf_printf(out, " without the experts of %u-%u", first, (apart < end ? apart : end) - 1);
        buf_printf(out, ", %s; ", str_size(spread.bytes[device], bytes));
        end = first;
    }
    for (uint32_t i = 0; i < node->n_devices; i++) {
        if (node->devices[i].gpu) continue;
        buf_append_str(out, "RAM: ");
        if (end > s->first) buf_printf(out, "layers %u-%u, ", s->first, end - 1);
        if (apart > end) buf_printf(out, "the experts of layers %u-%u, ", end, apart - 1);
        buf_printf(out, "%s%s", s->first == 0 ? "the embedding, " : "", str_size(spread.bytes[i], bytes));
        break;
    }
    buf_append_str(out, "\n");
}

static void explain_plan(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, struct buf *out) {
    char whole[STR_SHORT], bytes[STR_SHORT], memory[STR_SHORT];
    str_size(p->bytes_whole, whole);
    if (p->n_stage == 1) {
        const struct plan_node *n = &nodes[p->stages[0].node];
        str_size(n->memory, memory);
        buf_printf(out, "\"%s\" needs %s and fits on %s (%s offered): it runs whole there, since splitting it would only add hops.\n",
                   m->name, whole, n->name, memory);
        explain_devices(m, n, &p->stages[0], out);
        return;
    }
    uint64_t most = 0;
    for (uint32_t i = 0; i < p->n_stage; i++)
        if (nodes[p->stages[i].node].memory > most) most = nodes[p->stages[i].node].memory;
    str_size(most, memory);
    if (most < p->bytes_whole)
        buf_printf(out, "\"%s\" needs %s; no node offers more than %s. Its %u layers are divided over %u nodes:\n", m->name, whole, memory,
                   m->n_layer, p->n_stage);
    else
        buf_printf(out,
                   "\"%s\" needs %s, which one node could hold; its %u layers are divided over %u nodes, as asked or because a token is "
                   "faster so:\n",
                   m->name, whole, m->n_layer, p->n_stage);
    int wide = name_width(p, nodes);
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const struct plan_stage *s = &p->stages[i];
        str_size(s->bytes, bytes);
        str_size(nodes[s->node].memory, memory);
        buf_printf(out, "  %-*s layers %3u-%-3u %9s of %s offered%s%s\n", wide, nodes[s->node].name, s->first, s->end - 1, bytes, memory,
                   i == 0 ? "  (embedding, scheduler)" : "", i + 1 == p->n_stage ? "  (output head, sampler)" : "");
        explain_devices(m, &nodes[s->node], s, out);
    }
}

void plan_explain(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, struct buf *out) {
    explain_plan(p, m, nodes, out);
    if (p->stays) buf_printf(out, "%s had %s before.\n", p->n_stage == 1 ? "It" : "They", p->n_stage == 1 ? "the model" : "these layers");
}

void plan_explain_figures(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                          struct buf *out) {
    struct plan_figures f;
    char a[STR_SHORT], b[STR_SHORT], c[STR_SHORT];
    int wide = name_width(p, nodes), right = wide > 18 ? wide : 18; /* "computes layers 36-79" */
    plan_predict(p, m, nodes, wish, &f);
    buf_printf(out, "One token reads %s and takes %s (predicted):\n", str_size((uint64_t)f.read_bytes, a), seconds(f.token_s, b));
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const char *name = nodes[p->stages[i].node].name, *next = nodes[p->stages[(i + 1) % p->n_stage].node].name;
        char layers[STR_SHORT];
        snprintf(layers, sizeof(layers), "%u-%u", p->stages[i].first, p->stages[i].end - 1);
        buf_printf(out, "  %-*s computes layers %-*s %9s\n", wide, name, right - 13, layers, seconds(f.stage_s[i], a));
        if (p->n_stage > 1) buf_printf(out, "  %-*s -> %-*s %9s\n", wide, name, right, next, seconds(f.hop_s[i], a));
    }
    if (p->n_stage > 1) {
        const char *slow = nodes[p->stages[f.slowest].node].name;
        if (f.slowest_is_hop)
            buf_printf(out, "The slowest part is the link from %s to %s.\n", slow,
                       nodes[p->stages[(f.slowest + 1) % p->n_stage].node].name);
        else buf_printf(out, "The slowest part is reading the weights on %s.\n", slow);
    }
    buf_printf(out, "First token after %s (prompt of %u tokens), then %s tokens/s for one conversation", seconds(f.first_s, a),
               wish->prompt ? wish->prompt : 512, number(1 / f.token_s, b));
    if (f.streams > 1) buf_printf(out, ", %s tokens/s for %u together", number(f.streams_tps, c), f.streams);
    buf_append_str(out, ".\n");
}

/* ---- nodes that are left out ---- */

/* The least time per token of the plan's nodes plus `extra` at any place of the ring; negative: there is no division. */
static double with_node(struct plan_cost *c, const struct plan *p, uint32_t extra) {
    uint32_t order[PLAN_MAX_STAGES];
    double best = -1;
    if (p->n_stage >= PLAN_MAX_STAGES) return -1;
    for (uint32_t at = 0; at <= p->n_stage; at++) {
        struct plan other;
        for (uint32_t i = 0; i <= p->n_stage; i++) order[i] = i == at ? extra : p->stages[i < at ? i : i - 1].node;
        if (!plan_search_cuts(c, order, p->n_stage + 1, false, &other)) continue;
        double time = plan_cost_token(c, &other);
        if (best < 0 || time < best) best = time;
    }
    return best;
}

static double node_bandwidth(const struct plan_node *n) {
    double best = n->n_devices ? 0 : plan_device_bandwidth(&(struct plan_device){0});
    for (uint32_t i = 0; i < n->n_devices; i++)
        if (plan_device_bandwidth(&n->devices[i]) > best) best = plan_device_bandwidth(&n->devices[i]);
    return best;
}

static void explain_one(struct plan_cost *c, const struct plan *p, uint32_t node, double token_s, struct buf *out) {
    const struct plan_node *n = &c->nodes[node];
    uint64_t least = UINT64_MAX;
    for (uint32_t first = 0; first < c->n; first++)
        for (uint32_t end = first + 1; end <= c->n; end++)
            if (c->need[first * (c->n + 1) + end] < least) least = c->need[first * (c->n + 1) + end];
    char a[STR_SHORT], b[STR_SHORT];
    buf_printf(out, "  %s is left out: ", n->name);
    if (n->memory < least) {
        buf_printf(out, "it offers %s, the smallest slice needs %s.\n", str_size(n->memory, a), str_size(least, b));
        return;
    }
    double slowest = 0, time = with_node(c, p, node);
    for (uint32_t i = 0; i < p->n_stage; i++) {
        double w = node_bandwidth(&c->nodes[p->stages[i].node]);
        if (i == 0 || w < slowest) slowest = w;
    }
    if (time < 0) buf_append_str(out, "no division that includes it fits.\n");
    else if (time <= token_s) buf_printf(out, "it would save only %s of each token.\n", seconds(token_s - time, a));
    else if (node_bandwidth(n) < slowest)
        buf_printf(out, "each token would take %s longer; it reads %.0f GB/s, the slowest that takes part %.0f GB/s.\n",
                   seconds(time - token_s, a), node_bandwidth(n) / 1e9, slowest / 1e9);
    else buf_printf(out, "each token would take %s longer; its link costs more than it brings.\n", seconds(time - token_s, a));
}

void plan_explain_left_out(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                           const struct plan_wish *wish, struct buf *out) {
    struct plan_cost c;
    plan_cost_init(&c, m, nodes, n_nodes, wish);
    double token_s = plan_cost_token(&c, p);
    for (uint32_t node = 0; node < n_nodes; node++) {
        bool used = false;
        for (uint32_t i = 0; i < p->n_stage; i++) used = used || p->stages[i].node == node;
        if (!used) explain_one(&c, p, node, token_s, out);
    }
    plan_cost_done(&c);
}

/* ---- what would help ---- */

static double plan_token_s(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish) {
    struct plan_figures f;
    plan_predict(p, m, nodes, wish, &f);
    return f.token_s;
}

/* Advises more memory in the fastest machine, if the whole model would then run there. */
static void advise_memory(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                          double token_s, struct buf *out) {
    char a[STR_SHORT], b[STR_SHORT], c[STR_SHORT];
    double best = token_s;
    uint32_t which = 0;
    for (uint32_t i = 0; i < p->n_stage; i++) {
        struct plan_node one = nodes[p->stages[i].node];
        if (one.memory < p->bytes_whole / 4) continue; /* no such machine has so much memory */
        uint32_t fastest = 0;
        for (uint32_t d = 1; d < one.n_devices; d++)
            if (one.devices[d].bandwidth > one.devices[fastest].bandwidth) fastest = d;
        one.devices[0] = one.devices[fastest];
        one.devices[0].memory = one.memory = p->bytes_whole;
        if (one.n_devices) one.n_devices = 1;
        struct plan whole = {.n_stage = 1, .stages = {{.end = m->n_layer}}};
        double time = plan_token_s(&whole, m, &one, wish);
        if (time >= best) continue;
        best = time;
        which = p->stages[i].node;
    }
    if (best > token_s * 0.9) return;
    buf_printf(out, "  one machine as fast as the fastest memory of %s, with %s of it, would hold the whole: %s instead of %s tokens/s\n",
               nodes[which].name, str_size(p->bytes_whole, a), number(1 / best, b), number(1 / token_s, c));
}

static struct plan_link better_link(void *user, uint64_t from, uint64_t to) {
    (void)user, (void)from, (void)to;
    return (struct plan_link){.rtt_s = 0.00005, .throughput = 1.1e9};
}

static void advise_link(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                        double token_s, struct buf *out) {
    char a[STR_SHORT], b[STR_SHORT];
    struct plan_wish better = *wish;
    better.link = better_link;
    double time = plan_token_s(p, m, nodes, &better);
    if (time < token_s * 0.95)
        buf_printf(out, "  10 Gbit/s cables instead of these links: %s instead of %s tokens/s\n", number(1 / time, a),
                   number(1 / token_s, b));
}

/* A token's time in the same plan, with weights of fewer bits that take this fraction of the bytes. */
static double smaller_token_s(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                              double fraction) {
    struct plan_layer *layers = mem_calloc(m->n_layer, sizeof(*layers));
    struct plan_model small = *m;
    small.layers = layers;
    small.head.dense *= fraction;
    small.head.plain = 0;
    for (uint32_t i = 0; i < m->n_layer; i++) {
        layers[i] = m->layers[i];
        layers[i].dense *= fraction;
        layers[i].expert *= fraction;
        layers[i].plain = layers[i].plain_expert = 0;
    }
    double time = plan_token_s(p, &small, nodes, wish);
    free(layers);
    return time;
}

static void advise_bytes(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                         double token_s, struct buf *out) {
    double bytes = m->head.dense, macs = m->head.macs;
    char a[STR_SHORT], b[STR_SHORT];
    if (!m->layers) return;
    for (uint32_t i = 0; i < m->n_layer; i++) {
        bytes += m->layers[i].dense + m->layers[i].expert * m->layers[i].share;
        macs += m->layers[i].macs;
    }
    double bits = macs > 0 ? bytes * 8 / macs : 0;
    if (bits <= 6) return;
    double time = smaller_token_s(p, m, nodes, wish, SMALL_BITS / bits);
    if (time < token_s * 0.95)
        buf_printf(out, "  a smaller quantisation (q4_k_m instead of %.1f bits a weight) reads less: %s instead of %s tokens/s\n", bits,
                   number(1 / time, a), number(1 / token_s, b));
}

void plan_advise(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes,
                 const struct plan_wish *wish, struct buf *out) {
    char a[STR_SHORT], b[STR_SHORT];
    double token_s = plan_token_s(p, m, nodes, wish), hops = 0;
    struct plan_figures f;
    struct plan_wish all = *wish;
    struct plan divided;
    plan_predict(p, m, nodes, wish, &f);
    for (uint32_t i = 0; i < p->n_stage; i++) hops += f.hop_s[i];
    all.placement = PLAN_EVEN;
    if (p->n_stage == 1) {
        if (n_nodes > 1 && plan_make(m, nodes, n_nodes, &all, &divided, NULL) == ERR_OK && divided.n_stage > 1)
            buf_printf(out, "Don't split it: divided over %u nodes a token would take %s instead of %s. Use the others for copies.\n",
                       divided.n_stage, seconds(plan_token_s(&divided, m, nodes, wish), a), seconds(token_s, b));
    } else if (token_s > 1) {
        buf_printf(out, "It fits, but at %s tokens/s nobody will like to use it: take a smaller model, or machines with faster memory.\n",
                   number(1 / token_s, a));
    }
    size_t before = out->len;
    buf_append_str(out, "What would help:\n");
    size_t title = out->len;
    if (p->n_stage > 1) {
        advise_memory(p, m, nodes, wish, token_s, out);
        advise_link(p, m, nodes, wish, token_s, out);
    }
    advise_bytes(p, m, nodes, wish, token_s, out);
    if (p->n_stage > 1 && hops > token_s * 0.1)
        buf_printf(out, "  speculation (a draft model): the links take %.0f %% of a token, and it pays them once for several\n",
                   100 * hops / token_s);
    if (out->len == title) out->len = before;
}

void plan_tell_apart(struct plan_node *nodes, uint32_t n, const uint64_t *ids) {
    bool *shared = mem_calloc(n, sizeof(*shared));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++) shared[i] = shared[i] || (k != i && strcmp(nodes[i].name, nodes[k].name) == 0);
    for (uint32_t i = 0; i < n; i++) {
        char name[sizeof(nodes[i].name)];
        if (!shared[i]) continue;
        snprintf(name, sizeof(name), "%.48s (%08x)", nodes[i].name, (unsigned)((ids ? ids[i] : nodes[i].id) >> 32));
        memcpy(nodes[i].name, name, sizeof(name));
    }
    free(shared);
}
