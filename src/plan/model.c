/* SPDX-License-Identifier: MIT
 * See model.h. model_estimate_slice is a sum over layers plus the tables at the ends and the compute buffers. So the needs of single
 * layers are enough to compute the need of every slice (a test compares all slices with it). */
#include "plan/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/quirks.h"

/* As published results show it (tables/published.def): what choosing experts, a recurrent state, attention to a latent (it multiplies
 * queries and results by two more matrices) or embeddings of each layer's own add to the kernels of a layer. In some models a layer is
 * only half of one: it mixes tokens, or it has a feed-forward network. */
#define EXPERT_LAUNCHES 0.4
#define STATE_LAUNCHES  1.4
#define LATENT_LAUNCHES 1.2
#define OWN_LAUNCHES    0.7
#define HALF_LAUNCHES   0.5
/* A recurrent state is worked through step by step, which takes as long as so many multiplications for each of its elements; those of
 * attention, which unpack nothing, are faster than those with weights. */
#define STATE_MACS     11
#define ATTENTION_MACS 0.8
#define USUAL_WIDTH    4096.0
#define LEAST_WIDTH    512.0 /* what is narrower counts as this wide */

struct plan_source {
    struct plan_model model;
    const struct model_layout *layout;
    struct model_load_shape shape;
    struct plan_layer *layers;
    uint64_t *weights, *kv; /* sums over layers 0..i-1, without tables */
    uint64_t *experts;      /* of the weights, those of experts */
    uint64_t most_experts;  /* the largest of these tensors */
    uint64_t *adapters;     /* likewise */
    uint64_t *compute;      /* of each layer as a slice */
    uint64_t compute_gpu, compute_gpu_tail; /* the most of any layer, and of a tail, with the larger steps of GPUs */
    uint64_t ends[4];       /* tables of a slice; index [is the first] + 2 * [is the last] */
    uint64_t compute_tail;  /* of the last layer as a tail slice */
    uint64_t most;          /* the largest of compute[]: tells slices without exceptions */
    bool same;              /* every compute[] is the same */
    uint8_t *may;           /* [first * (n+1) + end] */
    double factor_kv, factor_compute;
    uint64_t measured[NEEDS_CLASSES]; /* compute buffers and the rest of the process; 0: not known */
    uint64_t process[NEEDS_CLASSES]; /* of that, the rest of the process */
    uint64_t gpu[NEEDS_CLASSES], apart[NEEDS_CLASSES]; /* compute buffers of GPUs, without experts how much more; 0: not known */
    double factor_weights;  /* of the layout for this processor */
    char whole_reason[256];
};

static uint64_t source_compute(const struct plan_source *s, uint32_t first, uint32_t end) {
    uint32_t n = s->layout->n_layer;
    int class = (first == 0) + 2 * (end == n);
    uint64_t compute = end == n ? s->compute_tail : s->compute[first];
    if (s->measured[class] > 0) return s->measured[class];
    for (uint32_t i = first; i < end && !s->same; i++)
        if (s->compute[i] > compute) compute = s->compute[i];
    return (uint64_t)(s->factor_compute * (double)compute) + model_estimate_ends(first == 0, end == n);
}

static uint64_t source_weights(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return s->weights[end] - s->weights[first] + s->ends[(first == 0) + 2 * (end == s->layout->n_layer)];
}

static uint64_t source_need(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return (uint64_t)(s->factor_weights * (double)source_weights(user, first, end)) +
           (uint64_t)(s->factor_kv * (double)(s->kv[end] - s->kv[first])) + source_compute(s, first, end);
}

static uint64_t source_layers_bytes(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return (uint64_t)(s->factor_weights * (double)(s->weights[end] - s->weights[first])) +
           (uint64_t)(s->factor_kv * (double)(s->kv[end] - s->kv[first])) + s->adapters[end] - s->adapters[first];
}

static uint64_t source_experts_bytes(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return (uint64_t)(s->factor_weights * (double)(s->experts[end] - s->experts[first]));
}

