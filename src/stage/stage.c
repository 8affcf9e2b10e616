/* SPDX-License-Identifier: MIT
 * The core of a stage. Every buffer is made once, for the largest batch; a frame in steady state allocates nothing. Hidden states in f32
 * go out from where the engine wrote them, and come in where they arrived, on machines that are little-endian. */
#include "stage/stage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "stage/threads.h"
#include "wire/result.h"
#include "wire/stage.h"
#include "wire/compute.h"
#include "wire/hidden.h"

#define NATIVE_F32 (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

static_assert(FRAME_MAX_LOST >= FRAME_MAX_OPS + ENGINE_MAX_STORED, "one LOST tells of all that one frame can find");

struct stage {
    struct stage_config config;
    const struct engine_info *info;
    bool first, last;
    struct engine_op *ops;       /* [FRAME_MAX_OPS], of a frame that came; the head uses the scheduler's */
    struct engine_token *tokens; /* [n_batch] */
    struct wire_trace trace[FRAME_MAX_TRACE];
    float *hidden_in, *hidden_out; /* [n_batch][n_embd]; NULL where the slice has none */
    uint8_t *front;              /* the part of a COMPUTE in front of its hidden rows */
    uint8_t *rows;               /* encoded hidden rows; NULL if the engine's rows are sent unchanged */
    struct result_last *last_of; /* [n_seq]; the tail's */
    uint64_t *lost;              /* [FRAME_MAX_LOST]; NULL: the engine makes no marks */
    struct buf results, fault, open, lost_keys;
    struct stage_threads threads; /* most is 0: they stay as they are */
};

/* The work of one frame, from the ring or from the scheduler. */
struct work {
    uint32_t number;
    const struct engine_op *ops;
    size_t n_ops;
    const struct engine_token *tokens;
    size_t n_tokens;
    const float *hidden;
    uint16_t n_trace;            /* entries of st->trace that earlier stages made */
    uint32_t hop_us, wait_us;
};

/* ---- life ---- */

static err_code check_config(const struct stage_config *c, struct err *e) {
    const struct engine_info *info = &c->engine->info;
    if (info->first != (c->stage == 0) || info->last != (c->stage + 1 == c->n_stage)) {
        return err_set(e, ERR_INVALID, "stage %u of %u holds a slice that is %sthe first and %sthe last", c->stage, c->n_stage,
                       info->first ? "" : "not ", info->last ? "" : "not ");
    }
    if (info->n_batch == 0 || info->n_batch > FRAME_MAX_TOKENS || info->n_seq > FRAME_MAX_SEQ || info->n_embd > FRAME_MAX_WIDTH) {
        return err_set(e, ERR_LIMIT, "batches of %u, %u sequences, rows of %u: more than a frame holds", info->n_batch, info->n_seq,
                       info->n_embd);
    }
    if (frame_row_bytes(c->dtype, info->n_embd) == 0)
        return err_set(e, ERR_INVALID, "hidden rows of %u floats cannot travel in the chosen type", info->n_embd);
    return ERR_OK;
}

static bool make_buffers(struct stage *st) {
    size_t n_batch = st->info->n_batch, floats = n_batch * st->info->n_embd;
    st->ops = malloc(FRAME_MAX_OPS * sizeof(*st->ops));
    st->tokens = malloc(n_batch * sizeof(*st->tokens));
    st->front = malloc(wire_compute_head_size(FRAME_MAX_OPS, (uint32_t)n_batch, FRAME_MAX_TRACE));
    st->last_of = malloc(st->info->n_seq * sizeof(*st->last_of));
    bool marks = st->config.engine->ops->lost != NULL;
    st->lost = marks ? malloc(FRAME_MAX_LOST * sizeof(*st->lost)) : NULL;
    bool ok = st->ops != NULL && st->tokens != NULL && st->front != NULL && st->last_of != NULL && (st->lost != NULL || !marks);
    for (uint32_t i = 0; i < st->info->n_seq && ok; i++) st->last_of[i] = (struct result_last){-1, -1};
    size_t in = st->first ? n_batch * st->info->n_row : floats; /* the head: rows of pictures */
    if (in > 0) {
        st->hidden_in = malloc(in * sizeof(*st->hidden_in));
        ok = ok && st->hidden_in != NULL;
    }
    if (!st->last) {
        st->hidden_out = malloc(floats * sizeof(*st->hidden_out));
        ok = ok && st->hidden_out != NULL;
        if (!NATIVE_F32 || st->config.dtype != FRAME_F32) {
            st->rows = malloc(n_batch * frame_row_bytes(st->config.dtype, st->info->n_embd));
            ok = ok && st->rows != NULL;
        }
    }
    return ok;
}

