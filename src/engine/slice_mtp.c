/* SPDX-License-Identifier: MIT
 * Guesses by the model's own layers for multi-token prediction (MTP). The layer takes a token's embedding and the last hidden state of the
 * token before it, and says what follows the token. It runs in a second context of the same model, with a KV cache of its own.
 *
 * The hidden states of the model's own layers leave the first context through the evaluation callback: "h_nextn" where the graph has a
 * node of that name, else the normalised result, as libllama takes them for itself (llama_get_embeddings_nextn, which is not public). They
 * exist only for tokens that are answered, so a sequence's cells here begin with its first answer. libllama wants the positions of a
 * sequence one after another: where some are missing, the sequence begins anew. A second guess gets the layer's own state. */
#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "engine/runtime.h"
#include "engine/slice_priv.h"
#include "model/estimate.h"

enum { BATCH = 64 /* tokens at once: more than travel together as guesses */ };

/* ---- life ---- */

/* The layer's own state, for the guess after the one that is computed. */
static bool watch_state(struct ggml_tensor *t, bool ask, void *user) {
    struct slice_mtp *m = user;
    if (strcmp(t->name, "h_nextn") != 0 || t->type != GGML_TYPE_F32 || t->ne[0] != m->width || t->ne[1] < 1) return !ask;
    if (!ask) ggml_backend_tensor_get(t, m->state, (size_t)(t->ne[1] - 1) * t->nb[1], m->width * sizeof(*m->state));
    m->has_state = m->has_state || !ask;
    return true;
}

void slice_mtp_open(struct slice *s, const struct llama_context_params *main) {
    struct slice_mtp *m = &s->mtp;
    if (!s->what.tail || s->what.n_mtp == 0 || s->pool.type != ENGINE_POOL_NONE) return;
    struct llama_context_params params = *main;
    m->cells = model_estimate_mtp_cells(main->n_ctx / main->n_seq_max);
    m->width = (uint32_t)llama_model_n_embd(s->model);
    params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    params.n_ctx = m->cells * main->n_seq_max;
    params.n_batch = params.n_ubatch = BATCH;
    params.n_outputs_max = main->n_seq_max;
    params.n_rs_seq = 0;
    params.kv_unified = true;
    params.embeddings = false;
    m->shares = s->what.in_tensor[0] != '\0' || s->what.scale != NULL;
    params.cb_eval = watch_state;
    params.cb_eval_user_data = m;
    m->ctx = llama_init_from_model(s->model, params);
    if (m->ctx == NULL) log_warn("engine", "the model's own layers make no guesses: %s", engine_runtime_complaint());
}

bool slice_mtp_room(struct slice *s) {
    struct slice_mtp *m = &s->mtp;
    if (m->ctx == NULL) return true;
    m->mem = llama_get_memory(m->ctx);
    m->batch = llama_batch_ext_init(m->ctx);
    m->rows = malloc((size_t)s->info.n_batch * m->width * sizeof(*m->rows));
    m->state = malloc(m->width * sizeof(*m->state));
    m->row_of = mem_calloc(s->info.n_batch, sizeof(*m->row_of));
    return m->mem != NULL && m->batch != NULL && m->rows != NULL && m->state != NULL;
}

void slice_mtp_done(struct slice *s) {
    struct slice_mtp *m = &s->mtp;
    if (m->batch != NULL) llama_batch_ext_free(m->batch);
    if (m->ctx != NULL) llama_free(m->ctx);
    free(m->rows);
    free(m->state);
    free(m->row_of);
}

void slice_mtp_threads(struct slice *s, int32_t single, int32_t several) {
    if (s->mtp.ctx != NULL) llama_set_n_threads(s->mtp.ctx, single, several);
}

/* ---- sequences ---- */

void slice_mtp_cut(struct slice *s, uint32_t seq, int32_t pos) {
    if (s->mtp.mem != NULL) llama_memory_seq_rm(s->mtp.mem, (llama_seq_id)seq, pos, -1);
}

/* ---- rows of the model's own layers ---- */

void slice_mtp_batch(struct slice *s, const struct engine_token *t, size_t n) {
    struct slice_mtp *m = &s->mtp;
    m->wanted = false;
    if (m->ctx == NULL) return;
    for (size_t i = 0; i < n; i++) m->wanted = m->wanted || t[i].n_guess > 0;
    memset(m->row_of, 0, s->info.n_batch * sizeof(*m->row_of));
    m->n_rows = 0;
}

void slice_mtp_begin(struct slice *s, const struct engine_token *t, size_t at, size_t n) {
    struct slice_mtp *m = &s->mtp;
    if (!m->wanted) return;
    m->to = m->rows + (size_t)m->n_rows * m->width;
    m->expected = m->taken = 0;
    m->named = false;
    for (size_t i = 0; i < n; i++)
        if ((t[i].flags & ENGINE_TOKEN_ANSWERED) != 0) m->row_of[at + i] = m->n_rows + ++m->expected;
}