static void source_parts(void *user, uint32_t first, uint32_t end, struct plan_parts *ret) {
    const struct plan_source *s = user;
    const int class = (first == 0) + 2 * (end == s->layout->n_layer);
    uint64_t tables = s->ends[class];
    ret->in = first == 0 && s->layout->bytes_embd < tables ? s->layout->bytes_embd : 0;
    ret->out = tables - ret->in;
    ret->ram = source_compute(s, first, end);
    ret->gpu = (uint64_t)(s->factor_compute * (double)(end == s->layout->n_layer ? s->compute_gpu_tail : s->compute_gpu));
    ret->beside = ret->gpu > ret->ram ? ret->gpu : ret->ram;
    ret->process = s->process[class] > 0 ? s->process[class] : MODEL_ESTIMATE_FIXED;
    ret->apart = s->most_experts;
    if (s->gpu[class] == 0) return;
    ret->gpu = s->gpu[class];
    if (s->apart[class] > 0) ret->apart = s->apart[class] > ret->gpu ? s->apart[class] - ret->gpu : 0;
}

static bool source_may(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return s->may[(size_t)first * (s->layout->n_layer + 1) + end];
}

static void source_why_not(void *user, uint32_t first, uint32_t end, struct err *e) {
    const struct plan_source *s = user;
    model_quirks_check(s->layout, first, end, e);
}

static void source_sizes(struct plan_source *s) {
    const struct model_layout *l = s->layout;
    uint32_t n = l->n_layer;
    uint64_t lead = model_quirks_lead(l, 1) > 0 ? model_estimate_slice(l, 0, 1, &s->shape).kv : 0; /* each later slice has it once */
    s->same = true;
    for (uint32_t i = 0; i < n; i++) {
        struct model_estimate m = model_estimate_slice(l, i, i + 1, &s->shape);
        if (i > 0) m.kv -= lead, m.weights += lead;
        m.compute -= model_estimate_ends(i == 0, i + 1 == n); /* source_compute adds it */
        s->weights[i + 1] = s->weights[i] + l->layers[i].bytes;
        s->kv[i + 1] = s->kv[i] + m.kv;
        s->adapters[i + 1] = s->adapters[i] + (s->shape.adapters != NULL ? s->shape.adapters[i] : 0);
        if (i + 1 == n) s->compute_tail = m.compute;
        s->compute[i] = i + 1 == n && n > 1 ? 0 : m.compute; /* the last layer's figure contains the logits, which only a tail has */
        if (i > 0 && i + 1 < n && s->compute[i] != s->compute[0]) s->same = false;
        if (i == 0) s->ends[1] = m.weights - l->layers[0].bytes;
        if (i + 1 == n) s->ends[2] = m.weights - l->layers[i].bytes;
        if (i > 0 && i + 1 < n) s->ends[0] = m.weights - l->layers[i].bytes;
    }
    struct model_estimate whole = model_estimate_slice(l, 0, n, &s->shape);
    s->ends[3] = whole.weights - s->weights[n];
    whole.compute -= model_estimate_ends(true, true);
    if (!s->same || n == 1 || whole.compute > s->compute_tail) s->compute_tail = whole.compute;
    if (n > 1 && !s->same) s->compute[n - 1] = 0;
}

/* Compute buffers of GPUs: all layers alike, so that a plan errs on the safe side. */
static void source_gpu_sizes(struct plan_source *s) {
    const struct model_layout *l = s->layout;
    struct model_load_shape shape = s->shape;
    if (shape.n_ubatch_gpu > 0) shape.n_ubatch = shape.n_ubatch_gpu;
    for (uint32_t i = 0; i < l->n_layer; i++) {
        uint64_t compute = model_estimate_slice(l, i, i + 1, &shape).compute;
        bool tail = i + 1 == l->n_layer;
        if ((!tail || l->n_layer == 1) && compute > s->compute_gpu) s->compute_gpu = compute;
    }
    s->compute_gpu_tail = model_estimate_slice(l, 0, l->n_layer, &shape).compute;
}