err_code stage_create(const struct stage_config *config, struct stage **ret, struct err *e) {
    err_code code = check_config(config, e);
    if (code != ERR_OK) return code;
    struct stage *st = MEM_NEW(struct stage);
    st->config = *config;
    st->info = &config->engine->info;
    st->first = st->info->first;
    st->last = st->info->last;
    if (config->threads > 0 && config->cpu_clock != NULL && config->engine->ops->threads != NULL)
        stage_threads_init(&st->threads, config->threads);
    buf_init(&st->results, frame_max_payload(FRAME_TOKENS));
    buf_init(&st->fault, frame_max_payload(FRAME_FAULT));
    buf_init(&st->open, frame_max_payload(FRAME_SEQ_OPEN));
    buf_init(&st->lost_keys, frame_max_payload(FRAME_LOST));
    if (!make_buffers(st)) {
        stage_free(st);
        return err_set(e, ERR_MEMORY, "no memory for frames of %u rows of %u floats", st->info->n_batch, st->info->n_embd);
    }
    *ret = st;
    return ERR_OK;
}

bool stage_team_of(const struct stage *st, struct stage_team *ret) {
    if (st->threads.most == 0) return false;
    ret->single = st->threads.paces[STAGE_THREADS_SINGLE].count;
    ret->several = st->threads.paces[STAGE_THREADS_SEVERAL].count;
    return true;
}

void stage_free(struct stage *st) {
    if (st == NULL) return;
    buf_done(&st->results);
    buf_done(&st->fault);
    buf_done(&st->open);
    buf_done(&st->lost_keys);
    free(st->lost);
    free(st->ops);
    free(st->tokens);
    free(st->front);
    free(st->hidden_in);
    free(st->hidden_out);
    free(st->rows);
    free(st->last_of);
    free(st);
}

/* ---- frames that go out ---- */

static struct stage_out_frame *out_frame(struct stage *st, struct stage_out *out, uint8_t type) {
    assert(out->n < STAGE_MAX_OUT);
    struct stage_out_frame *f = &out->frames[out->n++];
    f->header = (struct frame_header){.type = type, .epoch = st->config.epoch};
    f->n_parts = 0;
    return f;
}

static void add_part(struct stage_out_frame *f, const void *data, size_t len) {
    if (len > 0) {
        f->parts[f->n_parts++] = (struct wire_part){.data = data, .len = len};
        f->header.payload_len += (uint32_t)len;
    }
}

static void out_fault(struct stage *st, const struct stage_fault *fault, struct stage_out *out) {
    buf_clear(&st->fault);
    stage_fault_encode(fault, &st->fault);
    add_part(out_frame(st, out, FRAME_FAULT), st->fault.data, st->fault.len);
}

/* Names the marks and sequences that the operations of this frame asked for in vain, or that went since the last one. */
static void out_lost(struct stage *st, struct stage_out *out) {
    const struct engine *en = st->config.engine;
    size_t n = st->lost != NULL ? en->ops->lost(en->self, st->lost) : 0;
    if (n == 0) return;
    buf_clear(&st->lost_keys);
    stage_lost_encode(st->lost, n, &st->lost_keys);
    add_part(out_frame(st, out, FRAME_LOST), st->lost_keys.data, st->lost_keys.len);
}

