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

/* Are all cells still there that the token at `next` attends to? A sliding window drops the cells that leave it. */
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
    int32_t last = llama_memory_seq_pos_max(s->mem, (llama_seq_id)seq), from = slice_pos_of(s, seq, p0), to = slice_pos_of(s, seq, p1);
    if (last < from) return ERR_OK; /* the range is empty */
    bool to_end = to < 0 || to > last;
    if (to_end && !window_reaches(s, seq, from))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u cannot go back to position %d: the attention window has moved on", seq, p0);
    bool reaches = !s->recurrent || (to_end && state_reaches(s, seq, last, from));
    if (!reaches || !llama_memory_seq_rm(s->mem, (llama_seq_id)seq, from, to))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u cannot go back to position %d: the model keeps a state, not the past", seq, p0);
    forget(s, seq, p0, p1);
    slice_mtp_cut(s, seq, from);
    if (to_end) slice_pos_cut(s, seq, p0);
    s->run[seq] = 0;
    return ERR_OK;
}

static void remove_all(struct slice *s, uint32_t seq) {
    slice_park_drop(s, seq);
    llama_memory_seq_rm(s->mem, (llama_seq_id)seq, -1, -1);
    slice_mtp_cut(s, seq, -1);
    slice_pos_cut(s, seq, 0);
    forget(s, seq, 0, -1);
}

static err_code op_remove(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->p0 > 0 || op->p1 >= 0) return remove_part(s, op->seq, op->p0 < 0 ? 0 : op->p0, op->p1, e);
    remove_all(s, op->seq);
    return ERR_OK;
}

static void copy_history(struct slice *s, const struct engine_op *op) {
    slice_pos_copy(s, op->seq, op->dst);
    if (op->p1 >= 0) slice_pos_cut(s, op->dst, op->p1);
    if (s->history == NULL) return;
    int32_t p0 = op->p0, p1 = op->p1;
    clamp(s, &p0, &p1);
    memcpy(history_of(s, op->dst) + p0, history_of(s, op->seq) + p0, (size_t)(p1 - p0) * sizeof(*s->history));
}

/* Copies the whole state of src, through memory of its own. */
static bool copy_state(struct slice *s, llama_seq_id src, llama_seq_id dst) {
    size_t size = llama_state_seq_get_size_ext(s->ctx, src, 0);
    uint8_t *data = malloc(size);
    bool done = data != NULL && llama_state_seq_get_data_ext(s->ctx, data, size, src, 0) > 0 &&
                llama_state_seq_set_data_ext(s->ctx, data, size, dst, 0) > 0;
    free(data);
    return done;
}

/* Replaces the content of dst. Between streams libllama would copy only whole sequences, and only as the next batch begins: what is stored
 * or loaded before would be lost. So there the state is copied at once, and cut afterwards. */
static err_code op_copy(struct slice *s, const struct engine_op *op, struct err *e) {
    int32_t last = llama_memory_seq_pos_max(s->mem, (llama_seq_id)op->seq), from = slice_pos_of(s, op->seq, op->p0),
            to = slice_pos_of(s, op->seq, op->p1);
    bool whole = from <= 0 && (to < 0 || to > last);
    if (op->seq == op->dst) return ERR_OK;
    if (!whole && s->recurrent)
        return err_set(e, ERR_UNSUPPORTED, "sequence %u: a part of it cannot be copied: the model keeps a state, not the past", op->seq);
    if (!whole && !window_reaches(s, op->seq, to < 0 || to > last ? last + 1 : to))
        return err_set(e, ERR_UNSUPPORTED, "sequence %u: positions before %d cannot be copied: the attention window has moved on", op->seq,
                       op->p1);
    remove_all(s, op->dst);
    if (last < 0) return ERR_OK;
    llama_seq_id src = (llama_seq_id)op->seq, dst = (llama_seq_id)op->dst;
    bool by_state = s->what.keeps_state || s->streams;
    if (by_state && !copy_state(s, src, dst))
        return err_set(e, ERR_MEMORY, "sequence %u cannot be copied: there is no memory for its state", op->seq);
    if (!by_state) llama_memory_seq_cp(s->mem, src, dst, from, to);
    if (!whole && by_state) {
        if (to >= 0) llama_memory_seq_rm(s->mem, dst, to, -1);
        if (from > 0) llama_memory_seq_rm(s->mem, dst, 0, from);
    }
    copy_history(s, op);
    return ERR_OK;
}

