/* SPDX-License-Identifier: MIT
 * The inside of a slice: slice.c loads and frees it, slice_run.c computes, slice_graph.c moves rows into the graph and out of it,
 * slice_pool.c pools rows into vectors, slice_park.c parks sequences, slice_mark.c keeps copies of their states, slice_store.c moves both
 * into a store and out of it, slice_room.c has the memory of all that, slice_media.c makes rows of pictures, slice_pos.c knows where these
 * stand, slice_adapter.c applies adapters, slice_mtp.c guesses. */
#ifndef CARAVAN_ENGINE_SLICE_PRIV_H
#define CARAVAN_ENGINE_SLICE_PRIV_H

#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "model/adapter.h"
#include "model/slice.h"

/* The additional state of a slice of an embedding model: engine/slice_pool.c. */
struct slice_pool {
    enum engine_pooling type;    /* NONE: the model generates text, and the other fields are not used */
    bool at_once;                /* a text has to come in one batch, and libllama pools */
    bool caught;                 /* the tail catches rows, and slice_pool.c pools them */
    uint32_t width;              /* of a vector */
    float *rows;                 /* [n_batch][width]: caught rows. The same allocation holds sums and vectors */
    float *sums, *vectors;       /* [n_seq][width] */
    uint32_t *counts;            /* [n_seq]: rows in the sum */
};

/* A parked sequence's state in libllama's format; data NULL: the sequence is not parked. */
struct slice_parked {
    uint8_t *data;
    size_t size;
};

/* A copy of a sequence's state after its first n positions: the part that can't go back, in libllama's format. */
struct slice_mark {
    uint64_t key;
    uint32_t n;
    uint8_t *data;
    size_t size;
    int32_t *tokens;             /* [n]; NULL unless this is the tail, and the mark all that there is of the sequence */
    int32_t *positions;          /* [n + 1]: of a state that stands for itself, in an M-RoPE model; else NULL */
};

/* The rows of a part of a batch, while its graphs run: engine/slice_graph.c. */
struct slice_graph {
    const float *given_first;    /* the first row that enters */
    const float *give_from;      /* the next rows to enter; NULL: none do, or libllama makes a trial run */
    float *catch_to;             /* where the next rows go; NULL as above */
    uint32_t give_room, given, catch_room, caught; /* rows */
    bool bad;                    /* a tensor had another shape than expected */
    bool passed;                 /* the weight has been read behind which the result is (model_slice_info.out_op) */
    const struct ggml_tensor *result;
    uint32_t layer;              /* of the slice, that is computed; known only where model_slice_info.scale needs it */
    struct ggml_tensor *entry;   /* holds the rows, and must get back what they replaced; NULL: nothing to do */
    float *replaced;             /* [n_batch][n_hidden_in]; NULL: nothing is put back */
    const struct ggml_tensor *carrier; /* computes the carried value of the next rows (model_slice_info.carry) */
    uint32_t carried;            /* rows whose carried value went in, or came out, and whose other part has not yet */
    float *part;                 /* [n_batch][n_hidden]: a part of each row; NULL: rows are of one part */
};

/* The projector of pictures and sounds: engine/slice_media.c. */
struct slice_media {
    struct mtmd_context *ctx;    /* NULL: there is none */
    unsigned n_asked;            /* operations that ggml has asked about */
};

/* Where tokens stand in an M-RoPE model: engine/slice_pos.c. */
struct slice_pos {
    int32_t *at;                 /* [n_seq][n_ctx_seq + 1]: the position of each token, and of the next one; NULL: it is its number */
    int32_t *n;                  /* [n_seq]: tokens that are there */
    int32_t *base, *most;        /* [n_seq]: of the picture whose rows came last: its position, and the largest place on any axis */
};

/* How much of each adapter is added. */
struct slice_scales {
    float of[MODEL_MAX_ADAPTERS];
};
/* Adapters: engine/slice_adapter.c. */
struct slice_adapters {
    struct llama_adapter_lora *loaded[MODEL_MAX_ADAPTERS]; /* NULL: it changes nothing in these layers. The model frees them */
    uint32_t n;
    struct slice_scales usual, now; /* of sequences that say nothing of them; of the context */
    struct slice_scales seq[ENGINE_MAX_SEQ];
};

/* Guesses by the model's own layers: engine/slice_mtp.c. */
struct slice_mtp {
    struct llama_context *ctx;   /* NULL: there are none */
    llama_memory_t mem;
    bool shares;                 /* the first context's callback has other work, too */
    struct llama_batch_ext *batch;
    uint32_t width, cells;       /* of a row; of a sequence */
    float *rows;                 /* [n_batch][width]: of the last batch's answered tokens, the first n_rows */
    uint32_t n_rows;
    uint32_t *row_of;            /* [n_batch]: the number of a token's row, counted from 1; 0: it has none */
    bool wanted;                 /* the batch has a token with n_guess */
    float *to;                   /* where the rows of the part go that is being computed; NULL: nowhere */
    uint32_t expected, taken;    /* rows of that part */
    bool named;                  /* its graph has a node "h_nextn" */
    float *state;                /* [width]: the layer's own, of its last token */
    bool has_state;
};

