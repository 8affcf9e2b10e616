/* SPDX-License-Identifier: MIT
 * See used.h. */
#include "coordinator/used.h"

#include <stdio.h>
#include <string.h>

static uint64_t left(uint64_t offered, uint64_t used) { return used < offered ? offered - used : 0; }

void used_add(struct used *u, uint64_t bytes, const struct engine_used *on, uint32_t n_on) {
    u->all += bytes;
    for (uint32_t i = 0; i < n_on; i++) {
        uint32_t k = 0;
        while (k < u->n_on && strcmp(u->on[k].device, on[i].device) != 0) k++;
        if (k == PROFILE_MAX_DEVICES) continue;
        if (k == u->n_on) snprintf(u->on[u->n_on++].device, sizeof(u->on[k].device), "%s", on[i].device);
        u->on[k].bytes += on[i].bytes;
    }
}

static uint64_t used_on(const struct used *u, const char *device) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < u->n_on; i++)
        if (strcmp(u->on[i].device, device) == 0) bytes += u->on[i].bytes;
    return bytes;
}

/* A GPU that shares the RAM has no memory of its own to add: what it takes is taken from RAM. */
void used_offer(const struct used *u, const struct record *r, struct plan_node *ret) {
    uint64_t in_ram = u->all, on_gpus = 0;
    for (uint32_t i = 0; i < r->profile.n_devices && i < PLAN_MAX_DEVICES; i++) {
        const struct profile_device *d = &r->profile.devices[i];
        struct plan_device *out = &ret->devices[ret->n_devices++];
        *out = (struct plan_device){.gpu = d->gpu, .shared = d->shared, .bandwidth = d->bandwidth, .flops = d->flops};
        snprintf(out->name, sizeof(out->name), "%s", d->name);
        if (!d->gpu) continue;
        out->memory = left(d->memory_free, used_on(u, d->name));
        if (d->shared) continue;
        in_ram = left(in_ram, used_on(u, d->name));
        on_gpus += out->memory;
    }
    ret->cpu_moe = r->cpu_moe;
    ret->memory = left(r->memory, u->all);
    uint64_t ram = r->ram > 0 ? left(r->ram, in_ram) : ret->memory;
    if (r->ram > 0) ret->memory = ram + on_gpus;
    for (uint32_t i = 0; i < ret->n_devices; i++)
        if (!ret->devices[i].gpu) ret->devices[i].memory = ram;
}

uint32_t used_planned(const struct plan_model *m, const struct plan_node *node, const struct plan_stage *s, struct engine_used *ret) {
    struct plan_spread spread;
    uint32_t n = 0;
    if (!plan_node_has_gpu(node) || !plan_spread_make(m, node, s->first, s->end, &spread)) return 0;
    for (uint32_t i = 0; i < spread.n_used && n < ENGINE_MAX_USED; i++) {
        const struct plan_device *d = &node->devices[spread.used[i]];
        ret[n].bytes = spread.bytes[spread.used[i]];
        snprintf(ret[n++].device, sizeof(ret->device), "%s", d->name);
    }
    return n;
}