static void op_close(struct slice *s, uint32_t seq) {
    remove_all(s, seq);
    slice_adapter_reset(s, seq);
    if (s->samplers == NULL) return;
    engine_sampler_free(s->samplers[seq]);
    s->samplers[seq] = NULL;
}

/* Writes the whole parked state into dst, and then cuts it. */
static err_code op_copy_parked(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->seq == op->dst) return ERR_OK;
    remove_all(s, op->dst);
    err_code code = slice_unpark(s, op->seq, op->dst, e);
    if (code != ERR_OK) return code;
    int32_t p0 = op->p0, p1 = op->p1;
    clamp(s, &p0, &p1);
    llama_memory_seq_rm(s->mem, (llama_seq_id)op->dst, slice_pos_of(s, op->seq, p1), -1);
    if (p0 > 0) llama_memory_seq_rm(s->mem, (llama_seq_id)op->dst, 0, slice_pos_of(s, op->seq, p0));
    copy_history(s, op);
    return ERR_OK;
}

static void op_back(struct slice *s, const struct engine_op *op) {
    uint32_t n = (uint32_t)op->p0;
    if (slice_mark_back(s, op->seq, n, op->key) || slice_store_back(s, op->seq, n, op->key)) {
        forget(s, op->seq, op->p0, -1);
        slice_mtp_cut(s, op->seq, slice_pos_of(s, op->seq, op->p0));
    } else {
        slice_room_lose(s, op->key);
        remove_all(s, op->seq);
    }
    s->run[op->seq] = 0;
}

static void op_load(struct slice *s, const struct engine_op *op) {
    remove_all(s, op->seq);
    if (!slice_store_load(s, op->seq, (uint32_t)op->p0, op->key)) remove_all(s, op->seq);
    s->run[op->seq] = 0;
}