static void out_compute(struct stage *st, const struct work *w, size_t n_tokens, uint16_t n_trace, struct stage_out *out) {
    struct stage_out_frame *f = out_frame(st, out, FRAME_COMPUTE);
    uint32_t width = st->info->n_embd;
    f->header.number = w->number;
    f->header.dtype = st->config.dtype;
    f->header.width = width;
    f->header.n_ops = (uint32_t)w->n_ops;
    f->header.n_tokens = (uint32_t)n_tokens;
    f->header.n_trace = n_trace;
    wire_compute_put(st->front, w->ops, (uint32_t)w->n_ops, w->tokens, (uint32_t)n_tokens, st->trace, n_trace);
    add_part(f, st->front, wire_compute_head_size((uint32_t)w->n_ops, (uint32_t)n_tokens, n_trace));
    if (st->rows != NULL && n_tokens > 0) wire_hidden_put(st->rows, st->config.dtype, st->hidden_out, (uint32_t)n_tokens, width);
    add_part(f, st->rows != NULL ? (const void *)st->rows : st->hidden_out, n_tokens * frame_row_bytes(st->config.dtype, width));
}

static void out_tokens(struct stage *st, const struct work *w, uint32_t n_results, uint16_t n_trace, struct stage_out *out) {
    for (uint16_t i = 0; i < n_trace; i++) field_encode(wire_trace_fields(), &st->trace[i], &st->results);
    struct stage_out_frame *f = out_frame(st, out, FRAME_TOKENS);
    f->header.number = w->number;
    f->header.n_tokens = n_results;
    f->header.n_trace = n_trace;
    add_part(f, st->results.data, st->results.len);
}

/* ---- computing ---- */

/* Chooses the threads for later frames by the time that this one took. */
static void follow_threads(struct stage *st, uint32_t n_tokens, clock_us wall, clock_us cpu) {
    const struct engine *en = st->config.engine;
    const struct stage_config *c = &st->config;
    clock_us now = c->clock(c->user), idle;
    if (now >= stage_threads_look_at(&st->threads) && c->idle_clock != NULL && c->idle_clock(c->user, &idle))
        stage_threads_looked(&st->threads, now, idle, c->cpu_clock(c->user));
    if (!stage_threads_frame(&st->threads, now, n_tokens, wall, cpu)) return;
    uint32_t single = st->threads.paces[STAGE_THREADS_SINGLE].now, several = st->threads.paces[STAGE_THREADS_SEVERAL].now;
    log_debug("stage", "computes single tokens with %u threads, several with %u", single, several);
    en->ops->threads(en->self, single, several);
}

static err_code eval(struct stage *st, const struct work *w, struct err *e) {
    const struct engine *en = st->config.engine;
    const struct stage_config *c = &st->config;
    if (st->threads.most == 0) return en->ops->eval(en->self, w->tokens, w->n_tokens, w->hidden, st->hidden_out, e);
    clock_us start = c->clock(c->user), cpu = c->cpu_clock(c->user);
    err_code code = en->ops->eval(en->self, w->tokens, w->n_tokens, w->hidden, st->hidden_out, e);
    if (code == ERR_OK) follow_threads(st, (uint32_t)w->n_tokens, c->clock(c->user) - start, c->cpu_clock(c->user) - cpu);
    return code;
}

static err_code compute(struct stage *st, const struct work *w, struct err *e) {
    const struct engine *en = st->config.engine;
    err_code code = ERR_OK;
    if (w->n_ops > 0) code = en->ops->apply(en->self, w->ops, w->n_ops, e);
    return code == ERR_OK && w->n_tokens > 0 ? eval(st, w, e) : code;
}

/* Adds all logits of a token, or the vector of the text that the token ends. */
static void put_row(struct stage *st, size_t i, bool vector, struct result *res, uint8_t **scratch) {
    const struct engine *en = st->config.engine;
    const float *row = vector ? en->ops->vector(en->self, i) : en->ops->logits(en->self, i);
    res->flags |= vector ? RESULT_VECTOR : RESULT_LOGITS;
    res->n_logits = vector ? st->info->n_vector : st->info->n_vocab;
    res->logits = (const uint8_t *)row;
    if (!NATIVE_F32) {
        *scratch = mem_alloc((size_t)res->n_logits * 4);
        wire_hidden_put(*scratch, FRAME_F32, row, 1, res->n_logits);
        res->logits = *scratch;
    }
}

