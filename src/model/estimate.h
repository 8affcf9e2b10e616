/* SPDX-License-Identifier: MIT
 * The memory that a slice will take: exact weights, KV and recurrent state, and an estimate of libllama's compute buffers
 * (corrected by what stages report once loaded). Pure functions, any thread. */
#ifndef CARAVAN_MODEL_ESTIMATE_H
#define CARAVAN_MODEL_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/layout.h"

enum { MODEL_ESTIMATE_FIXED = 17 << 20 }; /* compute bytes of any slice: the program, graphs, small tensors, rounding by the allocator */
/* What the process of a model's first or last slice has besides, as measured with a small vocabulary: tokenizer, scheduler, sampler. */
uint64_t model_estimate_ends(bool first, bool last);

struct model_load_shape {
    uint32_t n_ctx;            /* positions a sequence may have */
    uint32_t n_seq;            /* sequences at once */
    uint32_t n_ubatch;         /* tokens in one compute step */
    uint32_t n_ubatch_gpu;     /* the same where a GPU computes; 0: as n_ubatch */
    uint32_t type_k, type_v;   /* enum model_type of the cache */
    bool streams;              /* each sequence has cells of its own, and there is no flash attention (--exact); else one pool for all */
    bool mtp;                  /* the last slice guesses with the model's own layers, if they can */
    uint32_t n_rewind;         /* as model_layout_guesses has it */
    const uint64_t *adapters;  /* [n_layer]: bytes that adapters take with each layer; NULL: there are none */
    uint64_t projector;        /* bytes of the projector of pictures and sounds, which the first slice has, too */
};

struct model_estimate {
    uint64_t weights;
    uint64_t kv;               /* KV cells and recurrent state */
    uint64_t compute;
    uint64_t total;
};

/* Bytes of a layer of zeros that stands before a later slice's own layers (model_quirks_lead), if the model has such slices. */
uint64_t model_estimate_lead(const struct model_layout *l);
/* Of layers [first, end), with the embedding if first = 0 and the head if end = n_layer. */
struct model_estimate model_estimate_slice(const struct model_layout *l, uint32_t first, uint32_t end,
                                           const struct model_load_shape *shape);
/* How many of n_ubatch tokens in one compute step can have logits, at least one for each sequence. With a large vocabulary a logits row
 * for every token would be the largest buffer of all, and a prompt needs only one row. */
uint32_t model_estimate_outputs(uint32_t n_ubatch, uint32_t n_seq);
/* Positions of a sequence, the last ones, that the layers for multi-token prediction keep. */
enum { MODEL_MTP_CELLS = 1024 };
uint32_t model_estimate_mtp_cells(uint32_t n_ctx);
/* KV bytes that one more token of context takes in a layer: 0 in recurrent layers. It counts windowed layers too, although these take
 * nothing more once the window is full. */
uint64_t model_kv_token_bytes(const struct model_layout *l, uint32_t layer, uint32_t type_k, uint32_t type_v);

#endif
