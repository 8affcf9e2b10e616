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
#include "engine/rows.h"

enum { ENGINE_MAX_GUESS = 8 /* guesses at once of the model's own layers */ };
enum { ENGINE_WHY_SIZE = 400 };
enum { ENGINE_MAX_STORED = 256 /* sequences that a slice stores in its memory */, ENGINE_MAX_SEQ = 1024, ENGINE_MAX_POS = (1 << 30) - 1 };

/* Kinds of struct engine_op. The engine applies operations before it computes a batch. */
enum engine_op_kind {
    ENGINE_OP_RM = 1,    /* remove positions [p0, p1) of seq (p1 < 0: to the end; p0 <= 0 and p1 < 0: all of it) */
    ENGINE_OP_CP = 2,    /* copy positions [p0, p1) of seq to dst */
    ENGINE_OP_CLOSE = 3, /* the sequence ends: removes all its positions and frees its sampler */
    ENGINE_OP_PARK = 4, /* the sequence is not needed soon: its KV data may move out of the cells, where they slow other sequences down */
    /* For models that can't remove the end of a sequence (info.can_mark). A mark is a copy of the state after the first p0 positions. */
    ENGINE_OP_MARK = 5, /* seq has p0 positions: keep its state as mark `key` */
    ENGINE_OP_BACK = 6, /* go back to the first p0 positions of seq, which are those of mark `key` (info.mark_whole: seq may be empty) */
    ENGINE_OP_DROP = 7, /* mark `key` is not needed any more */
    /* The store: a struct engine_store, which outlives the slice, or else the slice's own memory, from which the least recently used
     * sequence goes when the room is needed. */
    ENGINE_OP_SAVE = 8, /* seq has p0 positions: they go into the store as `key`; p1 0: seq has no more use for them */
    ENGINE_OP_KEEP = 9, /* mark `key` goes into a store that outlives the slice; BACK finds it there, too */
    ENGINE_OP_LOAD = 10, /* seq becomes the p0 positions that are in the store as `key` */
    ENGINE_OP_ERASE = 11 /* `key` leaves the store */
};

/* How the rows of a text become one vector (the numbers are GGUF's `<arch>.pooling_type`); NONE: the model generates text. */
enum engine_pooling { ENGINE_POOL_NONE, ENGINE_POOL_MEAN, ENGINE_POOL_CLS, ENGINE_POOL_LAST, ENGINE_POOL_RANK };

/* Flags of struct engine_token. */
enum {
    ENGINE_TOKEN_SAMPLE = 1, /* the tail samples the next token after this one and reports it */
    ENGINE_TOKEN_LOGITS = 2, /* the tail reports all logits of this position (verify) */
    ENGINE_TOKEN_DRAFT = 4, /* a proposal: the tail answers it only if it equals the token that was sampled before it */
    ENGINE_TOKEN_POOL = 8, /* the last of a text: the tail reports the text's vector */
    ENGINE_TOKEN_SCORE = 16, /* the tail reports how likely this token was after those before it; they all have this flag, too */
    ENGINE_TOKEN_ROW = 32, /* not a token but a row of a picture or a sound; `token` is its place there (engine/rows.h) */
    ENGINE_TOKEN_TOGETHER = 64, /* with ROW: all rows of the picture attend to each other; they come in one batch, one after another */
    ENGINE_TOKEN_ANSWERED = 31, /* with any of these the tail answers */
    ENGINE_TOKEN_FLAGS = 127
};

/* The structs engine_op, engine_token and engine_sample with engine_top, and engine_info: a slice as it was loaded. */
#define MESSAGES_BATCH
enum { ENGINE_MAX_USED = 8 }; /* GPUs that one slice may be on */
#define MESSAGES_INFO
#include "base/field_structs.h"
#undef MESSAGES_BATCH
#undef MESSAGES_INFO

/* A sequence, or a mark, as it is kept in a store: in the format of the library that computes the slice. */
struct engine_kept {
    uint64_t key;
    uint32_t n; /* positions */
    bool mark;
    uint8_t *data; /* [size], owned */
    size_t size;
    int32_t *tokens; /* [n], owned; NULL: not known in this slice */
    int32_t *positions; /* [n + 1], owned; NULL: a token's position is its number (engine/slice_pos.c) */
};

/* Where sequences outlive the slice. The compute thread calls it. */
struct engine_store {
    void (*put)(void *user, struct engine_kept *k); /* takes data and tokens; writes later */
    bool (*get)(void *user, uint64_t key, struct engine_kept *ret); /* the caller frees data and tokens; false: it is not there */
    void (*erase)(void *user, uint64_t key);
    void *user;
};