static void put_failure(struct result *res, const struct err *why) {
    res->flags = (uint8_t)((res->flags & ~(RESULT_SAMPLED | RESULT_SCORED)) | RESULT_FAILED);
    res->text = why->text;
    res->text_len = (uint16_t)strlen(why->text);
}

/* Adds the token's own score and the token sampled after it, as far as they are wanted. */
static void put_choice(struct stage *st, size_t i, const struct engine_token *t, struct result *res, struct err *why) {
    const struct engine *en = st->config.engine;
    err_code code = ERR_OK;
    if ((t->flags & ENGINE_TOKEN_SCORE) != 0) {
        code = en->ops->score(en->self, t->seq, i, t->pos, &res->score, why);
        res->flags |= RESULT_SCORED;
    }
    if (code == ERR_OK && (t->flags & ENGINE_TOKEN_SAMPLE) != 0) {
        code = en->ops->sample(en->self, t->seq, i, t->pos, &res->sample, why);
        res->flags |= RESULT_SAMPLED;
    }
    if (code != ERR_OK) put_failure(res, why);
}

/* Adds guesses at what follows the token sampled after token i, unless the batch has that token, too. They are made from all of the
 * sequence's tokens in the batch that were answered. */
static void put_guesses(struct stage *st, const struct work *w, size_t i, struct result *res) {
    const struct engine *en = st->config.engine;
    const struct engine_token *t = &w->tokens[i], *next = i + 1 < w->n_tokens ? t + 1 : NULL;
    if (t->n_guess == 0 || (res->flags & RESULT_SAMPLED) == 0 || res->sample.end || en->ops->guess == NULL) return;
    if (next != NULL && next->seq == t->seq && (next->flags & ENGINE_TOKEN_DRAFT) != 0 && next->token == res->sample.token) return;
    size_t at = i;
    while (at > 0 && (w->tokens[at].flags & ENGINE_TOKEN_DRAFT) != 0) at--;
    clock_us start = st->config.clock(st->config.user);
    uint32_t n = en->ops->guess(en->self, &w->tokens[at], at, i + 1 - at, res->sample.token, t->n_guess, res->guesses);
    res->n_guess = (uint8_t)n;
    res->guess_us = (uint32_t)(st->config.clock(st->config.user) - start);
}

/* The tail: puts the answer to each flagged token into st->results. In a chain of proposals it answers only those that equal the tokens
 * really sampled. A failure to sample one sequence affects no other sequence. */
static uint32_t take_results(struct stage *st, const struct work *w) {
    uint32_t n = 0;
    for (size_t i = 0; i < w->n_tokens; i++) {
        const struct engine_token *t = &w->tokens[i];
        struct result_last *last = &st->last_of[t->seq];
        if (!result_is_due(last, t->flags, t->pos, t->token)) continue;
        struct result res = {.seq = t->seq, .index = (uint16_t)i, .pos = t->pos};
        uint8_t *scratch = NULL;
        struct err why = {0};
        if ((t->flags & (ENGINE_TOKEN_LOGITS | ENGINE_TOKEN_POOL)) != 0)
            put_row(st, i, (t->flags & ENGINE_TOKEN_POOL) != 0, &res, &scratch);
        put_choice(st, i, t, &res, &why);
        if ((t->flags & ENGINE_TOKEN_SAMPLE) != 0) result_note(last, &res);
        put_guesses(st, w, i, &res);
        result_put(&res, &st->results);
        free(scratch);
        n++;
    }
    return n;
}

