/* SPDX-License-Identifier: MIT
 * The division of a slice among the devices of one node (plan.h). It follows libllama's own rule: the first layers stay in RAM, the later
 * ones go to the GPUs, the output head with the last of them. */
#include "plan/plan_priv.h"

uint32_t plan_device_order(const struct plan_node *n, uint8_t ret[PLAN_MAX_DEVICES]) {
    for (uint8_t i = 0; i < n->n_devices; i++) {
        uint8_t at = i;
        for (; at > 0 && plan_device_bandwidth(&n->devices[ret[at - 1]]) < plan_device_bandwidth(&n->devices[i]); at--)
            ret[at] = ret[at - 1];
        ret[at] = i;
    }
    return n->n_devices;
}

/* ---- the needs of a slice ---- */

struct spreading {
    const struct plan_model *m;
    const struct plan_node *node;
    struct plan_parts parts;
    uint32_t first, end, at; /* layers from at on have a place */
    uint32_t apart;          /* the experts of the layers before it stay in RAM */
    uint64_t ram;            /* that is left */
    bool bounded;            /* it is the node's; else there is no device of RAM, and nothing is planned for it */
    struct plan_spread *out;
};

static uint64_t layers_bytes(const struct spreading *s, uint32_t a, uint32_t b) {
    if (s->m->layers_bytes) return s->m->layers_bytes(s->m->user, a, b);
    return s->m->need(s->m->user, s->first, s->end) / (s->end - s->first) * (b - a);
}

/* Of layers [a, b), the experts that stay in RAM. */
static uint64_t experts_bytes(const struct spreading *s, uint32_t a, uint32_t b) {
    uint32_t end = s->apart < b ? s->apart : b;
    return end > a ? s->m->experts_bytes(s->m->user, a, end) : 0;
}

/* ---- the division ---- */

/* The layer from which on all up to `at` fit into `room`. */
static uint32_t fit(const struct spreading *s, uint64_t room) {
    uint32_t low = s->first, high = s->at;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (layers_bytes(s, middle, s->at) - experts_bytes(s, middle, s->at) <= room) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Fills one GPU from the last layers that have no place yet. */
static void fill(struct spreading *s, uint32_t device) {
    const struct plan_device *d = &s->node->devices[device];
    struct plan_spread *out = s->out;
    uint64_t room = d->shared && s->bounded && s->ram < d->memory ? s->ram : d->memory;
    uint64_t fixed = s->parts.gpu + (out->n_used == 0 ? s->parts.out : 0) + (s->apart > s->first ? s->parts.apart : 0);
    if (room < fixed) return;
    uint32_t from = fit(s, room - fixed);
    if (from == s->at) return;
    out->used[out->n_used++] = (uint8_t)device;
    out->layers[device] = s->at - from;
    out->bytes[device] = layers_bytes(s, from, s->at) - experts_bytes(s, from, s->at) + fixed;
    if (d->shared) s->ram -= s->bounded ? out->bytes[device] : 0;
    s->at = from;
}

/* The rest goes to RAM. */
static bool rest(struct spreading *s, uint32_t ram) {
    struct plan_spread *out = s->out;
    uint64_t layers = (s->at > s->first ? layers_bytes(s, s->first, s->at) : 0) + experts_bytes(s, s->at, s->end);
    bool computes = s->at > s->first || s->apart > s->at;
    uint64_t compute = out->n_used == 0 ? s->parts.ram + s->parts.out : computes ? s->parts.beside : s->parts.process;
    if (!s->bounded) return layers == 0;
    if (layers + s->parts.in + compute > s->ram) return false;
    out->layers[ram] = s->at - s->first;
    out->bytes[ram] = layers + s->parts.in + compute;
    return true;
}

/* With the experts of the first n_apart layers in RAM. */
static bool spread_with(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, uint32_t n_apart,
                        struct plan_spread *ret) {
    struct spreading s = {
        .m = m, .node = node, .first = first, .end = end, .at = end, .apart = first + n_apart, .ram = node->memory, .out = ret};
    uint8_t order[PLAN_MAX_DEVICES];
    uint32_t n = plan_device_order(node, order);
    const struct plan_device *ram = plan_node_ram(node);
    *ret = (struct plan_spread){.n_apart = n_apart};
    if (m->parts) m->parts(m->user, first, end, &s.parts);
    s.bounded = ram != NULL;
    if (ram) s.ram = ram->memory;
    for (uint32_t i = 0; i < n && s.at > first; i++)
        if (node->devices[order[i]].gpu) fill(&s, order[i]);
    if (ret->n_used == 0) ret->n_apart = 0; /* all is in RAM */
    return rest(&s, ram ? (uint32_t)(ram - node->devices) : 0);
}

static bool all_on_gpus(const struct plan_spread *s, uint32_t n_layers) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_used; i++) n += s->layers[s->used[i]];
    return n == n_layers;
}

/* The fewest layers whose experts have to stay in RAM, so that everything else is on GPUs; all of the slice's, if that isn't enough. */
static uint32_t fewest_apart(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end) {
    uint32_t low = 1, high = end - first;
    while (low < high) {
        struct plan_spread s;
        uint32_t middle = (low + high) / 2;
        spread_with(m, node, first, end, middle, &s);
        if (all_on_gpus(&s, end - first)) high = middle;
        else low = middle + 1;
    }
    return high;
}

static double token_time(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end,
                         const struct plan_spread *s) {
    return plan_sum_spread(m, NULL, node, first, end, s, 1, 0);
}

bool plan_spread_make(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, struct plan_spread *ret) {
    struct plan_spread other;
    uint32_t n = end - first;
    bool mixture = m->experts_bytes && plan_node_has_gpu(node) && plan_node_ram(node);
    if (mixture && node->cpu_moe != PLAN_MOE_AUTO)
        return spread_with(m, node, first, end, node->cpu_moe < 0 || (uint32_t)node->cpu_moe > n ? n : (uint32_t)node->cpu_moe, ret);
    bool fits = spread_with(m, node, first, end, 0, ret);
    if (!mixture || (fits && all_on_gpus(ret, n))) return fits;
    if (!spread_with(m, node, first, end, fewest_apart(m, node, first, end), &other)) return fits;
    if (!fits || token_time(m, node, first, end, &other) < token_time(m, node, first, end, ret)) *ret = other;
    return true;
}

bool plan_node_has_gpu(const struct plan_node *node) {
    bool found = false;
    for (uint32_t i = 0; i < node->n_devices; i++) found |= node->devices[i].gpu;
    return found;
}

bool plan_node_spreads(const struct plan_node *node) { return node->n_devices > 1 && plan_node_has_gpu(node); }
