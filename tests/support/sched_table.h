/* SPDX-License-Identifier: MIT
 * A ring played by hand, for tests of the scheduler: it notes all actions, and frames are answered one by one. Tests include this once,
 * after cmocka. */
#ifndef CARAVAN_TESTS_SCHED_TABLE_H
#define CARAVAN_TESTS_SCHED_TABLE_H

#include "base/mem.h"
#include "sched/sched.h"
#include "support/field_at.h"

enum { VOCAB = 100, MAX_LOG = 256, MAX_SENT = 256 };

struct sent {
    uint32_t number;
    size_t n_ops, n_tokens;
    struct engine_op ops[16];
    struct engine_token tokens[64];
};

/* The scheduler's actions so far, and the unanswered frames. */
struct table {
    struct sched *s;
    clock_us now;
    struct request_event events[MAX_LOG];
    size_t n_events;
    struct sent frames[MAX_SENT];
    size_t n_frames, n_answered;
    uint32_t opens[MAX_LOG], open_generations[MAX_LOG];
    size_t n_opens, n_logits, n_logit_rows;
    uint64_t logits_id;
    bool score; /* requests ask for the log probabilities of their prompts */
    int32_t priority; /* of the requests that are submitted from now on */
    uint64_t key;     /* likewise */
};

static inline struct sched_config small_config(uint32_t n_stage) {
    return (struct sched_config){
        .n_stage = n_stage, .n_seq = 2, .n_ctx_seq = 32, .n_ctx = 64, .n_batch = 8, .n_vocab = VOCAB, .n_queue = 4};
}

static inline struct table *table_create(const struct sched_config *c) {
    struct table *t = MEM_NEW(struct table);
    t->s = sched_create(c);
    t->now = 1000;
    return t;
}

static inline void table_free(struct table *t) {
    sched_free(t->s);
    free(t);
}

/* Pulls every action. */
static inline void pull(struct table *t) {
    struct sched_action a;
    while (sched_next(t->s, t->now, &a)) {
        assert_true(t->n_events < MAX_LOG && t->n_frames < MAX_SENT && t->n_opens < MAX_LOG);
        if (a.kind == SCHED_ACTION_EVENT) {
            t->events[t->n_events++] = *a.event;
        } else if (a.kind == SCHED_ACTION_OPEN) {
            t->opens[t->n_opens] = a.seq;
            t->open_generations[t->n_opens++] = a.generation;
        } else if (a.kind == SCHED_ACTION_LOGITS) {
            t->logits_id = a.id;
            t->n_logits++;
            t->n_logit_rows += a.n_results;
        } else {
            struct sent *f = &t->frames[t->n_frames++];
            *f = (struct sent){.number = a.number, .n_ops = a.n_ops, .n_tokens = a.n_tokens};
            memcpy(f->ops, a.ops, a.n_ops * sizeof(*a.ops));
            memcpy(f->tokens, a.tokens, a.n_tokens * sizeof(*a.tokens));
        }
    }
}

static inline err_code submit_full(struct table *t, uint64_t id, size_t n_prompt, size_t n_generated, int32_t max_tokens, bool ignore_eos,
                                   struct err *e) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.tokens = mem_calloc(n_prompt + 1, sizeof(*r.tokens));
    r.n_tokens = n_prompt;
    for (size_t i = 0; i < n_prompt; i++) r.tokens[i] = (int32_t)(10 + i % 50);
    r.generated = n_generated > 0 ? mem_calloc(n_generated, sizeof(*r.generated)) : NULL;
    r.n_generated = n_generated;
    for (size_t i = 0; i < n_generated; i++) r.generated[i] = (int32_t)(60 + i);
    r.max_tokens = max_tokens;
    r.ignore_eos = ignore_eos;
    r.score = t->score;
    r.priority = t->priority;
    r.key = t->key;
    err_code code = sched_submit(t->s, t->now, &r, e);
    request_done(&r);
    return code;
}

