/* SPDX-License-Identifier: MIT
 * The inside of a slice: slice.c loads and frees it, slice_run.c computes, slice_pool.c pools rows into vectors, slice_park.c parks
 * sequences. */
#ifndef CARAVAN_ENGINE_SLICE_PRIV_H
#define CARAVAN_ENGINE_SLICE_PRIV_H

#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "model/slice.h"

/* The additional state of a slice of an embedding model: engine/slice_pool.c. */
struct slice_pool {
    enum engine_pooling type;    /* NONE: the model generates text, and the other fields are not used */
    bool at_once;                /* a text has to come in one batch, and libllama pools */
    bool caught;                 /* the tail catches rows, and slice_pool.c pools them */
    uint32_t width;              /* of a vector */
    float *rows;                 /* [n_batch][width] caught; in the same memory sums and vectors */
    float *sums, *vectors;       /* [n_seq][width] */
    uint32_t *counts;            /* [n_seq]: rows in the sum */
};

/* A parked sequence's state in libllama's format; data NULL: the sequence is not parked. */
struct slice_parked {
    uint8_t *data;
    size_t size;
};

struct slice {
    struct model_slice_info what;
    struct engine_info info;
    struct llama_model *model;
    struct llama_context *ctx;
    llama_memory_t mem;
    const struct llama_vocab *vocab;
    bool exact;                  /* parts of one class of shapes */
    bool streams;                /* every sequence has its own KV cells */
    bool recurrent;              /* some layer keeps a state instead of KV */
    uint32_t n_outputs;          /* tokens of a part that can have logits; 0: all */
    uint32_t window;             /* smallest sliding window, 0: none */
    uint32_t n_pos;              /* positions a row of an embedding batch takes: 4 with M-RoPE */
    /* room for one batch, made once */
    struct llama_batch batch;    /* the slice owns its arrays, so llama_batch_free must not free them */
    llama_seq_id *seq_ids;
    float *rows_in;              /* scaled hidden states; NULL when input_scale is 1 */
    uint32_t *seen;              /* per sequence: the last part that had a token of it */
    uint32_t part;
    uint32_t *run;               /* per sequence: the number of its tokens in the last run; 0 after some were taken back */
    struct slice_parked *parked; /* [n_seq] */
    uint32_t n_parked;
    uint64_t park_room, park_used; /* bytes that parked sequences may take, and that they take */
    /* the tensor that leaves, caught while the graph runs */
    float *catch_to;             /* where the next rows go */
    uint32_t catch_room, caught; /* rows */
    bool catch_bad;
    /* last slice */
    const float **rows;          /* logits or vector of each token of the last batch; NULL: none */
    float *kept;                 /* rows copied out when a batch was computed in several parts */
    size_t kept_rows;            /* room */
    int32_t *history;            /* n_seq * n_ctx_seq tokens by position, -1: not known */
    struct engine_sampler **samplers;
    struct engine_scratch *scratch;
    struct slice_pool pool;
};

/* ---- slice_pool.c ---- */
/* The loaded model's pooling type. */
void slice_pool_choose(struct slice *s, const struct engine_load *load);
/* Sets the context parameters that pooling needs. */
void slice_pool_context(const struct slice *s, struct llama_context_params *params);
/* The tail's buffers. ERR_MEMORY, ERR_UNSUPPORTED. */
err_code slice_pool_room(struct slice *s, struct err *e);
/* Tokens [at, at + n) of a batch have been computed: their rows count, and flagged ones get their vector. */
err_code slice_pool_take(struct slice *s, const struct engine_token *t, size_t at, size_t n, struct err *e);
void slice_pool_done(struct slice *s);

/* ---- slice_park.c ---- */
/* Moves the sequence's state out of the cells, if the cache can be parked and there is room. */
void slice_park(struct slice *s, uint32_t seq);
/* Writes a parked sequence's state into the cells of dst, and replaces dst's own positions. If dst is the sequence itself, it is no longer
 * parked. Does nothing if the sequence is not parked. */
err_code slice_unpark(struct slice *s, uint32_t seq, uint32_t dst, struct err *e);
/* Frees a parked sequence's state without putting it back. */
void slice_park_drop(struct slice *s, uint32_t seq);
/* Sets how many bytes parked sequences may take from now on. */
void slice_park_room(struct slice *s, uint64_t bytes);
void slice_park_free(struct slice *s);

extern const struct engine_ops slice_ops;
/* ggml_backend_sched_eval_callback: copies the tensor that leaves, then ends the graph. */
bool slice_catch(struct ggml_tensor *t, bool ask, void *user);
/* Frees a slice, also a half-built one. */
void slice_free(struct slice *s);

#endif
