/* SPDX-License-Identifier: MIT
 * A loaded slice at work: sequence operations, batches, sampling. */
#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "engine/runtime.h"
#include "engine/slice_priv.h"
#include "engine/vocab.h"

enum { EXACT_GROUP = 3 }; /* single tokens computed together when exact: up to this size all batches give the same bits */

/* ---- sequence operations ---- */

static int32_t *history_of(struct slice *s, uint32_t seq) { return s->history + (size_t)seq * s->info.n_ctx_seq; }

/* Clamps [p0, p1) to [0, n_ctx_seq). */
static void clamp(const struct slice *s, int32_t *p0, int32_t *p1) {
    int32_t max = (int32_t)s->info.n_ctx_seq;
    if (*p0 < 0) *p0 = 0;
    if (*p1 < 0 || *p1 > max) *p1 = max;
    if (*p0 > *p1) *p0 = *p1;
}

static void forget(struct slice *s, uint32_t seq, int32_t p0, int32_t p1) {
    if (s->history == NULL) return;
    clamp(s, &p0, &p1);
    memset(history_of(s, seq) + p0, 0xFF, (size_t)(p1 - p0) * sizeof(*s->history));
}

/* A sliding window drops the cells that leave it. Are all cells left that the token at `next` attends to? */
static bool window_reaches(struct slice *s, uint32_t seq, int32_t next) {
    if (s->window == 0 || next <= 0) return true;
    int32_t needs = next - (int32_t)s->window;
    return llama_memory_seq_pos_min(s->mem, (llama_seq_id)seq) <= (needs > 0 ? needs : 0);
}

/* A recurrent state can go back only to the copies made in the last run: libllama makes one after each of a few tokens. */
static bool state_reaches(const struct slice *s, uint32_t seq, int32_t last, int32_t p0) {
    return s->run[seq] <= 1 + s->info.n_rewind && (uint32_t)(last - p0) + 1 < s->run[seq];
}

static err_code remove_part(struct slice *s, uint32_t seq, int32_t p0, int32_t p1, struct err *e) {
    err_code code = slice_unpark(s, seq, seq, e);
    if (code != ERR_OK) return code;
    int32_t last = llama_memory_seq_pos_max(s->mem, (llama_seq_id)seq);
    if (last < p0) return ERR_OK; /* the range is empty */
    bool to_end = p1 < 0 || p1 > last;
    if (to_end && !window_reaches(s, seq, p0))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u cannot go back to position %d: the attention window has moved on", seq, p0);
    bool reaches = !s->recurrent || (to_end && state_reaches(s, seq, last, p0));
    if (!reaches || !llama_memory_seq_rm(s->mem, (llama_seq_id)seq, p0, p1))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u cannot go back to position %d: the model keeps a state, not the past", seq, p0);
    forget(s, seq, p0, p1);
    s->run[seq] = 0;
    return ERR_OK;
}

static void remove_all(struct slice *s, uint32_t seq) {
    slice_park_drop(s, seq);
    llama_memory_seq_rm(s->mem, (llama_seq_id)seq, -1, -1);
    forget(s, seq, 0, -1);
}

static err_code op_remove(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->p0 > 0 || op->p1 >= 0) return remove_part(s, op->seq, op->p0 < 0 ? 0 : op->p0, op->p1, e);
    remove_all(s, op->seq);
    return ERR_OK;
}

static void copy_history(struct slice *s, const struct engine_op *op) {
    if (s->history == NULL) return;
    int32_t p0 = op->p0, p1 = op->p1;
    clamp(s, &p0, &p1);
    memcpy(history_of(s, op->dst) + p0, history_of(s, op->seq) + p0, (size_t)(p1 - p0) * sizeof(*s->history));
}

