/* SPDX-License-Identifier: MIT
 * The division of a slice among the devices of one node (plan.h). It follows libllama's own rule: the first layers stay in RAM, the later
 * ones go to the GPUs, the output head with the last of them. */
#include "plan/plan_priv.h"

#define GUESS_BANDWIDTH 30e9 /* of memory that was not measured: a plain computer with two channels of DDR4 */

double plan_device_bandwidth(const struct plan_device *d) { return d->bandwidth > 0 ? d->bandwidth : GUESS_BANDWIDTH; }

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

static uint64_t layers_bytes(const struct plan_model *m, uint32_t first, uint32_t end, uint32_t a, uint32_t b) {
    if (m->layers_bytes) return m->layers_bytes(m->user, a, b);
    return m->need(m->user, first, end) / (end - first) * (b - a);
}

/* ---- the division ---- */

struct spreading {
    const struct plan_model *m;
    const struct plan_node *node;
    struct plan_parts parts;
    uint32_t first, end, at; /* layers from at on have a place */
    uint64_t ram;            /* that is left */
    bool bounded;            /* it is the node's; else there is no device of RAM, and nothing is planned for it */
    struct plan_spread *out;
};

/* The layer from which on all up to `at` fit into `room`. */
static uint32_t fit(const struct spreading *s, uint64_t room) {
    uint32_t low = s->first, high = s->at;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (layers_bytes(s->m, s->first, s->end, middle, s->at) <= room) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Fills one GPU from the last layers that have no place yet. */
static void fill(struct spreading *s, uint32_t device) {
    const struct plan_device *d = &s->node->devices[device];
    struct plan_spread *out = s->out;
    uint64_t room = d->shared && s->bounded && s->ram < d->memory ? s->ram : d->memory;
    uint64_t fixed = s->parts.gpu + (out->n_used == 0 ? s->parts.out : 0);
    if (room < fixed) return;
    uint32_t from = fit(s, room - fixed);
    if (from == s->at) return;
    uint64_t layers = layers_bytes(s->m, s->first, s->end, from, s->at);
    out->used[out->n_used++] = (uint8_t)device;
    out->layers[device] = s->at - from;
    out->work[device] = layers + fixed - s->parts.gpu;
    out->bytes[device] = layers + fixed;
    if (d->shared) s->ram -= s->bounded ? out->bytes[device] : 0;
    s->at = from;
}

/* The rest goes to RAM. */
static bool rest(struct spreading *s, uint32_t ram) {
    struct plan_spread *out = s->out;
    uint64_t layers = s->at > s->first ? layers_bytes(s->m, s->first, s->end, s->first, s->at) : 0;
    uint64_t compute = out->n_used == 0 ? s->parts.ram : s->at > s->first ? s->parts.gpu : 0;
    uint64_t work = layers + (out->n_used == 0 ? s->parts.out : 0), need = work + s->parts.in + compute;
    if (!s->bounded) return s->at == s->first;
    if (need > s->ram) return false;
    out->layers[ram] = s->at - s->first;
    out->work[ram] = work;
    out->bytes[ram] = need;
    return true;
}

bool plan_spread_make(const struct plan_model *m, const struct plan_node *node, uint32_t first, uint32_t end, struct plan_spread *ret) {
    struct spreading s = {.m = m, .node = node, .first = first, .end = end, .at = end, .ram = node->memory, .out = ret};
    uint8_t order[PLAN_MAX_DEVICES];
    uint32_t n = plan_device_order(node, order), ram = 0;
    *ret = (struct plan_spread){0};
    if (m->parts) m->parts(m->user, first, end, &s.parts);
    for (uint32_t i = 0; i < node->n_devices; i++) {
        if (node->devices[i].gpu) continue;
        ram = i;
        s.bounded = true;
        s.ram = node->devices[i].memory;
    }
    for (uint32_t i = 0; i < n && s.at > first; i++)
        if (node->devices[order[i]].gpu) fill(&s, order[i]);
    return rest(&s, ram);
}

bool plan_node_has_gpu(const struct plan_node *node) {
    bool found = false;
    for (uint32_t i = 0; i < node->n_devices; i++) found |= node->devices[i].gpu;
    return found;
}

bool plan_node_spreads(const struct plan_node *node) { return node->n_devices > 1 && plan_node_has_gpu(node); }