static err_code apply_one(struct slice *s, const struct engine_op *op, struct err *e) {
    if (op->seq >= s->info.n_seq || (op->kind == ENGINE_OP_CP && op->dst >= s->info.n_seq))
        return err_set(e, ERR_INVALID, "sequence %u: there are %u", op->seq >= s->info.n_seq ? op->seq : op->dst, s->info.n_seq);
    switch (op->kind) {
    case ENGINE_OP_RM: return op_remove(s, op, e);
    case ENGINE_OP_CP: return s->parked[op->seq].data != NULL ? op_copy_parked(s, op, e) : op_copy(s, op, e);
    case ENGINE_OP_PARK: slice_park(s, op->seq); return ERR_OK;
    case ENGINE_OP_CLOSE: op_close(s, op->seq); return ERR_OK;
    case ENGINE_OP_MARK: slice_mark_make(s, op->seq, (uint32_t)op->p0, op->key); return ERR_OK;
    case ENGINE_OP_BACK: op_back(s, op); return ERR_OK;
    case ENGINE_OP_DROP: slice_mark_drop(s, op->key); return ERR_OK;
    case ENGINE_OP_SAVE: slice_store_save(s, op->seq, (uint32_t)op->p0, op->key, op->p1 == 0); return ERR_OK;
    case ENGINE_OP_KEEP: slice_store_keep(s, op->key); return ERR_OK;
    case ENGINE_OP_LOAD: op_load(s, op); return ERR_OK;
    case ENGINE_OP_ERASE: slice_store_erase(s, op->key); return ERR_OK;
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

/* May this token join a group of single tokens that ends before it? Sequences with streams of their own, and those of models that keep a
 * state and nothing else, are computed in one pass only if their numbers follow one another; else libllama divides the group, and gives
 * some models' rows back in another order, or takes those in another order that enter while its graph runs. */
static bool joins_group(const struct slice *s, const struct engine_token *t, size_t i, size_t n) {
    bool single = i + 1 >= n || t[i + 1].seq != t[i].seq;
    return single && s->seen[t[i].seq] != s->part && (!s->divides || t[i].seq == t[i - 1].seq + 1);
}

static bool is_row(const struct engine_token *t) { return (t->flags & ENGINE_TOKEN_ROW) != 0; }

/* Does this row continue the picture of the token before it? */
static bool continues(const struct engine_token *before, const struct engine_token *t) {
    return is_row(t) && is_row(before) && t->seq == before->seq && t->token != 0;
}

/* Rows of pictures enter in another way than tokens, and those of some pictures all at once, so a picture is a part of its own. In every
 * slice, for batches have the same shapes in all of them. Returns the end of the picture, or of the tokens before the next one that have
 * the same adapters. */
static size_t kind_end(const struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    size_t end = at + 1;
    if (is_row(&t[at]))
        while (end < n && continues(&t[end - 1], &t[end])) end++;
    else
        while (end < n && !is_row(&t[end]) && slice_adapter_same(s, t[at].seq, t[end].seq)) end++;
    return end;
}

/* How many tokens from `at` are computed together. libllama gives rows back in the order of its own division of a batch; a part is
 * therefore one run of one sequence, or single tokens of different sequences: in these libllama keeps the batch's order. */
static size_t shape_length(struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    n = kind_end(s, t, at, n);
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

static bool is_answered(const struct engine_token *t) { return (t->flags & ENGINE_TOKEN_ANSWERED) != 0; }

/* n: there is none. */
static size_t first_answered(const struct engine_token *t, size_t n) {
    size_t i = 0;
    while (i < n && !is_answered(&t[i])) i++;
    return i;
}

/* Does libllama have to compute all tokens of this part to the end? In earlier slices, since all rows are handed out; and where it can't
 * give logits to some tokens alone, if any token here has them. */
static bool has_all_outputs(const struct slice *s, const struct engine_token *t, size_t n) {
    if (!s->what.tail || s->pool.type != ENGINE_POOL_NONE) return true;
    return s->what.all_outputs && first_answered(t, n) < n;
}

/* As shape_length, but the part has no more tokens with logits than the logits buffer has rows. Where all tokens of a part have logits or
 * none, as many as possible have none. */
static size_t part_length(struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    size_t len = shape_length(s, t, at, n), rows = 0, first = first_answered(t + at, len);
    bool all = has_all_outputs(s, t + at, len);
    if (s->what.all_outputs && s->n_outputs > 0 && first < len && first >= s->n_outputs) return first + 1 - s->n_outputs;
    for (size_t i = 0; i < len && s->n_outputs > 0; i++) {
        rows += all || is_answered(&t[at + i]);
        if (rows > s->n_outputs) return i;
    }
    return len;
}

/* Numbers in a row that enters. */
static size_t width_in(const struct slice *s) { return s->what.head ? s->info.n_row : s->what.n_hidden_in; }

static void set_rows(struct slice *s, const float *in, size_t n) {
    size_t count = n * width_in(s);
    s->batch.embd = (float *)(uintptr_t)in; /* libllama only reads it */
    if (s->rows_in == NULL) return;
    for (size_t i = 0; i < count; i++) s->rows_in[i] = in[i] * s->what.input_scale;
    s->batch.embd = s->rows_in;
}

/* Does libllama take what the rows of hidden states replace for the embeddings themselves? */
static bool replaces_embd(const struct slice *s) { return strcmp(s->what.in_tensor, "embd") == 0; }

/* Do these tokens enter as rows? Those of a picture do in the first slice, and in a later one that computes from ids, if it can be given
 * embeddings in their place: so its layers see that they are no text, for which cogvlm has other weights. */
static bool enter_as_rows(const struct slice *s, const struct engine_token *t) {
    return s->ids == NULL || (is_row(t) && (s->what.head || replaces_embd(s)));
}

/* rows: they enter as rows, which are `in`. */
static void fill_batch(struct slice *s, const struct engine_token *t, size_t n, const float *in, bool rows) {
    bool all = has_all_outputs(s, t, n);
    s->batch.n_tokens = (int32_t)n;
    s->batch.token = rows ? NULL : s->ids;
    slice_pos_set(s, t, n, rows);
    for (size_t i = 0; i < n; i++) {
        s->seq_ids[i] = t[i].seq;
        s->batch.logits[i] = all || is_answered(&t[i]);
        if (!rows) s->ids[i] = s->what.ids && !is_row(&t[i]) ? t[i].token : 0;
    }
    s->batch.embd = NULL;
    if (rows) set_rows(s, in, n);
}

static err_code decode_part(struct slice *s, const struct engine_token *t, size_t n, const float *in, float *out, struct err *e) {
    err_code code = slice_adapter_use(s, t->seq, e);
    if (code != ERR_OK) return code;
    bool rows = enter_as_rows(s, t);
    fill_batch(s, t, n, in, rows);
    slice_graph_begin(s, n, rows ? NULL : in, out);
    engine_runtime_clear();
    bool together = (t->flags & ENGINE_TOKEN_TOGETHER) != 0;
    if (together) llama_set_causal_attn(s->ctx, false);
    int32_t rc = llama_decode(s->ctx, s->batch);
    if (together) llama_set_causal_attn(s->ctx, true);
    code = slice_graph_end(s, n, e);
    const char *why = engine_runtime_complaint();
    if (rc == 1) return err_set(e, ERR_NO_ROOM, "the KV cache has no room for %zu more tokens", n);
    if (rc != 0)
        return err_set(e, ERR_ENGINE, "libllama cannot compute a batch of %zu tokens (%d): %s", n, rc,
                       *why != '\0' ? why : "no reason given");
    return code;
}

/* Room for the rows of logits that must outlive the part they were computed in. Grows only up to the largest batch. */
static err_code reserve_kept(struct slice *s, const struct engine_token *t, size_t n, struct err *e) {
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += is_answered(&t[i]);
    if (rows <= s->kept_rows) return ERR_OK;
    float *grown = realloc(s->kept, rows * s->info.n_vocab * sizeof(*grown));
    if (grown == NULL) return err_set(e, ERR_MEMORY, "no memory for %zu rows of logits", rows);
    s->kept = grown;
    s->kept_rows = rows;
    return ERR_OK;
}

static err_code take_logits(struct slice *s, const struct engine_token *t, size_t at, size_t n, bool copy, size_t *n_kept, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        if (!is_answered(&t[at + i])) continue;
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

/* Another slice that computes from ids reads rows only where they replace what it computes from them. */
static err_code check_row(const struct slice *s, const struct engine_token *t, size_t i, size_t n, struct err *e) {
    bool first = i == 0 || !continues(&t[i - 1], &t[i]);
    if (s->what.head ? s->info.n_row == 0 : s->ids != NULL && (s->what.ids || (s->n_pos > 1 && !replaces_embd(s))))
        return err_set(e, ERR_UNSUPPORTED, "a slice of this model takes no rows of pictures");
    if (first && (t[i].flags & ENGINE_TOKEN_TOGETHER) != 0 && kind_end(s, t, i, n) - i > llama_n_ubatch(s->ctx))
        return err_set(e, ERR_LIMIT, "a picture of %zu rows in a batch of %u", kind_end(s, t, i, n) - i, llama_n_ubatch(s->ctx));
    return ERR_OK;
}

static err_code check_tokens(const struct slice *s, const struct engine_token *t, size_t n, struct err *e) {
    err_code code;
    if (n > s->info.n_batch) return err_set(e, ERR_LIMIT, "a batch of %zu tokens, at most %u", n, s->info.n_batch);
    for (size_t i = 0; i < n; i++) {
        if (t[i].seq >= s->info.n_seq) return err_set(e, ERR_INVALID, "sequence %u: there are %u", t[i].seq, s->info.n_seq);
        if (t[i].pos < 0) return err_set(e, ERR_INVALID, "sequence %u: negative position %d", t[i].seq, t[i].pos);
        if ((uint32_t)t[i].pos >= s->info.n_ctx_seq)
            return err_set(e, ERR_NO_ROOM, "sequence %u: position %d is past the context of %u", t[i].seq, t[i].pos, s->info.n_ctx_seq);
        if (is_row(&t[i]) && (code = check_row(s, t, i, n, e)) != ERR_OK) return code;
        if (s->what.ids && !is_row(&t[i]) && (t[i].token < 0 || (uint32_t)t[i].token >= s->info.n_vocab))
            return err_set(e, ERR_INVALID, "token %d: the model has %u", t[i].token, s->info.n_vocab);
    }
    return ERR_OK;
}

/* Removes the first n tokens of a batch from libllama's memory. A recurrent state cannot go back: after a failed batch the sequence is
 * unusable, and libllama reports that when the sequence is computed next. */
static void take_back(struct slice *s, const struct engine_token *t, size_t n) {
    for (size_t i = n; i-- > 0;) {
        int32_t at = slice_pos_of(s, t[i].seq, t[i].pos);
        llama_memory_seq_rm(s->mem, (llama_seq_id)t[i].seq, at, at + 1);
        slice_pos_cut(s, t[i].seq, t[i].pos);
    }
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
    slice_mtp_batch(s, t, n);
    for (size_t at = 0, len; at < n; at += len) {
        len = part_length(s, t, at, n);
        bool vectors = s->what.tail && s->pool.type != ENGINE_POOL_NONE;
        bool parts = s->what.tail && !vectors && len < n;
        if (parts && at == 0 && (code = reserve_kept(s, t, n, e)) != ERR_OK) return code;
        slice_mtp_begin(s, t + at, at, len);
        code =
            decode_part(s, t + at, len, in != NULL ? in + at * width_in(s) : NULL, out != NULL ? out + at * s->what.n_hidden_out : NULL, e);
        slice_mtp_end(s, at, len);
        if (code == ERR_OK && vectors) code = slice_pool_take(s, t, at, len, e);
        else if (code == ERR_OK && s->what.tail) code = take_logits(s, t, at, len, parts, &n_kept, e);
        if (code != ERR_OK) {
            take_back(s, t, at + len);
            return code;
        }
    }
    for (size_t i = 0; i < n; i++) s->run[t[i].seq] = i > 0 && t[i - 1].seq == t[i].seq ? s->run[t[i].seq] + 1 : 1;
    for (size_t i = 0; i < n && s->history != NULL; i++) history_of(s, t[i].seq)[t[i].pos] = is_row(&t[i]) ? -1 : t[i].token;
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
    err_code code = slice_adapter_choose(s, seq, params, e);
    if (code != ERR_OK || s->samplers == NULL) return code;
    code = engine_sampler_create(s->vocab, s->info.n_ctx_seq, params, &made, e);
    if (code != ERR_OK) return code;
    engine_sampler_free(s->samplers[seq]);
    s->samplers[seq] = made;
    return ERR_OK;
}

/* May token i of the last batch, at pos in seq, be sampled after, or scored? */
static err_code check_opened(const struct slice *s, uint32_t seq, const float *logits, size_t i, int32_t pos, struct err *e) {
    if (seq >= s->info.n_seq || s->samplers == NULL || s->samplers[seq] == NULL)
        return err_set(e, ERR_INVALID, "sequence %u was not opened for sampling here", seq);
    if (logits == NULL) return err_set(e, ERR_INVALID, "token %zu of the batch has no logits", i);
    if (pos < 0 || (uint32_t)pos >= s->info.n_ctx_seq) return err_set(e, ERR_INVALID, "position %d is outside the context", pos);
    return ERR_OK;
}

static err_code slice_sample(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e) {
    struct slice *s = self;
    const float *logits = slice_logits(s, i);
    err_code code = check_opened(s, seq, logits, i, pos, e);
    if (code != ERR_OK) return code;
    return engine_sampler_sample(s->samplers[seq], s->scratch, logits, history_of(s, seq), pos, ret, e);
}

static err_code slice_score(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e) {
    struct slice *s = self;
    const float *logits = slice_logits(s, i);
    err_code code = check_opened(s, seq, logits, i, pos, e);
    if (code != ERR_OK) return code;
    return engine_sampler_score(s->samplers[seq], logits, history_of(s, seq)[pos], pos, ret, e);
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

static err_code slice_media_op(void *self, const uint8_t *data, size_t len, struct engine_pieces *ret, struct err *e) {
    return slice_media(self, data, len, ret, e);
}

static uint32_t slice_guess(void *self, const struct engine_token *run, size_t at, size_t n, int32_t next, uint32_t most,
                            struct engine_guess *ret) {
    return slice_mtp_guess(self, run, at, n, next, most, ret);
}

static void slice_park_room_op(void *self, uint64_t bytes) { slice_park_room(self, bytes); }
static size_t slice_lost(void *self, uint64_t *ret_keys) { return slice_room_lost(self, ret_keys); }
static void slice_threads(void *self, uint32_t single, uint32_t several) {
    struct slice *s = self;
    llama_set_n_threads(s->ctx, (int32_t)single, (int32_t)several);
    slice_mtp_threads(s, (int32_t)single, (int32_t)several);
}

static void slice_set_store(void *self, const struct engine_store *store) { ((struct slice *)self)->store = store; }
static void slice_close(void *self) { slice_free(self); }

const struct engine_ops slice_ops = {
    .apply = slice_apply,
    .lost = slice_lost,
    .set_store = slice_set_store,
    .park_room = slice_park_room_op,
    .threads = slice_threads,
    .eval = slice_eval,
    .logits = slice_logits,
    .vector = slice_vector,
    .seq_open = slice_seq_open,
    .sample = slice_sample,
    .guess = slice_guess,
    .score = slice_score,
    .tokenize = slice_tokenize,
    .tokenize_pair = slice_tokenize_pair,
    .piece = slice_piece,
    .media = slice_media_op,
    .close = slice_close,
};
