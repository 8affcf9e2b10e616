/* SPDX-License-Identifier: MIT
 * The time that layers take on devices (plan_priv.h). In decoding a device reads its share of the weights once per step, so the time is
 * bytes over bandwidth; in prefill it is operations over operations per second; the longer one counts. The devices of a node take turns. */
#include <math.h>

#include "plan/plan_priv.h"

/* Guesses for figures that were not measured: a plain computer with two channels of DDR4; kernels of a GPU. */
#define GUESS_BANDWIDTH 30e9
#define GUESS_FLOPS     400e9
#define GUESS_LAYER     0.000025
/* An expert layer in RAM stops the GPU and starts it again: so many more launches, in those of the layer. */
#define HANDOVERS 2
/* As published results show it (tables/published.def). Weights of 8 and 16 bits are read by so much faster than smaller ones, which have to
 * be unpacked; multiplications with those of 16 bits are by so much faster; and matrices of a narrow model fill a GPU less, the larger one
 * less than the smaller one. */
#define UNPACK       0.06
#define HALF_GAIN    0.15
#define NARROW_COST  0.07
#define NARROW_FLOPS 22e12
#define NARROW_POWER 0.5
/* An expert multiplies only the tokens of a batch that chose it. Products with few rows leave a device partly idle: with n rows each
 * multiplication takes as long as 1 + EXPERT_COST / sqrt(n) in a dense layer. */
#define EXPERT_COST 8.0

double plan_device_bandwidth(const struct plan_device *d) { return d->bandwidth > 0 ? d->bandwidth : GUESS_BANDWIDTH; }

static double device_layer(const struct plan_device *d) { return d->layer_s > 0 ? d->layer_s : d->gpu ? GUESS_LAYER : 0; }
static double device_flops(const struct plan_device *d) { return d->flops > 0 ? d->flops : GUESS_FLOPS; }

static struct plan_layer plain_layer(const struct plan_model *m, uint32_t i) {
    if (m->layers) return m->layers[i];
    double bytes = (double)m->need(m->user, 0, m->n_layer) / m->n_layer;
    return (struct plan_layer){.dense = bytes, .macs = bytes};
}

const struct plan_device *plan_node_ram(const struct plan_node *node) {
    const struct plan_device *found = NULL;
    for (uint32_t i = 0; i < node->n_devices; i++)
        if (!node->devices[i].gpu) found = &node->devices[i];
    return found;
}

/* ---- sums over layers ---- */

/* Adds a layer like l. Its weights are read once, of the experts those that any of the tokens chose, K and V of each sequence (on average
 * the context is half full). The tokens of a prompt are of one sequence. */
static void sum_layer(const struct plan_model *m, struct plan_layer l, double tokens, double prompt, struct plan_sum *sum) {
    double chosen = l.expert > 0 ? l.expert * (1 - pow(1 - l.share, tokens)) : 0, launches = l.launches > 0 ? l.launches : 1;
    double positions = (m->n_ctx ? m->n_ctx : 4096) / 2.0;
    if (l.window && l.window < positions) positions = l.window;
    sum->read += l.dense + chosen + (prompt > 0 ? 1 : tokens) * (positions * l.kv_position + l.state);
    sum->chosen += chosen;
    sum->plain += l.plain * l.dense + l.plain_expert * chosen;
    sum->plain_chosen += l.plain_expert * chosen;
    double seen = prompt / 2, rows = tokens * l.share > 1 ? tokens * l.share : 1;
    if (l.window && l.window < seen) seen = l.window;
    double idle = prompt > 0 ? l.expert_macs * EXPERT_COST / sqrt(rows) : 0;
    sum->macs += tokens * (l.macs + idle + seen * l.attention);
    sum->expert_macs += tokens * (l.expert_macs + idle);
    sum->half += tokens * l.half * (l.macs - l.expert_macs);
    sum->narrow += tokens * l.narrow;
    sum->launches += launches;
    sum->handovers += chosen > 0 ? HANDOVERS * launches : 0;
    sum->choosing += chosen > 0 ? 1 : 0;
}

void plan_sum_layer(const struct plan_model *m, uint32_t layer, double tokens, double prompt, struct plan_sum *sum) {
    sum_layer(m, plain_layer(m, layer), tokens, prompt, sum);
}