/* Drops dst's earlier content. Own streams and recurrent states are copied whole, and then cut. */
static err_code op_copy(struct slice *s, const struct engine_op *op, struct err *e) {
    int32_t last = llama_memory_seq_pos_max(s->mem, (llama_seq_id)op->seq);
    bool whole = op->p0 <= 0 && (op->p1 < 0 || op->p1 > last);
    if (op->seq == op->dst) return ERR_OK;
    if (!whole && s->recurrent)
        return err_set(e, ERR_UNSUPPORTED, "sequence %u: a part of it cannot be copied: the model keeps a state, not the past", op->seq);
    if (!whole && !window_reaches(s, op->seq, op->p1 < 0 || op->p1 > last ? last + 1 : op->p1))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u: positions before %d cannot be copied: the attention window has moved on", op->seq,
                       op->p1);
    remove_all(s, op->dst);
    if (last < 0) return ERR_OK;
    llama_seq_id src = (llama_seq_id)op->seq, dst = (llama_seq_id)op->dst;
    if (whole || s->streams) llama_memory_seq_cp(s->mem, src, dst, -1, -1);
    else llama_memory_seq_cp(s->mem, src, dst, op->p0, op->p1);
    if (!whole && s->streams) {
        if (op->p1 >= 0) llama_memory_seq_rm(s->mem, dst, op->p1, -1);
        if (op->p0 > 0) llama_memory_seq_rm(s->mem, dst, 0, op->p0);
    }
    copy_history(s, op);
    return ERR_OK;
}

static void op_close(struct slice *s, uint32_t seq) {
    remove_all(s, seq);
    if (s->samplers == NULL) return;
    engine_sampler_free(s->samplers[seq]);
    s->samplers[seq] = NULL;
}

/* The parked state is written into dst at once, and then cut. */
static err_code op_copy_parked(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->seq == op->dst) return ERR_OK;
    remove_all(s, op->dst);
    err_code code = slice_unpark(s, op->seq, op->dst, e);
    if (code != ERR_OK) return code;
    int32_t p0 = op->p0, p1 = op->p1;
    clamp(s, &p0, &p1);
    llama_memory_seq_rm(s->mem, (llama_seq_id)op->dst, p1, -1);
    if (p0 > 0) llama_memory_seq_rm(s->mem, (llama_seq_id)op->dst, 0, p0);
    copy_history(s, op);
    return ERR_OK;
}

static err_code apply_one(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->seq >= s->info.n_seq || (op->kind == ENGINE_OP_CP && op->dst >= s->info.n_seq))
        return err_set(e, ERR_INVALID, "sequence %u: there are %u", op->seq >= s->info.n_seq ? op->seq : op->dst, s->info.n_seq);
    switch (op->kind) {
    case ENGINE_OP_RM: return op_remove(s, op, e);
    case ENGINE_OP_CP: return s->parked[op->seq].data != NULL ? op_copy_parked(s, op, e) : op_copy(s, op, e);
    case ENGINE_OP_PARK: slice_park(s, op->seq); return ERR_OK;
    case ENGINE_OP_CLOSE: op_close(s, op->seq); return ERR_OK;
    default: return err_set(e, ERR_INVALID, "unknown sequence operation %u", op->kind);
    }
}

