/* SPDX-License-Identifier: MIT
 * A slice: layers [first, end) of a model as a GGUF file that exists only as a FILE*. Its header is written in memory; its tensor bytes
 * are read from the original file, or by the caller's read function (from a peer). The whole model [0, n_layer) is the original file,
 * byte for byte (split models: one joined file).
 *
 * A model_slice never changes after its creation: any thread. It borrows gguf and layout. Each FILE* is used by one thread. */
#ifndef CARAVAN_MODEL_SLICE_H
#define CARAVAN_MODEL_SLICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "model/gguf.h"
#include "model/layout.h"

struct model_scale;
struct model_slice; /* opaque */

/* What the engine must know to run the slice. */
struct model_slice_info {
    uint32_t first, end;       /* layers */
    uint32_t n_layer;          /* of the whole model */
    uint32_t n_lead;           /* layers of zeros that the virtual file has before its own, so that rows can enter behind them */
    uint32_t n_mtp;            /* layers for multi-token prediction that the tail has behind its other layers */
    bool head, tail;           /* takes token ids (first = 0); gives logits (end = n_layer) */
    bool whole;                /* head and tail: run it as any model */
    uint32_t n_hidden_in;      /* floats in a row that enters (0 in the head) */
    uint32_t n_hidden_out;     /* floats in a row that leaves (0 in the tail) */
    /* The graph tensor that the rows that enter replace; the batch has token ids then. "<WEIGHT": the node that reads this weight. "": the
     * rows are batch.embd. */
    char in_tensor[64];
    /* A weight of the virtual file's first layer: what the node that reads it computes travels with the rows, as their last n_carried
     * floats. "": nothing does. */
    char carry[64];
    uint32_t n_carried;
    char restore_after[64]; /* the graph tensor behind which the replaced value is put back; "": it isn't */
    bool injects; /* rows enter the model's later slices so */
    bool ids; /* the slice looks at token ids: give the real ones, as any head does; else any will do */
    bool no_embeddings; /* the context must not be asked for embeddings */
    bool keeps_state; /* sequences are copied through their whole state (MODEL_FIX_STATE) */
    bool kv_pool; /* only one pool of KV cells for all sequences works (MODEL_FIX_POOL) */
    bool all_outputs; /* a tail whose batches give right logits only if all their tokens have some (MODEL_FIX_OUTPUTS) */
    float input_scale; /* multiply rows by this before they go into batch.embd (architectures that scale given rows); 1: don't */
    /* The graph tensor with the outgoing rows: "l_out-3"; "" in the tail. If there is an out_op: a weight, and the rows are the first
     * tensor of that operation that is computed after the weight was read. */
    char out_tensor[64];
    char out_op[16];
    const struct model_scale *scale; /* constants of the whole model, for the graph; NULL: none (model/quirks.h) */
    uint64_t bytes_weights; /* tensor bytes read from the original: exact */
    uint64_t bytes_made; /* tensor bytes made here (small vocabularies, zeros) */
    uint64_t file_size; /* of the virtual file */
};

/* A run of bytes of the original, in part `part`. */
struct model_range {
    uint32_t part;
    uint64_t offset, len;
};

/* ERR_WHOLE_ONLY and ERR_INVALID: as model_quirks_check. ERR_FORMAT: the model lacks a tensor or a key that its architecture needs. */
err_code model_slice_create(const struct model_gguf *g, const struct model_layout *l, uint32_t first, uint32_t end,
                            struct model_slice **ret_s, struct err *e);
/* As model_slice_create, but ignores what tables/quirks.def says about whether and where the architecture may be cut (its fix-ups still
 * apply): for `caravan verify --force`, which finds out. */
err_code model_slice_create_forced(const struct model_gguf *g, const struct model_layout *l, uint32_t first, uint32_t end,
                                   struct model_slice **ret_s, struct err *e);
void model_slice_free(struct model_slice *s); /* NULL is fine; after all of its FILE*s are closed */

const struct model_slice_info *model_slice_info(const struct model_slice *s);

/* The ranges of the original that the slice's tensors need, sorted, neighbours joined; without the headers. */
uint32_t model_slice_n_ranges(const struct model_slice *s);
const struct model_range *model_slice_range(const struct model_slice *s, uint32_t i);

/* Reads exactly len bytes at offset of part into buf; false fails the read (and libllama's loading with it). */
typedef bool (*model_read_fn)(void *user, uint32_t part, uint64_t offset, void *buf, size_t len);

/* Opens the virtual file, positioned at its start, seekable, read-only; close it with fclose. read NULL: reads the local files
 * (model_gguf_path), which are opened here and closed with it. */
err_code model_slice_open(const struct model_slice *s, model_read_fn read, void *user, FILE **ret_f, struct err *e);

#endif