static void run(struct stage *st, const struct work *w, struct stage_out *out) {
    struct stage_fault fault = {.stage = st->config.stage, .frame = w->number, .seq = -1, .generation = -1};
    clock_us start = st->config.clock(st->config.user);
    out->n = 0;
    bool ok = compute(st, w, &fault.err) == ERR_OK;
    uint32_t n_results = 0;
    if (st->last) {
        buf_clear(&st->results);
        n_results = ok ? take_results(st, w) : 0;
        if (st->results.failed) {
            ok = false;
            n_results = 0;
            buf_clear(&st->results);
            err_set(&fault.err, ERR_LIMIT, "the answer to %zu tokens does not fit in a frame", w->n_tokens);
        }
    }
    clock_us end = st->config.clock(st->config.user);
    st->trace[w->n_trace] = (struct wire_trace){
        .stage = (uint16_t)st->config.stage, .hop_us = w->hop_us, .wait_us = w->wait_us, .compute_us = (uint32_t)(end - start)};
    out_lost(st, out);
    if (!ok) out_fault(st, &fault, out);
    if (st->last) out_tokens(st, w, n_results, (uint16_t)(w->n_trace + 1), out);
    else out_compute(st, w, ok ? w->n_tokens : 0, (uint16_t)(w->n_trace + 1), out);
}

void stage_begin(struct stage *st, uint32_t number, const struct engine_op *ops, size_t n_ops, const struct engine_token *tokens,
                 const float *const *rows, size_t n_tokens, struct stage_out *ret) {
    assert(st->first && n_ops <= FRAME_MAX_OPS && n_tokens <= st->info->n_batch);
    struct work w = {.number = number, .ops = ops, .n_ops = n_ops, .tokens = tokens, .n_tokens = n_tokens};
    size_t width = st->info->n_row;
    for (size_t i = 0; i < n_tokens && rows != NULL; i++) {
        if (rows[i] == NULL) continue;
        assert(width > 0);
        memcpy(st->hidden_in + i * width, rows[i], width * sizeof(*st->hidden_in));
        w.hidden = st->hidden_in;
    }
    run(st, &w, ret);
}

/* ---- frames that come in ---- */

static err_code read_ops(struct stage *st, const struct wire_compute *c, struct err *e) {
    for (uint32_t i = 0; i < c->n_ops; i++) {
        struct engine_op op = wire_compute_op(c, i);
        if (op.seq >= st->info->n_seq || op.dst >= st->info->n_seq)
            return err_set(e, ERR_PROTOCOL, "operation on sequence %u, there are %u", op.seq > op.dst ? op.seq : op.dst, st->info->n_seq);
        st->ops[i] = op;
    }
    return ERR_OK;
}

static err_code read_tokens(struct stage *st, const struct wire_compute *c, struct err *e) {
    if (c->n_tokens > st->info->n_batch)
        return err_set(e, ERR_PROTOCOL, "a batch of %u tokens, at most %u", c->n_tokens, st->info->n_batch);
    for (uint32_t i = 0; i < c->n_tokens; i++) {
        struct engine_token t = wire_compute_token(c, i);
        if (t.seq >= st->info->n_seq || (uint32_t)t.pos >= st->info->n_ctx_seq) {
            return err_set(e, ERR_PROTOCOL, "a token for sequence %u of %u, position %d of %u", t.seq, st->info->n_seq, t.pos,
                           st->info->n_ctx_seq);
        }
        bool row = (t.flags & ENGINE_TOKEN_ROW) != 0;
        if (st->last && !row && (uint32_t)t.token >= st->info->n_vocab)
            return err_set(e, ERR_PROTOCOL, "token %d, the vocabulary has %u", t.token, st->info->n_vocab);
        st->tokens[i] = t;
    }
    return ERR_OK;
}

/* Returns the hidden rows as f32: in place, if they arrived as aligned floats in this machine's byte order. */
static const float *read_hidden(struct stage *st, const struct wire_compute *c) {
    if (NATIVE_F32 && c->dtype == FRAME_F32 && (uintptr_t)c->hidden % _Alignof(float) == 0) return (const float *)(const void *)c->hidden;
    wire_hidden_get(st->hidden_in, c->dtype, c->hidden, c->n_tokens, c->width);
    return st->hidden_in;
}

