/* SPDX-License-Identifier: MIT
 * The engine as the pipeline sees it: one slice of a model that computes batches. engine/slice.h makes a real one (libllama); the simulator
 * has a fake one. The compute thread that opened the engine calls all its functions; a second thread may call tokenize and tokenize_pair
 * (stage/tokenizer.h). Shapes: hidden rows are [n_tokens][n_embd] f32 row-major; logits rows are [n_vocab] f32. */
#ifndef CARAVAN_ENGINE_ENGINE_H
#define CARAVAN_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/params.h"

enum { ENGINE_MAX_SEQ = 1024, ENGINE_MAX_POS = (1 << 30) - 1 };

/* Kinds of struct engine_op. The engine applies operations before it computes a batch. */
enum engine_op_kind {
    ENGINE_OP_RM = 1,    /* remove positions [p0, p1) of seq (p1 < 0: to the end; p0 <= 0 and p1 < 0: all of it) */
    ENGINE_OP_CP = 2,    /* copy positions [p0, p1) of seq to dst */
    ENGINE_OP_CLOSE = 3, /* the sequence ends: removes all its positions and frees its sampler */
    ENGINE_OP_PARK = 4 /* the sequence will not be needed soon: its KV data may move out of the cells, where it slows the others down */
};

/* How the rows of a text become one vector (the numbers are GGUF's `<arch>.pooling_type`); NONE: the model generates text. */
enum engine_pooling { ENGINE_POOL_NONE, ENGINE_POOL_MEAN, ENGINE_POOL_CLS, ENGINE_POOL_LAST, ENGINE_POOL_RANK };

/* Flags of struct engine_token. */
enum {
    ENGINE_TOKEN_SAMPLE = 1, /* the tail samples the next token after this one and reports it */
    ENGINE_TOKEN_LOGITS = 2, /* the tail reports all logits of this position (verify) */
    ENGINE_TOKEN_DRAFT = 4, /* a proposal: the tail answers it only if it equals the token that was sampled before it */
    ENGINE_TOKEN_POOL = 8, /* the last of a text: the tail reports the text's vector */
    ENGINE_TOKEN_FLAGS = 15
};

/* The structs engine_op, engine_token and engine_sample with engine_top, and engine_info: a slice as it was loaded. */
#define MESSAGES_BATCH
#define MESSAGES_INFO
#include "base/field_structs.h"
#undef MESSAGES_BATCH
#undef MESSAGES_INFO

struct engine_ops {
    /* Applies sequence operations, in order. */
    err_code (*apply)(void *self, const struct engine_op *ops, size_t n, struct err *e);
    /* Sets how many bytes all parked sequences (ENGINE_OP_PARK) together may take; 0 at the start. When parked sequences exceed a lower
     * limit, sequences go back into the KV cells until the rest fits. NULL: the engine parks nothing. */
    void (*park_room)(void *self, uint64_t bytes);
    /* Computes a batch of n tokens (n <= n_batch). hidden_in: n rows, NULL in the first slice; hidden_out: room for n rows, NULL in
     * the last.
     * In the last slice logits of every token with flags are kept until the next eval, and tokens are noted by position: a sampler
     * sees those up to the position that it samples after, so a proposal that was refused never gets into its history. ERR_ENGINE
     * when libllama refuses (KV full: ERR_NO_ROOM; nothing was changed then). */
    err_code (*eval)(void *self, const struct engine_token *tokens, size_t n, const float *hidden_in, float *hidden_out, struct err *e);
    /* Logits of the batch's token i (it must have had flags), [n_vocab], valid until the next eval. Last slice of a model that generates
     * text only; else NULL. */
    const float *(*logits)(void *self, size_t i);
    /* The vector of the text that the batch's token i ends (ENGINE_TOKEN_POOL), [n_vector], of length 1 unless it is a rank; valid until
     * the next eval. Last slice of a model that gives vectors only; else NULL. */
    const float *(*vector)(void *self, size_t i);
    /* A sequence begins: makes its sampler, which replaces an earlier one. Last slice only (others ignore the call). */
    err_code (*seq_open)(void *self, uint32_t seq, const struct engine_sampling *params, struct err *e);
    /* Samples after the batch's token i of seq. Randomness is a function of (seed, position) alone. Last slice only. */
    err_code (*sample)(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e);
    /* Text to tokens: *ret_tokens is a new array (caller frees it). special: control tokens in the text are parsed; bos: with one in
     * front where the model wants one. */
    err_code (*tokenize)(void *self, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens, size_t *ret_n,
                         struct err *e);
    /* Joins a query and a text in the form that the model expects. Only for models that rank texts. */
    err_code (*tokenize_pair)(void *self, const char *query, size_t query_len, const char *text, size_t len, int32_t **ret_tokens,
                              size_t *ret_n, struct err *e);
    /* A token's bytes, appended to out; true for a control token (its text is markup, not for the reader). First slice only, as
     * tokenize. */
    bool (*piece)(void *self, int32_t token, struct buf *out);
    void (*close)(void *self);
};

struct engine {
    const struct engine_ops *ops;
    void *self;
    struct engine_info info;
};

#endif
