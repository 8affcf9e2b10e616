/* SPDX-License-Identifier: MIT */
#include "model/estimate.h"

#include "model/types.h"

enum { DEFAULT_UBATCH = 512, CELL_STEP = 256 };

static const uint64_t fixed_compute = (uint64_t)16 << 20; /* graphs, small tensors, what the allocator rounds up */

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
        uint64_t cells = full;
        uint64_t window = ((uint64_t)l->layers[i].window + n_ubatch + CELL_STEP - 1) / CELL_STEP * CELL_STEP;
        if (l->layers[i].window && window < cells) cells = window;
        sum += cells * shape->n_seq * model_kv_token_bytes(l, i, shape->type_k, shape->type_v);
        sum += l->layers[i].state_bytes * shape->n_seq;
    }
    return sum;
}

/* The widest that libllama holds at once: the residual stream and a layer's intermediate results, the attention mask, and in the
 * tail the logits. */
static uint64_t compute_bytes(const struct model_layout *l, bool tail, const struct model_load_shape *shape, uint64_t n_ubatch) {
    uint64_t layer = 4 * n_ubatch * (6 * (uint64_t)l->n_embd + 3 * (uint64_t)l->n_ff_max);
    uint64_t mask = 6 * n_ubatch * shape->n_ctx * shape->n_seq;
    uint64_t logits = tail ? 4 * n_ubatch * l->n_vocab : 0;
    return fixed_compute + mask + (logits > layer ? logits : layer);
}

struct model_estimate model_estimate_slice(const struct model_layout *l, uint32_t first, uint32_t end,
                                           const struct model_load_shape *shape) {
    uint64_t n_ubatch = shape->n_ubatch ? shape->n_ubatch : DEFAULT_UBATCH;
    struct model_estimate m = {.weights = l->bytes_shared};
    for (uint32_t i = first; i < end; i++) m.weights += l->layers[i].bytes;
    bool head = first == 0, tail = end == l->n_layer;
    if (head) m.weights += l->bytes_embd;
    if (tail && !(head && l->tied)) m.weights += l->bytes_output;
    m.kv = kv_bytes(l, first, end, shape, n_ubatch);
    m.compute = compute_bytes(l, tail, shape, n_ubatch);
    m.total = m.weights + m.kv + m.compute;
    return m;
}