static err_code receive_compute(struct stage *st, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, uint32_t wait_us,
                                struct stage_out *ret, struct err *e) {
    struct wire_compute c;
    err_code code;
    if ((code = wire_compute_view(h, payload, st->info->n_embd, &c, e)) != ERR_OK || (code = read_ops(st, &c, e)) != ERR_OK ||
        (code = read_tokens(st, &c, e)) != ERR_OK) {
        return code;
    }
    if (c.n_trace != st->config.stage) return err_set(e, ERR_PROTOCOL, "times of %u stages came to stage %u", c.n_trace, st->config.stage);
    for (uint32_t i = 0; i < c.n_trace; i++) st->trace[i] = wire_compute_trace(&c, i);
    struct work w = {.number = h->number,
                     .ops = st->ops,
                     .n_ops = c.n_ops,
                     .tokens = st->tokens,
                     .n_tokens = c.n_tokens,
                     .n_trace = (uint16_t)c.n_trace,
                     .hop_us = hop_us,
                     .wait_us = wait_us};
    w.hidden = c.n_tokens > 0 ? read_hidden(st, &c) : NULL;
    run(st, &w, ret);
    return ERR_OK;
}

static void open_sequence(struct stage *st, const struct stage_open *open, struct stage_out *out) {
    const struct engine *en = st->config.engine;
    struct stage_fault fault = {.stage = st->config.stage, .frame = -1, .seq = open->seq, .generation = open->generation};
    if (en->ops->seq_open(en->self, open->seq, &open->sampling, &fault.err) != ERR_OK) out_fault(st, &fault, out);
}

static err_code receive_open(struct stage *st, const struct frame_header *h, const uint8_t *payload, struct stage_out *ret, struct err *e) {
    struct stage_open open;
    err_code code = stage_open_decode(payload, h->payload_len, &open, e);
    if (code != ERR_OK) return ERR_PROTOCOL;
    if (open.seq >= st->info->n_seq) code = err_set(e, ERR_PROTOCOL, "sequence %u is opened, there are %u", open.seq, st->info->n_seq);
    else open_sequence(st, &open, ret);
    engine_sampling_done(&open.sampling);
    return code;
}

static void pass_on(struct stage *st, const struct frame_header *h, const uint8_t *payload, struct stage_out *ret) {
    add_part(out_frame(st, ret, h->type), payload, h->payload_len);
}

err_code stage_receive(struct stage *st, const struct frame_header *h, const uint8_t *payload, uint32_t hop_us, uint32_t wait_us,
                       struct stage_out *ret, struct err *e) {
    assert(!st->first);
    err_code code = ERR_OK;
    ret->n = 0;
    if (h->epoch != st->config.epoch) {
        return err_set(e, ERR_STALE, "a frame of epoch %llu in a ring of epoch %llu", (unsigned long long)h->epoch,
                       (unsigned long long)st->config.epoch);
    }
    switch (h->type) {
    case FRAME_COMPUTE: return receive_compute(st, h, payload, hop_us, wait_us, ret, e);
    case FRAME_SEQ_OPEN:
        if (st->last) return receive_open(st, h, payload, ret, e);
        if (st->info->n_adapters > 0) code = receive_open(st, h, payload, ret, e); /* it says which of them the sequence has */
        if (code != ERR_OK) return code;
        pass_on(st, h, payload, ret);
        return ERR_OK;
    case FRAME_LOST:
    case FRAME_FAULT: pass_on(st, h, payload, ret); return ERR_OK;
    default: return err_set(e, ERR_PROTOCOL, "a %s frame came to stage %u", frame_type_name(h->type), st->config.stage);
    }
}

void stage_begin_open(struct stage *st, const struct stage_open *open, struct stage_out *ret) {
    assert(st->first);
    ret->n = 0;
    if (st->last || st->info->n_adapters > 0) open_sequence(st, open, ret);
    if (st->last || ret->n > 0) return;
    buf_clear(&st->open);
    stage_open_encode(open, &st->open);
    if (st->open.failed) {
        struct stage_fault fault = {.stage = st->config.stage, .frame = -1, .seq = open->seq, .generation = open->generation};
        err_set(&fault.err, ERR_LIMIT, "the sampling parameters do not fit in a frame");
        out_fault(st, &fault, ret);
        return;
    }
    add_part(out_frame(st, ret, FRAME_SEQ_OPEN), st->open.data, st->open.len);
}