static err_code slice_apply(void *self, const struct engine_op *ops, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        err_code code = apply_one(self, &ops[i], e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- computing ---- */

bool slice_catch(struct ggml_tensor *t, bool ask, void *user) {
    struct slice *s = user;
    if (strcmp(t->name, s->what.out_tensor) != 0) return !ask;
    if (ask) return true;
    size_t width = s->what.n_hidden_out, rows = (size_t)ggml_nelements(t) / width;
    if (s->catch_to == NULL || t->type != GGML_TYPE_F32 || !ggml_is_contiguous(t) || rows * width != (size_t)ggml_nelements(t) ||
        rows > s->catch_room - s->caught) {
        s->catch_bad = s->catch_to != NULL; /* NULL: libllama's own trial run */
        return false;
    }
    ggml_backend_tensor_get(t, s->catch_to, 0, ggml_nbytes(t));
    s->catch_to += rows * width;
    s->caught += (uint32_t)rows;
    return false; /* the graph ends here */
}

/* May this token join a group of single tokens that ends before it? Sequences with streams of their own are computed in one pass
 * only if their numbers follow one another; else libllama divides the group, and gives some models' rows back in another order. */
static bool joins_group(const struct slice *s, const struct engine_token *t, size_t i, size_t n) {
    bool single = i + 1 >= n || t[i + 1].seq != t[i].seq;
    return single && s->seen[t[i].seq] != s->part && (!s->streams || t[i].seq == t[i - 1].seq + 1);
}

/* How many tokens from `at` are computed together. libllama gives rows back in the order of its own division of a batch; a part is
 * therefore one run of one sequence, or single tokens of different sequences: in these libllama keeps the batch's order. */
static size_t shape_length(struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    if (!s->exact && !s->recurrent && !s->streams && !s->pool.at_once) return n - at;
    size_t end = at + 1;
    while (end < n && t[end].seq == t[at].seq) end++;
    if (end - at > 1 || s->pool.at_once) return end - at;
    s->part++;
    s->seen[t[at].seq] = s->part;
    size_t most = s->exact && n - at > EXACT_GROUP ? EXACT_GROUP : n - at;
    for (; end - at < most && joins_group(s, t, end, n); end++) s->seen[t[end].seq] = s->part;
    return end - at;
}

/* Nor more tokens than the logits buffer has rows. */
static size_t part_length(struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    size_t len = shape_length(s, t, at, n), rows = 0;
    for (size_t i = 0; i < len && s->n_outputs > 0; i++) {
        rows += t[at + i].flags != 0;
        if (rows > s->n_outputs) return i;
    }
    return len;
}

static void set_positions(struct slice *s, const struct engine_token *t, size_t n) {
    bool rows = !s->what.head && s->n_pos == 4;
    for (size_t i = 0; i < n; i++) {
        s->batch.pos[i] = t[i].pos;
        if (!rows) continue;
        s->batch.pos[n + i] = t[i].pos; /* text: the three spatial axes go along, the fourth stays 0 */
        s->batch.pos[2 * n + i] = t[i].pos;
        s->batch.pos[3 * n + i] = 0;
    }
}

static void set_rows(struct slice *s, const float *in, size_t n) {
    size_t count = n * s->what.n_hidden_in;
    s->batch.embd = (float *)(uintptr_t)in; /* libllama only reads it */
    if (s->rows_in == NULL) return;
    for (size_t i = 0; i < count; i++) s->rows_in[i] = in[i] * s->what.input_scale;
    s->batch.embd = s->rows_in;
}

static void fill_batch(struct slice *s, const struct engine_token *t, size_t n, const float *in) {
    s->batch.n_tokens = (int32_t)n;
    set_positions(s, t, n);
    for (size_t i = 0; i < n; i++) {
        s->seq_ids[i] = t[i].seq;
        s->batch.logits[i] = !s->what.tail || s->pool.type != ENGINE_POOL_NONE || t[i].flags != 0;
        if (s->what.head) s->batch.token[i] = t[i].token;
    }
    if (!s->what.head) set_rows(s, in, n);
}

static err_code decode_part(struct slice *s, const struct engine_token *t, size_t n, const float *in, float *out, struct err *e) {
    fill_batch(s, t, n, in);
    s->catch_to = out;
    s->catch_room = (uint32_t)n;
    s->caught = 0;
    s->catch_bad = false;
    engine_runtime_clear();
    int32_t rc = llama_decode(s->ctx, s->batch);
    s->catch_to = NULL;
    const char *why = engine_runtime_complaint();
    if (rc == 1) return err_set(e, ERR_NO_ROOM, "the KV cache has no room for %zu more tokens", n);
    if (rc != 0)
        return err_set(e, ERR_ENGINE, "libllama cannot compute a batch of %zu tokens (%d): %s", n, rc,
                       *why != '\0' ? why : "no reason given");
    if ((!s->what.tail || s->pool.caught) && (s->catch_bad || s->caught != n))
        return err_set(e, ERR_ENGINE, "the tensor \"%s\" gave %u rows of hidden states instead of %zu", s->what.out_tensor, s->caught, n);
    return ERR_OK;
}

/* Room for the rows of logits that must outlive the part they were computed in. Grows only up to the largest batch. */
static err_code reserve_kept(struct slice *s, const struct engine_token *t, size_t n, struct err *e) {
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += t[i].flags != 0;
    if (rows <= s->kept_rows) return ERR_OK;
    float *grown = realloc(s->kept, rows * s->info.n_vocab * sizeof(*grown));
    if (grown == NULL) return err_set(e, ERR_MEMORY, "no memory for %zu rows of logits", rows);
    s->kept = grown;
    s->kept_rows = rows;
    return ERR_OK;
}

static err_code take_logits(struct slice *s, const struct engine_token *t, size_t at, size_t n, bool copy, size_t *n_kept, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        if (t[at + i].flags == 0) continue;
        const float *row = llama_get_logits_ith(s->ctx, (int32_t)i);
        if (row == NULL) return err_set(e, ERR_ENGINE, "libllama gave no logits for token %zu", at + i);
        if (copy) {
            float *to = s->kept + (*n_kept)++ * s->info.n_vocab;
            memcpy(to, row, s->info.n_vocab * sizeof(*to));
            row = to;
        }
        s->rows[at + i] = row;
    }
    return ERR_OK;
}

static err_code check_tokens(const struct slice *s, const struct engine_token *t, size_t n, struct err *e) {
    if (n > s->info.n_batch) return err_set(e, ERR_LIMIT, "a batch of %zu tokens, at most %u", n, s->info.n_batch);
    for (size_t i = 0; i < n; i++) {
        if (t[i].seq >= s->info.n_seq) return err_set(e, ERR_INVALID, "sequence %u: there are %u", t[i].seq, s->info.n_seq);
        if (t[i].pos < 0) return err_set(e, ERR_INVALID, "sequence %u: negative position %d", t[i].seq, t[i].pos);
        if ((uint32_t)t[i].pos >= s->info.n_ctx_seq)
            return err_set(e, ERR_NO_ROOM, "sequence %u: position %d is past the context of %u", t[i].seq, t[i].pos, s->info.n_ctx_seq);
        if (s->what.head && (t[i].token < 0 || (uint32_t)t[i].token >= s->info.n_vocab))
            return err_set(e, ERR_INVALID, "token %d: the model has %u", t[i].token, s->info.n_vocab);
    }
    return ERR_OK;
}

/* Removes the first n tokens of a batch from libllama's memory. A recurrent state cannot go back: after a failed batch the sequence is
 * unusable, and libllama reports that when the sequence is computed next. */
static void take_back(struct slice *s, const struct engine_token *t, size_t n) {
    for (size_t i = n; i-- > 0;) llama_memory_seq_rm(s->mem, (llama_seq_id)t[i].seq, t[i].pos, t[i].pos + 1);
}

static err_code slice_eval(void *self, const struct engine_token *t, size_t n, const float *in, float *out, struct err *e) {
    struct slice *s = self;
    size_t n_kept = 0;
    err_code code = check_tokens(s, t, n, e);
    if (code != ERR_OK) return code;
    for (size_t i = 0; i < n && s->n_parked > 0; i++)
        if ((code = slice_unpark(s, t[i].seq, t[i].seq, e)) != ERR_OK) return code;
    if (s->pool.caught) out = s->pool.rows;
    if (s->rows != NULL) memset(s->rows, 0, s->info.n_batch * sizeof(*s->rows));
    for (size_t at = 0, len; at < n; at += len) {
        len = part_length(s, t, at, n);
        bool vectors = s->what.tail && s->pool.type != ENGINE_POOL_NONE;
        bool parts = s->what.tail && !vectors && len < n;
        if (parts && at == 0 && (code = reserve_kept(s, t, n, e)) != ERR_OK) return code;
        code = decode_part(s, t + at, len, in != NULL ? in + at * s->what.n_hidden_in : NULL,
                           out != NULL ? out + at * s->what.n_hidden_out : NULL, e);
        if (code == ERR_OK && vectors) code = slice_pool_take(s, t, at, len, e);
        else if (code == ERR_OK && s->what.tail) code = take_logits(s, t, at, len, parts, &n_kept, e);
        if (code != ERR_OK) {
            take_back(s, t, at + len);
            return code;
        }
    }
    for (size_t i = 0; i < n; i++) s->run[t[i].seq] = i > 0 && t[i - 1].seq == t[i].seq ? s->run[t[i].seq] + 1 : 1;
    for (size_t i = 0; i < n && s->history != NULL; i++) history_of(s, t[i].seq)[t[i].pos] = t[i].token;
    return ERR_OK;
}

/* The last batch's output for its token i: logits, or the vector of the text that the token ends. */
static const float *row_of(const struct slice *s, size_t i) { return s->rows != NULL && i < s->info.n_batch ? s->rows[i] : NULL; }

static const float *slice_logits(void *self, size_t i) {
    const struct slice *s = self;
    return s->pool.type == ENGINE_POOL_NONE ? row_of(s, i) : NULL;
}

static const float *slice_vector(void *self, size_t i) {
    const struct slice *s = self;
    return s->pool.type != ENGINE_POOL_NONE ? row_of(s, i) : NULL;
}

/* ---- sampling and text ---- */

static err_code slice_seq_open(void *self, uint32_t seq, const struct engine_sampling *params, struct err *e) {
    struct slice *s = self;
    struct engine_sampler *made = NULL;
    if (seq >= s->info.n_seq) return err_set(e, ERR_INVALID, "sequence %u: there are %u", seq, s->info.n_seq);
    if (s->samplers == NULL) return ERR_OK;
    err_code code = engine_sampler_create(s->vocab, s->info.n_ctx_seq, params, &made, e);
    if (code != ERR_OK) return code;
    engine_sampler_free(s->samplers[seq]);
    s->samplers[seq] = made;
    return ERR_OK;
}

static err_code slice_sample(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e) {
    struct slice *s = self;
    const float *logits = slice_logits(s, i);
    if (seq >= s->info.n_seq || s->samplers == NULL || s->samplers[seq] == NULL)
        return err_set(e, ERR_INVALID, "sequence %u was not opened for sampling here", seq);
    if (logits == NULL) return err_set(e, ERR_INVALID, "token %zu of the batch has no logits", i);
    if (pos < 0 || (uint32_t)pos >= s->info.n_ctx_seq) return err_set(e, ERR_INVALID, "position %d is outside the context", pos);
    return engine_sampler_sample(s->samplers[seq], s->scratch, logits, history_of(s, seq), pos, ret, e);
}

static err_code slice_tokenize(void *self, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens, size_t *ret_n,
                               struct err *e) {
    struct slice *s = self;
    return engine_vocab_tokenize(s->vocab, text, len, bos, special, ret_tokens, ret_n, e);
}

static err_code slice_tokenize_pair(void *self, const char *query, size_t query_len, const char *text, size_t len, int32_t **ret_tokens,
                                    size_t *ret_n, struct err *e) {
    struct slice *s = self;
    const char *form = llama_model_chat_template(s->model, "rerank");
    return engine_vocab_tokenize_pair(s->vocab, form, query, query_len, text, len, ret_tokens, ret_n, e);
}

static bool slice_piece(void *self, int32_t token, struct buf *out) {
    struct slice *s = self;
    return engine_vocab_piece(s->vocab, token, out);
}

static void slice_park_room_op(void *self, uint64_t bytes) { slice_park_room(self, bytes); }
static void slice_close(void *self) { slice_free(self); }

const struct engine_ops slice_ops = {
    .apply = slice_apply,
    .park_room = slice_park_room_op,
    .eval = slice_eval,
    .logits = slice_logits,
    .vector = slice_vector,
    .seq_open = slice_seq_open,
    .sample = slice_sample,
    .tokenize = slice_tokenize,
    .tokenize_pair = slice_tokenize_pair,
    .piece = slice_piece,
    .close = slice_close,
};