bool slice_mtp_watch(struct slice *s, struct ggml_tensor *t, bool ask) {
    struct slice_mtp *m = &s->mtp;
    bool named = strcmp(t->name, "h_nextn") == 0;
    if (!named && (m->named || strcmp(t->name, "result_norm") != 0)) return false;
    m->named = named;
    if (ask) return true;
    size_t rows = (size_t)ggml_nelements(t) / m->width;
    if (t->type == GGML_TYPE_F32 && ggml_is_contiguous(t) && t->ne[0] == m->width && m->taken + rows <= m->expected)
        ggml_backend_tensor_get(t, m->to + (size_t)m->taken * m->width, 0, ggml_nbytes(t));
    m->taken += (uint32_t)rows;
    return true;
}

void slice_mtp_end(struct slice *s, size_t at, size_t n) {
    struct slice_mtp *m = &s->mtp;
    if (m->to == NULL) return;
    m->to = NULL;
    if (m->taken == m->expected) m->n_rows += m->expected;
    else memset(m->row_of + at, 0, n * sizeof(*m->row_of)); /* without rows there are no guesses */
}

/* ---- guessing ---- */

static bool add(struct slice_mtp *m, uint32_t seq, int32_t token, int32_t pos, const float *row, bool answered) {
    int32_t i = llama_batch_ext_add_token(m->batch, (llama_seq_id)seq, token);
    return i >= 0 && llama_batch_ext_set_pos(m->batch, i, &pos) &&
           llama_batch_ext_set_embd_state(m->batch, i, (struct llama_embd){.data = row, .n_rows = 1, .n_embd = m->width}) &&
           llama_batch_ext_set_output_logits(m->batch, i, answered);
}

/* Makes room for n positions from `pos` on: the sequence must end just before, and may have only so many cells. */
static void prepare(struct slice_mtp *m, uint32_t seq, int32_t pos, uint32_t n) {
    llama_seq_id id = (llama_seq_id)seq;
    int32_t keep = (int32_t)(m->cells - m->cells / 4), first;
    llama_memory_seq_rm(m->mem, id, pos, -1);
    if (llama_memory_seq_pos_max(m->mem, id) != pos - 1) llama_memory_seq_rm(m->mem, id, -1, -1);
    first = llama_memory_seq_pos_min(m->mem, id);
    if (first >= 0 && pos - first + (int32_t)n > (int32_t)m->cells) llama_memory_seq_rm(m->mem, id, 0, pos - keep);
}

static int32_t best(const float *logits, uint32_t n) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[at]) at = i;
    return (int32_t)at;
}

/* Computes what is in the batch, and takes the likeliest token after its last one, n - 1; -1: libllama can't. */
static int32_t predict(struct slice *s, size_t n) {
    struct slice_mtp *m = &s->mtp;
    m->has_state = false;
    int32_t rc = llama_process(m->ctx, LLAMA_PROCESS_TYPE_DECODE, m->batch);
    const float *logits = rc == 0 ? llama_get_logits_ith(m->ctx, (int32_t)n - 1) : NULL;
    if (logits == NULL) log_debug("engine", "no guess: libllama cannot compute %zu tokens (%d)", n, rc);
    return logits != NULL ? best(logits, s->info.n_vocab) : -1;
}

/* The run, and `next` behind it, each with the row of the token before it. */
static bool fill(struct slice *s, const struct engine_token *run, size_t at, size_t n, int32_t next, int32_t pos) {
    struct slice_mtp *m = &s->mtp;
    llama_batch_ext_clear(m->batch);
    for (size_t i = 0; i < n; i++) {
        uint32_t row = m->row_of[at + i];
        int32_t token = i + 1 < n ? run[i + 1].token : next;
        if (row == 0 || !add(m, run->seq, token, pos + (int32_t)i, m->rows + (size_t)(row - 1) * m->width, i + 1 == n)) return false;
    }
    return true;
}

uint32_t slice_mtp_guess(struct slice *s, const struct engine_token *run, size_t at, size_t n, int32_t next, uint32_t most,
                         struct engine_guess *ret) {
    struct slice_mtp *m = &s->mtp;
    uint32_t got = 0;
    if (m->ctx == NULL || n == 0 || n > BATCH || at + n > s->info.n_batch || (run->flags & ENGINE_TOKEN_ROW) != 0) return 0;
    int32_t pos = slice_pos_of(s, run->seq, run->pos + 1), after = pos + (int32_t)n;
    prepare(m, run->seq, pos, (uint32_t)n + most);
    if (!fill(s, run, at, n, next, pos)) return 0;
    for (int32_t token = predict(s, n); token >= 0 && !llama_vocab_is_eog(s->vocab, token); token = predict(s, 1)) {
        ret[got++].token = token;
        llama_batch_ext_clear(m->batch);
        if (got == most || !m->has_state || !add(m, run->seq, token, after++, m->state, true)) break;
    }
    return got;
}