struct engine_ops {
    /* Applies sequence operations, in order. */
    err_code (*apply)(void *self, const struct engine_op *ops, size_t n, struct err *e);
    /* Sets how many bytes parked sequences (ENGINE_OP_PARK), marks, and sequences stored in memory together may take; 0 at the start. When
     * they exceed a lower limit, stored sequences are lost, parked ones go back into the KV cells, and marks are lost, until the rest fits.
     * NULL: the engine parks nothing. */
    void (*park_room)(void *self, uint64_t bytes);
    /* Gives the slice a store, borrowed, instead of its own memory. NULL: the engine has no use for one. */
    void (*set_store)(void *self, const struct engine_store *store);
    /* The keys of marks and stored sequences that were not kept, for lack of memory, and of what BACK or LOAD did not find or could not
     * restore, since the last call; the sequence is then empty. ret_keys has room for one key for each operation since then, and
     * ENGINE_MAX_STORED more. NULL: the engine makes no marks. */
    size_t (*lost)(void *self, uint64_t *ret_keys);
    /* Threads for the next batches: of a single token, and of several. NULL: the engine has no threads to choose. */
    void (*threads)(void *self, uint32_t single, uint32_t several);
    /* Computes a batch of n tokens (n <= n_batch). hidden_in: n rows, NULL in the first slice; hidden_out: room for n rows, NULL in
     * the last.
     * The last slice keeps the logits of every token with flags until the next eval, and notes tokens by position. A sampler sees only
     * tokens up to the position that it samples after, so a refused proposal never gets into its history. ERR_ENGINE: libllama refuses.
     * ERR_NO_ROOM: the KV cache is full; nothing was changed. */
    err_code (*eval)(void *self, const struct engine_token *tokens, size_t n, const float *hidden_in, float *hidden_out, struct err *e);
    /* Logits of the batch's token i (it must have had flags), [n_vocab], valid until the next eval. Last slice of a model that generates
     * text only; else NULL. */
    const float *(*logits)(void *self, size_t i);
    /* The vector of the text that the batch's token i ends (ENGINE_TOKEN_POOL), [n_vector], of length 1 unless it is a rank; valid until
     * the next eval. Last slice of a model that gives vectors only; else NULL. */
    const float *(*vector)(void *self, size_t i);
    /* A sequence begins: what follows is computed with the adapters that it names (ERR_INVALID: there is no such adapter). The last slice
     * makes its sampler, which replaces an earlier one. */
    err_code (*seq_open)(void *self, uint32_t seq, const struct engine_sampling *params, struct err *e);
    /* Samples after the batch's token i of seq. Randomness is a function of (seed, position) alone. Last slice only. */
    err_code (*sample)(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e);
    /* Guesses at what follows `next`, which was sampled after the last of the n tokens of `run`: the tokens [at, at + n) of the last
     * batch, all of one sequence, with n_guess. Writes up to `most` guesses to ret, and returns how many; 0 also if it fails. Last slice
     * only, if info.n_guess > 0. NULL: the engine never can. */
    uint32_t (*guess)(void *self, const struct engine_token *run, size_t at, size_t n, int32_t next, uint32_t most,
                      struct engine_guess *ret);
    /* Scores the batch's token i of seq: its log probability by the logits of the position before it, which are noted when that token is
     * scored. Position 0 has none: log probability 0, no alternatives. Last slice only. */
    err_code (*score)(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e);
    /* Text to tokens: *ret_tokens is a new array (caller frees it). special: control tokens in the text are parsed. bos: a begin-of-text
     * token comes first if the model wants one. */
    err_code (*tokenize)(void *self, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens, size_t *ret_n,
                         struct err *e);
    /* Joins a query and a text in the form that the model expects. Only for models that rank texts. */
    err_code (*tokenize_pair)(void *self, const char *query, size_t query_len, const char *text, size_t len, int32_t **ret_tokens,
                              size_t *ret_n, struct err *e);
    /* A token's bytes, appended to out; true for a control token (its text is markup, not for the reader). First slice only, as
     * tokenize. */
    bool (*piece)(void *self, int32_t token, struct buf *out);
    /* Makes pieces of the file of a picture or a sound. A batch with such rows comes to the first slice with hidden_in, n rows of n_row
     * numbers, of which those of tokens with ROW are read. First slice only, and only if info.sees or info.hears; NULL: the engine never
     * can. By one thread at a time, which may be another than the compute thread. ERR_INVALID: the file; the error says what is wrong. */
    err_code (*media)(void *self, const uint8_t *data, size_t len, struct engine_pieces *ret, struct err *e);
    void (*close)(void *self);
};

struct engine {
    const struct engine_ops *ops;
    void *self;
    struct engine_info info;
    char no_media[ENGINE_WHY_SIZE]; /* why a projector that is there is not used, for people; "": there is none, or it is used */
};

#endif
