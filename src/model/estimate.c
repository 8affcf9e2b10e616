/* SPDX-License-Identifier: MIT */
#include "model/estimate.h"

#include "model/quirks.h"
#include "model/types.h"

enum { DEFAULT_UBATCH = 512, CELL_STEP = 256, OUTPUTS_SHARE = 4, MTP_ROWS = 8 };

/* Bytes of n elements, whole blocks. */
static uint64_t row_bytes(uint32_t type, uint64_t n) {
    const struct model_type_info *t = model_type_get(type);
    return t ? (n + t->block - 1) / t->block * t->bytes : 4 * n;
}

uint64_t model_kv_token_bytes(const struct model_layout *l, uint32_t layer, uint32_t type_k, uint32_t type_v) {
    return row_bytes(type_k, l->layers[layer].n_k) + row_bytes(type_v, l->layers[layer].n_v);
}

static uint64_t kv_bytes(const struct model_layout *l, uint32_t first, uint32_t end, const struct model_load_shape *shape,
                         uint64_t n_ubatch) {
    uint64_t full = ((uint64_t)shape->n_ctx + CELL_STEP - 1) / CELL_STEP * CELL_STEP, sum = 0;
    for (uint32_t i = first; i < end; i++) {
        uint64_t cells;
        uint64_t pools = shape->streams ? shape->n_seq : 1, each = shape->n_seq / pools; /* sequences in a pool */
        uint64_t window = ((uint64_t)l->layers[i].window * each + n_ubatch + CELL_STEP - 1) / CELL_STEP * CELL_STEP;
        cells = full * each;
        if (l->layers[i].window && window < cells) cells = window;
        sum += cells * pools * model_kv_token_bytes(l, i, shape->type_k, shape->type_v);
        sum += l->layers[i].state_bytes * shape->n_seq;
    }
    return sum;
}

static bool has_attention(const struct model_layout *l, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++)
        if (l->layers[i].n_k > 0) return true;
    return false;
}

static bool has_indexer(const struct model_layout *l, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++)
        if (l->layers[i].indexer) return true;
    return false;
}

uint32_t model_estimate_outputs(uint32_t n_ubatch, uint32_t n_seq) {
    uint32_t share = n_ubatch / OUTPUTS_SHARE;
    return share > n_seq ? share : n_seq;
}

uint64_t model_estimate_ends(bool first, bool last) {
    static const uint64_t bytes[2][2] = {{0, 5 << 20}, {5 << 20, 7 << 20}};
    return bytes[first][last];
}

/* The most that libllama holds at once: the residual stream and a layer's intermediate results, the attention mask (f16 for flash
 * attention; without that, the scores of all heads), and in the tail the logits. The scores of an indexer and their sorting took up to
 * 12.5 times n_ctx * n_ubatch floats in measurements. */
static uint64_t compute_bytes(const struct model_layout *l, uint32_t first, uint32_t end, const struct model_load_shape *shape,
                              uint64_t n_ubatch) {
    uint64_t layer = 4 * n_ubatch * (6 * (uint64_t)l->n_embd + 3 * (uint64_t)l->n_ff_max);
    uint64_t cells = n_ubatch * shape->n_ctx * shape->n_seq;
    uint64_t scores = cells * (has_indexer(l, first, end) ? 4 * 13 : has_attention(l, first, end) ? 2 : 0);
    if (shape->streams && has_attention(l, first, end)) scores += 4 * n_ubatch * shape->n_ctx * ((uint64_t)l->n_head_max + 1);
    uint64_t rows = shape->streams ? n_ubatch : model_estimate_outputs((uint32_t)n_ubatch, shape->n_seq);
    uint64_t logits = end == l->n_layer ? 4 * rows * (l->n_vocab + 4 * (uint64_t)l->n_embd) : 0; /* and the rows they come from */
    return MODEL_ESTIMATE_FIXED + scores + (logits > layer ? logits : layer);
}

