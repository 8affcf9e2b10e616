/* SPDX-License-Identifier: MIT
 * A model layer by layer: tensors, bytes of weights, bytes of memory (KV or recurrent state). Made from a model_gguf once, then
 * read-only: any thread. Borrows the gguf. */
#ifndef CARAVAN_MODEL_LAYOUT_H
#define CARAVAN_MODEL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/gguf.h"

enum { MODEL_MAX_LAYERS = 1024, MODEL_MAX_ARCH = 64, MODEL_KINDS_SIZE = 17 };

struct model_layer {
    uint64_t bytes;            /* weights */
    uint32_t n_tensors;
    const uint32_t *tensors;   /* indices into the gguf's tensors, in file order */
    uint32_t n_k, n_v;         /* elements of K and of V that one token takes here (0 without attention; MLA: the latent in n_k) */
    uint32_t window;           /* sliding window in tokens; 0: the whole context */
    uint64_t state_bytes;      /* recurrent state of one sequence, f32 (0: none) */
    bool indexer;              /* it has an indexer of its own, which chooses the positions that attention sees */
    bool nextn;                /* for multi-token prediction (MTP): not computed in ordinary decoding */
};

struct model_layout {
    const struct model_gguf *gguf; /* borrowed */
    char arch[MODEL_MAX_ARCH];
    char kinds[MODEL_KINDS_SIZE]; /* a hash, in hex, of how many layers there are, and of which kinds they are */
    uint32_t n_layer;          /* layers that can be divided among slices: [0, n_layer); the nextn blocks after them belong to the tail */
    uint32_t n_block;          /* `blk.N` in the file, nextn blocks included */
    uint32_t n_embd;
    uint32_t n_vocab;
    uint32_t n_ctx_train;
    uint32_t n_pos;            /* number of learned positions; 0: positions are computed, without a limit */
    uint32_t n_ff_max;         /* widest feed-forward, for the estimate of compute buffers */
    uint32_t n_head_max;
    uint64_t bytes_embd;       /* token_embd.weight and other tensors that only the first slice needs */
    uint64_t bytes_output;     /* tensors that only the last slice needs; with tied tables this counts token_embd again */
    uint64_t bytes_shared;     /* tensors that every slice needs (rope factors, ...) */
    uint64_t bytes_total;      /* all tensors, each once */
    bool tied;                 /* no output.weight: the head uses token_embd.weight */
    bool shortened;            /* model_layout_shorten */
    bool predicts;             /* libllama computes its first nextn layer (tables/quirks_mtp.def) */
    bool keeps_mtp;            /* model_layout_keep_mtp */
    struct model_layer *layers;/* n_block of them */
    uint32_t *tensor_of_layer; /* storage of layers[].tensors */
};

err_code model_layout_create(const struct model_gguf *g, struct model_layout **ret_l, struct err *e);
void model_layout_free(struct model_layout *l);

/* The number of positions that a sequence gets if `wish` are asked for (0: the model's trained context, at most 4096). ERR_INVALID: the
 * model has learned fewer positions. */
err_code model_layout_ctx(const struct model_layout *l, uint32_t wish, uint32_t *ret, struct err *e);

/* From now on the model ends with layer n - 1, and its output head follows there: a small model with the graph of a large one. n: at most
 * n_layer. */
void model_layout_shorten(struct model_layout *l, uint32_t n);

/* Is the first nextn layer worth its memory? Its guesses need a model that can take positions back: one without recurrent layers, or with
 * n_rewind copies of their state. */
bool model_layout_guesses(const struct model_layout *l, uint32_t n_rewind);
/* From now on the model's last slice has its first nextn layer too, if model_layout_guesses; else slices leave all of them out. */
void model_layout_keep_mtp(struct model_layout *l, uint32_t n_rewind);

/* The block number of "blk.N.rest" (and *ret_rest, if not NULL, its rest); -1 for other names. */
int32_t model_layer_of_name(const char *name, const char **ret_rest);
/* Is this a weight of a layer's experts, of which a token reads only those that it was given to? */
bool model_layer_expert(const char *name);
/* The first tensor of a layer whose name after "blk.N." begins with `start`; NULL if there is none. */
const struct model_tensor *model_layer_tensor(const struct model_layout *l, uint32_t layer, const char *start);

#endif