static uint64_t tensor_elements(const struct model_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

/* From bytes and macs to the fractions of plan_layer. */
static void source_formats(struct plan_layer *l, double width) {
    l->plain = l->dense > 0 ? l->plain / l->dense : 0;
    l->plain_expert = l->expert > 0 ? l->plain_expert / l->expert : 0;
    l->half = l->macs > l->expert_macs ? l->half / (l->macs - l->expert_macs) : 0;
    double times = USUAL_WIDTH / (width > LEAST_WIDTH ? width : LEAST_WIDTH);
    l->narrow = (l->macs - l->expert_macs) * (times * times - 1);
}

static double source_launches(const struct model_layout *l, uint32_t i, const struct plan_layer *out) {
    bool mixes = out->state > 0 || out->kv_position > 0, feeds = model_layer_tensor(l, i, "ffn_") != NULL;
    double n = mixes && feeds ? 1 : HALF_LAUNCHES;
    if (out->expert > 0) n += EXPERT_LAUNCHES;
    if (out->state > 0) n += STATE_LAUNCHES;
    if (model_layer_tensor(l, i, "attn_k_b.")) n += LATENT_LAUNCHES;
    if (model_layer_tensor(l, i, "inp_gate.")) n += OWN_LAUNCHES;
    return n;
}

static void source_layer(struct plan_source *s, uint32_t i, double share) {
    const struct model_layout *l = s->layout;
    struct plan_layer *out = &s->layers[i];
    s->experts[i + 1] = s->experts[i];
    out->share = share;
    for (uint32_t k = 0; k < l->layers[i].n_tensors; k++) {
        const struct model_tensor *t = model_gguf_tensor(l->gguf, l->layers[i].tensors[k]);
        bool expert = strstr(t->name, "_exps.") != NULL;
        *(expert ? &out->expert : &out->dense) += (double)t->bytes;
        double macs = (expert ? share : 1) * (double)tensor_elements(t), bits = 8.0 * (double)t->bytes / (double)tensor_elements(t);
        out->macs += macs;
        *(expert ? &out->plain_expert : &out->plain) += bits >= 8 ? (double)t->bytes : 0;
        if (!expert && bits >= 16) out->half += macs;
        if (strstr(t->name, ".attn_q.weight") != NULL) out->attention = ATTENTION_MACS * 2 * (double)t->ne[1];
        out->expert_macs += expert ? macs : 0;
        if (!model_layer_expert(t->name)) continue;
        s->experts[i + 1] += t->bytes;
        if (t->bytes > s->most_experts) s->most_experts = t->bytes;
    }
    source_formats(out, (double)l->n_embd);
    out->macs += STATE_MACS * (double)l->layers[i].state_bytes / (double)sizeof(float);
    out->kv_position = (double)model_kv_token_bytes(l, i, s->shape.type_k, s->shape.type_v);
    out->window = l->layers[i].window;
    out->state = 2.0 * (double)l->layers[i].state_bytes; /* read and written */
    out->launches = source_launches(l, i, out);
}

static void source_costs(struct plan_source *s) {
    const struct model_layout *l = s->layout;
    uint64_t experts = 0, used = 0;
    model_kv_uint(model_gguf_find_arch(l->gguf, "expert_count"), 0, &experts);
    model_kv_uint(model_gguf_find_arch(l->gguf, "expert_used_count"), 0, &used);
    double share = experts && used && used <= experts ? (double)used / (double)experts : 1;
    for (uint32_t i = 0; i < l->n_layer; i++) source_layer(s, i, share);
    s->model.head.dense = (double)l->bytes_output;
    s->model.head.macs = (double)l->n_embd * l->n_vocab;
    s->model.head.plain = s->model.head.dense >= s->model.head.macs ? 1 : 0;
}

static void source_lead(struct plan_source *s) {
    s->model.lead = (struct plan_layer){0};
    if (model_quirks_lead(s->layout, 1) == 0) return;
    s->model.lead = s->layers[0];
    s->model.lead.dense = (double)model_estimate_lead(s->layout);
    s->model.lead.plain = s->model.lead.half = 0;
}

static void source_cuts(struct plan_source *s) {
    const struct model_layout *l = s->layout;
    uint32_t n = l->n_layer, cuts[MODEL_MAX_LAYERS + 1], n_cuts = model_quirks_cuts(l, cuts, MODEL_MAX_LAYERS + 1);
    struct err e = {0};
    s->model.whole_reason = NULL;
    for (uint32_t first = 0; first < n; first++)
        for (uint32_t end = first + 1; end <= n; end++)
            s->may[(size_t)first * (n + 1) + end] = model_quirks_check(l, first, end, NULL) == ERR_OK;
    if (n_cuts > 2) return;
    if (n < 2 || model_quirks_check(l, 0, n / 2, &e) != ERR_WHOLE_ONLY) err_set(&e, ERR_WHOLE_ONLY, "its layers cannot be divided");
    snprintf(s->whole_reason, sizeof(s->whole_reason), "%.250s", e.text);
    s->model.whole_reason = s->whole_reason;
}

/* What libllama doesn't say: adapters, and the projector that the first slice has, too. */
static uint64_t source_room(void *user, uint32_t first, uint32_t end) {
    const struct plan_source *s = user;
    return source_need(user, first, end) + s->adapters[end] - s->adapters[first] + (first == 0 ? s->shape.projector : 0);
}

struct plan_source *plan_source_create(const struct model_layout *l, const struct model_load_shape *shape, const char *name) {
    struct plan_source *s = MEM_NEW(struct plan_source);
    size_t n = l->n_layer;
    s->layout = l;
    s->shape = *shape;
    s->factor_weights = s->factor_kv = s->factor_compute = 1;
    s->layers = mem_calloc(n, sizeof(*s->layers));
    s->weights = mem_calloc(n + 1, sizeof(*s->weights));
    s->kv = mem_calloc(n + 1, sizeof(*s->kv));
    s->experts = mem_calloc(n + 1, sizeof(*s->experts));
    s->adapters = mem_calloc(n + 1, sizeof(*s->adapters));
    s->compute = mem_calloc(n, sizeof(*s->compute));
    s->may = mem_calloc(n * (n + 1) + n + 1, 1);
    s->model = (struct plan_model){.name = name,
                                   .n_layer = l->n_layer,
                                   .may = source_may,
                                   .why_not = source_why_not,
                                   .need = source_room,
                                   .weights = source_weights,
                                   .parts = source_parts,
                                   .layers_bytes = source_layers_bytes,
                                   .user = s,
                                   .layers = s->layers,
                                   .n_embd = model_quirks_width(l),
                                   .wide = strncmp(l->arch, "gemma", 5) == 0,
                                   .n_ctx = shape->n_ctx,
                                   .n_ubatch = shape->n_ubatch};
    source_sizes(s);
    source_gpu_sizes(s);
    source_costs(s);
    if (s->most_experts > 0) s->model.experts_bytes = source_experts_bytes;
    source_lead(s);
    source_cuts(s);
    return s;
}

void plan_source_free(struct plan_source *s) {
    if (!s) return;
    free(s->layers);
    free(s->weights);
    free(s->kv);
    free(s->experts);
    free(s->adapters);
    free(s->compute);
    free(s->may);
    free(s);
}

const struct plan_model *plan_source_model(const struct plan_source *s) { return &s->model; }

struct model_estimate plan_source_split(const struct plan_source *s, uint32_t first, uint32_t end) {
    struct plan_source *user = s->model.user;
    struct model_estimate m = {.total = source_need(user, first, end)};
    m.weights = (uint64_t)(s->factor_weights * (double)source_weights(user, first, end));
    m.kv = (uint64_t)(s->factor_kv * (double)(s->kv[end] - s->kv[first]));
    m.compute = m.total - m.weights - m.kv;
    return m;
}

static double within(double v, double low, double high) { return v < low ? low : v > high ? high : v; }

static double ratio(uint64_t real, uint64_t estimate) { return real > 0 && estimate > 0 ? (double)real / (double)estimate : 1; }

/* The largest slice tells most of weights and KV cache. */
void plan_source_measured(struct plan_source *s, const struct needs *n) {
    s->model.pending = false;
    if (n == NULL) return;
    for (int i = 0; i < NEEDS_CLASSES; i++) {
        uint64_t rest = n->slices[i].compute + n->slices[i].process;
        if (n->slices[i].end > 0) s->measured[i] = rest > MODEL_ESTIMATE_FIXED ? rest : MODEL_ESTIMATE_FIXED;
        s->process[i] = n->slices[i].process;
        s->gpu[i] = n->slices[i].gpu;
        s->apart[i] = n->slices[i].apart;
    }
    const struct needs_slice *whole = &n->slices[NEEDS_WHOLE];
    if (whole->end == 0) return;
    s->factor_weights = within(ratio(whole->weights, source_weights(s, whole->first, whole->end)), 0.5, 2);
    s->factor_kv = within(ratio(whole->kv, s->kv[whole->end] - s->kv[whole->first]), 0.5, 2);
}

void plan_source_cut(struct plan_source *s) {
    s->model.n_embd = model_quirks_width(s->layout);
    source_sizes(s);
    source_gpu_sizes(s);
    source_lead(s);
    source_cuts(s);
}

void plan_source_measuring(struct plan_source *s) { s->model.pending = true; }

void plan_source_correct(struct plan_source *s, double kv, double compute) {
    s->factor_kv = within(kv, 0.5, 2);
    s->factor_compute = within(compute, 0.5, 2);
}