static void sum_add(struct plan_sum *to, const struct plan_sum *s, double times) {
    to->read += times * s->read;
    to->macs += times * s->macs;
    to->chosen += times * s->chosen;
    to->plain += times * s->plain;
    to->plain_chosen += times * s->plain_chosen;
    to->half += times * s->half;
    to->narrow += times * s->narrow;
    to->expert_macs += times * s->expert_macs;
    to->launches += times * s->launches;
    to->handovers += times * s->handovers;
    to->choosing += times * s->choosing;
}

/* Layers [first, end), without the head. sums: of one token; NULL: there are none. */
struct plan_sum plan_sum_layers(const struct plan_model *m, const struct plan_sum *sums, uint32_t first, uint32_t end, double tokens,
                                double prompt) {
    struct plan_sum sum = {0};
    if (sums && tokens == 1 && prompt <= 0) {
        sum = sums[end];
        sum_add(&sum, &sums[first], -1);
    } else {
        for (uint32_t i = first; i < end; i++) plan_sum_layer(m, i, tokens, prompt, &sum);
    }
    return sum;
}

void plan_sum_head(const struct plan_model *m, double tokens, double prompt, struct plan_sum *sum) {
    sum->read += m->head.dense;
    sum->plain += m->head.plain * m->head.dense;
    sum->macs += m->head.macs * (prompt > 0 ? 1 : tokens);
}

/* The experts of a GPU's layers are computed in RAM. */
static void sum_part(struct plan_sum *gpu, const struct plan_sum *apart, struct plan_sum *ram) {
    gpu->read -= apart->chosen;
    gpu->plain -= apart->plain_chosen;
    gpu->macs -= apart->expert_macs;
    gpu->launches += apart->handovers;
    ram->read += apart->chosen;
    ram->macs += apart->expert_macs;
}

/* Seconds that a device takes. Processors read and multiply all formats alike. */
double plan_sum_time(const struct plan_sum *sum, const struct plan_device *d) {
    double flops = device_flops(d), read = sum->read, macs = sum->macs;
    if (d->gpu) {
        read -= (d->unpack > 0 ? d->unpack : UNPACK) * sum->plain;
        macs += NARROW_COST * pow(flops / NARROW_FLOPS, NARROW_POWER) * sum->narrow - HALF_GAIN * sum->half;
    }
    double a = read / plan_device_bandwidth(d), b = 2 * macs / flops;
    return (a > b ? a : b) + sum->launches * device_layer(d) + sum->choosing * d->expert_s;
}

void plan_sum_lead(const struct plan_model *m, uint32_t first, double tokens, double prompt, struct plan_sum *sum) {
    if (first > 0 && m->lead.macs > 0) sum_layer(m, m->lead, tokens, prompt, sum);
}

/* The devices take turns. */
double plan_sum_spread(const struct plan_model *m, const struct plan_sum *sums, const struct plan_node *node, uint32_t first, uint32_t end,
                       const struct plan_spread *s, double tokens, double prompt) {
    struct plan_sum ram = {0};
    double time = 0;
    uint32_t at = end, apart = first + s->n_apart;
    for (uint32_t i = 0; i < s->n_used; i++) {
        uint32_t from = at - s->layers[s->used[i]], to = apart < at ? apart : at;
        struct plan_sum sum = plan_sum_layers(m, sums, from, at, tokens, prompt);
        struct plan_sum experts = plan_sum_layers(m, sums, from, to > from ? to : from, tokens, prompt);
        sum_part(&sum, &experts, &ram);
        if (i == 0 && end == m->n_layer) plan_sum_head(m, tokens, prompt, &sum);
        if (from == first) plan_sum_lead(m, first, tokens, prompt, &sum);
        time += plan_sum_time(&sum, &node->devices[s->used[i]]);
        at = from;
    }
    struct plan_sum rest = plan_sum_layers(m, sums, first, at, tokens, prompt);
    sum_add(&ram, &rest, 1);
    if (at > first) plan_sum_lead(m, first, tokens, prompt, &ram);
    if (end == m->n_layer && s->n_used == 0) plan_sum_head(m, tokens, prompt, &ram);
    const struct plan_device *d = plan_node_ram(node);
    return d ? time + plan_sum_time(&ram, d) : time;
}