struct slice {
    struct model_slice_info what;
    struct engine_info info;
    struct llama_model *model;
    struct llama_context *ctx;
    llama_memory_t mem;
    const struct llama_vocab *vocab;
    bool laid_out;               /* libllama has allocated nothing: the sizes are all that it is good for */
    bool exact;                  /* all parts of a batch have shapes of one class */
    bool streams;                /* every sequence has its own KV cells */
    bool divides;                /* libllama computes single tokens together only if their sequences' numbers follow one another */
    bool recurrent;              /* some layer keeps a state instead of KV */
    uint32_t n_outputs;          /* tokens of a part that can have logits; 0: all */
    uint32_t window;             /* smallest sliding window, 0: none */
    uint32_t n_pos;              /* positions a row of an embedding batch takes: 4 with M-RoPE */
    /* room for one batch, made once */
    struct llama_batch batch;    /* the slice owns its arrays, so llama_batch_free must not free them */
    llama_token *ids;            /* batch.token, when tokens enter; NULL: only rows do */
    llama_seq_id *seq_ids;
    float *rows_in;              /* scaled hidden states; NULL when input_scale is 1 */
    uint32_t *seen;              /* per sequence: the last part that had a token of it */
    uint32_t part;
    uint32_t *run;               /* per sequence: the number of its tokens in the last run; 0 after some were taken back */
    struct slice_parked *parked; /* [n_seq] */
    uint32_t n_parked;
    uint64_t park_room, park_used; /* bytes that parked sequences, marks and stored sequences may take, and that they take */
    struct slice_mark *marks;    /* [n_marks] */
    size_t n_marks;
    const struct engine_store *store; /* borrowed; NULL: sequences are stored in memory */
    struct engine_kept *stored;  /* [n_stored], the least recently used first */
    size_t n_stored;
    uint64_t *lost;              /* [n_lost]: keys of marks and stored sequences that are not there, until the stage asks */
    size_t n_lost;
    struct slice_graph graph;
    /* last slice */
    const float **rows;          /* logits or vector of each token of the last batch; NULL: none */
    float *kept;                 /* rows copied out when a batch was computed in several parts */
    size_t kept_rows;            /* room */
    int32_t *history;            /* n_seq * n_ctx_seq tokens by position, -1: not known */
    struct engine_sampler **samplers;
    struct engine_scratch *scratch;
    struct slice_pool pool;
    struct slice_media media;    /* first slice */
    struct slice_pos pos;
    struct slice_adapters adapters;
    struct slice_mtp mtp; /* last slice */
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

/* ---- slice_room.c ---- */
/* Is there room for so many bytes, in s->park_used? Stored sequences make room. */
bool slice_room_fits(struct slice *s, uint64_t size);
/* The stage will be told that this mark, or this stored sequence, is not there. */
void slice_room_lose(struct slice *s, uint64_t key);
/* As engine_ops.lost. */
size_t slice_room_lost(struct slice *s, uint64_t *ret_keys);
/* Stored sequences: looks for one (NULL: it is not there), adds one, frees one, notes that it was used, gives up the one that was used
 * least recently (there is one). */
struct engine_kept *slice_room_find(const struct slice *s, uint64_t key);
void slice_room_put(struct slice *s, const struct engine_kept *k);
void slice_room_drop(struct slice *s, struct engine_kept *k);
void slice_room_use(struct slice *s, struct engine_kept *k);
void slice_room_drop_oldest(struct slice *s);
void slice_room_free(struct slice *s);

/* ---- slice_park.c ---- */
/* Moves the sequence's state out of the cells, if the cache can be parked and there is room. */
void slice_park(struct slice *s, uint32_t seq);
/* Writes a parked sequence's state into the cells of dst, and replaces dst's own positions. If dst is the sequence itself, it is no longer
 * parked. Does nothing if the sequence is not parked. */
err_code slice_unpark(struct slice *s, uint32_t seq, uint32_t dst, struct err *e);
/* Frees a parked sequence's state without putting it back. */
void slice_park_drop(struct slice *s, uint32_t seq);
/* Sets how many bytes parked sequences, marks and stored sequences may take from now on. */
void slice_park_room(struct slice *s, uint64_t bytes);
void slice_park_free(struct slice *s);

/* ---- slice_mark.c ---- */
/* Keeps the state of seq, which has n positions, as mark `key`; without memory for it the mark is lost. */
void slice_mark_make(struct slice *s, uint32_t seq, uint32_t n, uint64_t key);
/* Goes back to the mark: seq then has n positions. false: it is not here, or libllama does not take it. */
bool slice_mark_back(struct slice *s, uint32_t seq, uint32_t n, uint64_t key);
void slice_mark_drop(struct slice *s, uint64_t key);
/* NULL: there is none. */
const struct slice_mark *slice_mark_find(const struct slice *s, uint64_t key);
/* Goes back to that state, which may also come from a store. */
bool slice_mark_restore(struct slice *s, uint32_t seq, uint32_t n, const struct slice_mark *m);
void slice_mark_free(struct slice *s);

/* ---- slice_store.c ---- */
/* given_up: the sequence need not have its positions any more. */
void slice_store_save(struct slice *s, uint32_t seq, uint32_t n, uint64_t key, bool given_up);
void slice_store_keep(struct slice *s, uint64_t key);
/* seq, which is empty, becomes what is there; false: the key is lost, and seq has to be emptied. */
bool slice_store_load(struct slice *s, uint32_t seq, uint32_t n, uint64_t key);
/* Goes back to a mark that is there. */
bool slice_store_back(struct slice *s, uint32_t seq, uint32_t n, uint64_t key);
void slice_store_erase(struct slice *s, uint64_t key);

/* ---- slice_graph.c ---- */
/* ggml_backend_sched_eval_callback; user: the slice. */
bool slice_graph_watch(struct ggml_tensor *t, bool ask, void *user);
/* Does the slice need that callback? */
bool slice_graph_watches(const struct slice *s);
/* The callback's buffers, once n_batch is known. ERR_MEMORY. */
err_code slice_graph_room(struct slice *s, struct err *e);
/* Before and after llama_decode of n tokens. ERR_ENGINE: not all rows went in, or came out. */
void slice_graph_begin(struct slice *s, size_t n, const float *in, float *out);
err_code slice_graph_end(struct slice *s, size_t n, struct err *e);
void slice_graph_done(struct slice *s);

/* ---- slice_media.c ---- */
/* engine_slice_add_projector loads the projector. */
void slice_media_close(struct slice *s);
err_code slice_media(struct slice *s, const uint8_t *data, size_t len, struct engine_pieces *ret, struct err *e);

/* ---- slice_pos.c ---- */
/* The room for positions, if the model needs it (n_pos is known). */
void slice_pos_room(struct slice *s);
void slice_pos_done(struct slice *s);
/* Fills s->batch.pos for n tokens that are computed next. rows: they enter as rows. */
void slice_pos_set(struct slice *s, const struct engine_token *t, size_t n, bool rows);
/* The position in libllama of the n-th token of a sequence; of one that has not come: where the next one would stand. Negative: negative.
 * */
int32_t slice_pos_of(const struct slice *s, uint32_t seq, int32_t n);
void slice_pos_copy(struct slice *s, uint32_t seq, uint32_t dst);
/* The sequence has no token from the n-th on. */
void slice_pos_cut(struct slice *s, uint32_t seq, int32_t n);
/* A new copy of the positions of the first n tokens, and of the next one; and back. NULL: the model needs none. */
int32_t *slice_pos_take(const struct slice *s, uint32_t seq, int32_t n);
void slice_pos_put(struct slice *s, uint32_t seq, const int32_t *from, int32_t n);

/* ---- slice_adapter.c ---- */
/* The scales of a sequence that begins. ERR_INVALID: it names an adapter that is not there. */
err_code slice_adapter_choose(struct slice *s, uint32_t seq, const struct engine_sampling *params, struct err *e);
/* The sequence ends. */
void slice_adapter_reset(struct slice *s, uint32_t seq);
/* May tokens of the two sequences be computed together? */
bool slice_adapter_same(const struct slice *s, uint32_t a, uint32_t b);
/* The next part of a batch is computed with the scales of this sequence. */
err_code slice_adapter_use(struct slice *s, uint32_t seq, struct err *e);

/* ---- slice_mtp.c ---- */
/* Makes the second context, if the slice has such layers; params: of the first. Without memory for it there are no guesses. */
void slice_mtp_open(struct slice *s, const struct llama_context_params *params);
bool slice_mtp_room(struct slice *s); /* the buffers, once n_batch is known; false: no memory */
void slice_mtp_done(struct slice *s);
void slice_mtp_threads(struct slice *s, int32_t single, int32_t several);
/* The sequence's positions (libllama's) from pos on are not valid any more. */
void slice_mtp_cut(struct slice *s, uint32_t seq, int32_t pos);
/* A batch begins; its tokens [at, at + n), which begin at t, are computed as a part of it; they have been. */
void slice_mtp_batch(struct slice *s, const struct engine_token *t, size_t n);
void slice_mtp_begin(struct slice *s, const struct engine_token *t, size_t at, size_t n);
void slice_mtp_end(struct slice *s, size_t at, size_t n);
/* Takes rows out of the graph. Only while s->mtp.to is set. False: it is none of the nodes that have them. */
bool slice_mtp_watch(struct slice *s, struct ggml_tensor *t, bool ask);
/* As engine_ops.guess. */
uint32_t slice_mtp_guess(struct slice *s, const struct engine_token *run, size_t at, size_t n, int32_t next, uint32_t most,
                         struct engine_guess *ret);

extern const struct engine_ops slice_ops;
/* Loads the slice's header and lays out its buffers, without allocating them; parameters and errors as engine_slice_open. */
err_code slice_lay_out(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                       struct slice **ret, struct err *e);
/* Frees a slice, also a half-built one. */
void slice_free(struct slice *s);

#endif