/* What guessing by the model's own layers takes in the tail: the first of them, its KV cells and those of no other layer, a context for a
 * few tokens, and the embedding, which a tail has otherwise only where it is the output table too. */
static void add_mtp(struct model_estimate *m, const struct model_layout *l, bool head, const struct model_load_shape *shape) {
    const struct model_tensor *t = model_gguf_find_tensor(l->gguf, "token_embd.weight");
    uint64_t cells = (uint64_t)model_estimate_mtp_cells(shape->n_ctx) * shape->n_seq;
    m->weights += l->layers[l->n_layer].bytes;
    if (t && !head && !l->tied && !model_layer_tensor(l, l->n_layer, "nextn.embed_tokens.")) m->weights += t->bytes;
    m->kv += cells * model_kv_token_bytes(l, l->n_layer, shape->type_k, shape->type_v);
    m->compute += MODEL_ESTIMATE_FIXED / 4 + 4 * MTP_ROWS * ((uint64_t)l->n_vocab + 10 * (uint64_t)l->n_embd + 3 * (uint64_t)l->n_ff_max);
}

uint32_t model_estimate_mtp_cells(uint32_t n_ctx) { return n_ctx < MODEL_MTP_CELLS ? n_ctx : MODEL_MTP_CELLS; }

/* The tables outside of the layers: the slice's own; tables of about one bit a weight where libllama insists on a table that is not
 * used; and libllama's second copy of a quantised table that serves both ends. */
static uint64_t table_bytes(const struct model_layout *l, bool head, bool tail) {
    const struct model_tensor *t = model_gguf_find_tensor(l->gguf, "token_embd.weight");
    uint64_t table = t ? t->bytes : 0, made = (uint64_t)l->n_vocab * l->n_embd / 7, sum = l->bytes_shared;
    if (!head && !tail) return sum;
    if (l->tied) {
        bool quantised = t && model_type_get(t->type)->block > 1;
        return sum + l->bytes_embd + (quantised ? table : 0) + (tail ? l->bytes_output - table : 0);
    }
    if (head) sum += l->bytes_embd;
    if (tail) sum += l->bytes_output;
    return head && tail ? sum : sum + made;
}

/* About one bit a weight, as in table_bytes; F32 stays as it is. */
uint64_t model_estimate_lead(const struct model_layout *l) {
    uint64_t sum = 0;
    if (model_quirks_lead(l, 1) == 0) return 0;
    for (uint32_t i = 0; i < l->layers[0].n_tensors; i++) {
        const struct model_tensor *t = model_gguf_tensor(l->gguf, l->layers[0].tensors[i]);
        sum += t->n_dims == 2 && t->type != MODEL_TYPE_F32 ? t->ne[0] * t->ne[1] / 7 : t->bytes;
    }
    return sum;
}

struct model_estimate model_estimate_slice(const struct model_layout *l, uint32_t first, uint32_t end,
                                           const struct model_load_shape *shape) {
    uint64_t n_ubatch = shape->n_ubatch ? shape->n_ubatch : DEFAULT_UBATCH;
    struct model_estimate m = {.weights = table_bytes(l, first == 0, end == l->n_layer)};
    for (uint32_t i = first; i < end; i++) m.weights += l->layers[i].bytes;
    m.kv = kv_bytes(l, first, end, shape, n_ubatch);
    m.compute = compute_bytes(l, first, end, shape, n_ubatch) + model_estimate_ends(first == 0, end == l->n_layer);
    if (model_quirks_lead(l, first) > 0) {
        m.weights += model_estimate_lead(l);
        m.kv += kv_bytes(l, 0, 1, shape, n_ubatch);
    }
    if (shape->mtp && model_layout_guesses(l, shape->n_rewind) && end == l->n_layer) add_mtp(&m, l, first == 0, shape);
    m.total = m.weights + m.kv + m.compute;
    return m;
}
