/* SPDX-License-Identifier: MIT
 * A slice of a model that gives embeddings or ranks instead of text. A causal model's tail hands out its normalised rows, as every earlier
 * slice hands out its hidden ones, and they are pooled here, so that a text may come in any number of batches and the output head is never
 * computed. A model with bidirectional attention, or with a classifier at its end, takes a text in one batch, and libllama pools. */
#include <assert.h>
#include <llama.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/slice_priv.h"

enum { AT_ONCE_MOST = 8192 }; /* most tokens of a text that has to come in one batch */

static const char *const NAMES[] = {"none", "mean", "cls", "last"};
#define SAME(name) ((int)ENGINE_POOL_##name == (int)LLAMA_POOLING_TYPE_##name)
static_assert(SAME(MEAN) && SAME(CLS) && SAME(LAST) && SAME(RANK), "ours are libllama's");

/* "<arch>.<name>" of the metadata, as text. */
static bool arch_value(const struct slice *s, const char *name, char *ret, size_t size) {
    char arch[64], key[128];
    if (llama_model_meta_val_str(s->model, "general.architecture", arch, sizeof(arch)) < 0) return false;
    snprintf(key, sizeof(key), "%s.%s", arch, name);
    return llama_model_meta_val_str(s->model, key, ret, size) >= 0;
}

/* The pooling type in the model's metadata; ENGINE_POOL_NONE: the model generates text. */
static enum engine_pooling own_pooling(const struct slice *s) {
    char text[16];
    int64_t type;
    if (!arch_value(s, "pooling_type", text, sizeof(text)) || !str_parse_i64(text, &type)) return ENGINE_POOL_NONE;
    return type >= ENGINE_POOL_NONE && type <= ENGINE_POOL_RANK ? (enum engine_pooling)type : ENGINE_POOL_NONE;
}

void slice_pool_choose(struct slice *s, const struct engine_load *load) {
    char causal[8];
    struct slice_pool *p = &s->pool;
    p->type = own_pooling(s);
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) /* only the metadata can ask for ranking, which needs a classifier */
        if (strcmp(load->pooling, NAMES[i]) == 0) p->type = (enum engine_pooling)i;
    bool all_sides = arch_value(s, "attention.causal", causal, sizeof(causal)) && strcmp(causal, "false") == 0;
    p->at_once = p->type == ENGINE_POOL_RANK || (p->type != ENGINE_POOL_NONE && all_sides);
    p->caught = p->type != ENGINE_POOL_NONE && !p->at_once && s->what.tail;
    if (!p->caught) return;
    s->what.n_hidden_out = (uint32_t)llama_model_n_embd(s->model);
    snprintf(s->what.out_tensor, sizeof(s->what.out_tensor), "result_norm");
}

void slice_pool_context(const struct slice *s, struct llama_context_params *params) {
    const struct slice_pool *p = &s->pool;
    if (p->type == ENGINE_POOL_NONE) return;
    params->embeddings = true;
    if (!s->what.tail) return; /* this slice hands out hidden rows, whether or not the model pools */
    params->pooling_type = p->at_once ? (enum llama_pooling_type)p->type : LLAMA_POOLING_TYPE_LAST;
    if (p->at_once) {
        uint32_t n_ctx = params->n_ctx / params->n_seq_max, most = n_ctx < AT_ONCE_MOST ? n_ctx : AT_ONCE_MOST;
        if (params->n_batch < most) params->n_batch = most;
        params->n_ubatch = params->n_batch;
    }
}

err_code slice_pool_room(struct slice *s, struct err *e) {
    struct slice_pool *p = &s->pool;
    p->width = p->type == ENGINE_POOL_RANK ? llama_model_n_cls_out(s->model) : (uint32_t)llama_model_n_embd_out(s->model);
    if (p->width == 0) return err_set(e, ERR_UNSUPPORTED, "the model has no classifier to rank with");
    size_t n_seq = s->info.n_seq, batch = p->caught ? (size_t)s->info.n_batch * p->width : 0;
    p->rows = malloc((batch + 2 * n_seq * p->width) * sizeof(*p->rows));
    if (p->rows == NULL) return err_set(e, ERR_MEMORY, "no memory for rows of %u numbers", p->width);
    p->sums = p->rows + batch;
    p->vectors = p->sums + n_seq * p->width;
    p->counts = mem_calloc(n_seq, sizeof(*p->counts));
    s->rows = mem_calloc(s->info.n_batch, sizeof(*s->rows));
    s->info.n_vector = p->width;
    return ERR_OK;
}

static void normalise(float *v, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    float scale = sum > 0 ? (float)(1.0 / sqrt(sum)) : 0.0f;
    for (uint32_t i = 0; i < n; i++) v[i] *= scale;
}

/* Adds a row of a causal model to its sequence's sum or vector. */
static void add_row(struct slice_pool *p, const struct engine_token *t, const float *row) {
    float *sum = p->sums + (size_t)t->seq * p->width;
    if (t->pos == 0) {
        memset(sum, 0, p->width * sizeof(*sum));
        p->counts[t->seq] = 0;
    }
    p->counts[t->seq]++;
    if (p->type == ENGINE_POOL_MEAN)
        for (uint32_t k = 0; k < p->width; k++) sum[k] += row[k];
    else if (p->type == ENGINE_POOL_LAST || t->pos == 0) memcpy(sum, row, p->width * sizeof(*sum));
}

err_code slice_pool_take(struct slice *s, const struct engine_token *t, size_t at, size_t n, struct err *e) {
    struct slice_pool *p = &s->pool;
    for (size_t i = at; i < at + n; i++) {
        if (p->caught) add_row(p, &t[i], p->rows + i * p->width);
        if ((t[i].flags & ENGINE_TOKEN_POOL) == 0) continue;
        float *vector = p->vectors + (size_t)t[i].seq * p->width;
        const float *from = p->caught ? p->sums + (size_t)t[i].seq * p->width : llama_get_embeddings_seq(s->ctx, (llama_seq_id)t[i].seq);
        if (from == NULL) return err_set(e, ERR_ENGINE, "libllama gave no embedding for sequence %u", t[i].seq);
        float scale = p->caught && p->type == ENGINE_POOL_MEAN ? 1.0f / (float)p->counts[t[i].seq] : 1.0f;
        for (uint32_t k = 0; k < p->width; k++) vector[k] = from[k] * scale;
        if (p->type != ENGINE_POOL_RANK) normalise(vector, p->width);
        s->rows[i] = vector;
    }
    return ERR_OK;
}

void slice_pool_done(struct slice *s) {
    free(s->pool.rows);
    free(s->pool.counts);
}