static inline void submit(struct table *t, uint64_t id, size_t n_prompt, int32_t max_tokens) {
    assert_int_equal(submit_full(t, id, n_prompt, 0, max_tokens, false, NULL), ERR_OK);
    pull(t);
}

/* Answers the oldest frame: `token` for every sample asked for, with these flags. ANSWER_END: it ends the generation. */
enum { ANSWER_END = 128 };
static inline err_code answer_with(struct table *t, int32_t token, uint8_t flags, uint32_t number, int skip, struct err *e) {
    const struct sent *f = &t->frames[t->n_answered];
    struct buf b;
    buf_init(&b, 1 << 16);
    uint32_t n = 0;
    float row[VOCAB] = {0};
    for (size_t i = 0; i < f->n_tokens; i++) {
        if ((f->tokens[i].flags & ENGINE_TOKEN_ANSWERED) == 0 || skip-- > 0) continue;
        struct result r = {.seq = f->tokens[i].seq,
                           .index = (uint16_t)i,
                           .pos = f->tokens[i].pos,
                           .text = "no",
                           .text_len = 2,
                           .logits = (const uint8_t *)row,
                           .n_logits = VOCAB};
        bool score = (f->tokens[i].flags & ENGINE_TOKEN_SCORE) != 0, sample = (f->tokens[i].flags & ENGINE_TOKEN_SAMPLE) != 0 || !score;
        bool logits = (f->tokens[i].flags & ENGINE_TOKEN_LOGITS) != 0, failed = (flags & RESULT_FAILED) != 0;
        r.flags = logits   ? RESULT_LOGITS
                  : failed ? RESULT_FAILED
                           : (uint8_t)((sample ? RESULT_SAMPLED : 0) | (score ? RESULT_SCORED : 0) | (flags & ~ANSWER_END));
        r.score = (struct engine_sample){.token = f->tokens[i].token, .logprob = -(float)f->tokens[i].pos};
        r.sample.token = token < 0 ? 0 : token;
        r.sample.end = (flags & ANSWER_END) != 0;
        size_t at = b.len;
        result_put(&r, &b);
        if (token < 0) bytes_put_u32(b.data + at + field_at(result_fields(), "sample"), (uint32_t)token); /* no encoder writes that */
        n++;
    }
    struct wire_trace trace = {.stage = 0, .hop_us = 1, .wait_us = 2, .compute_us = 100};
    field_encode(wire_trace_fields(), &trace, &b);
    err_code code = sched_tokens(t->s, t->now, number, n, 1, b.data, b.len, 7, e);
    if (code == ERR_OK) {
        t->n_answered++;
        pull(t);
    }
    buf_done(&b);
    return code;
}

static inline void answer(struct table *t, int32_t token, uint8_t flags) {
    struct err e = {0};
    if (answer_with(t, token, flags, t->frames[t->n_answered].number, 0, &e) != ERR_OK) fail_msg("%s", e.text);
}

static inline const struct request_event *last_event(const struct table *t) {
    assert_true(t->n_events > 0);
    return &t->events[t->n_events - 1];
}

static inline struct sent *last_frame(struct table *t) {
    assert_true(t->n_frames > 0);
    return &t->frames[t->n_frames - 1];
}

static inline void answer_all(struct table *t) {
    while (t->n_answered < t->n_frames) answer(t, 50, 0);
}

static inline err_code submit_eval(struct table *t, uint64_t id, uint32_t first, uint32_t second, struct err *e) {
    struct request_eval ev = {.id = id, .n_batches = 2, .n_tokens = first + second};
    ev.batches = mem_calloc(2, sizeof(*ev.batches));
    ev.batches[0] = (struct request_eval_batch){first, 1};
    ev.batches[1] = (struct request_eval_batch){second, second};
    ev.tokens = mem_calloc(first + second, sizeof(*ev.tokens));
    err_code code = sched_eval(t->s, t->now, &ev, e);
    request_eval_done(&ev);
    return code;
}

#endif
