/* SPDX-License-Identifier: MIT
 * The scheduler, edge by edge: the test plays the ring by hand. test_sim_pipeline runs it through thousands of schedules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/queue.h"
#include "support/sched_table.h"

/* ---- a request's way ---- */

static void test_stop(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    submit(t, 5, 3, 10);
    assert_int_equal(t->events[0].kind, REQUEST_STARTED);
    assert_int_equal(t->events[0].prompt_tokens, 3);
    assert_int_equal(t->n_opens, 1);
    assert_int_equal(t->n_frames, 1);
    assert_int_equal(last_frame(t)->n_tokens, 3);
    assert_int_equal(last_frame(t)->tokens[1].flags, 0);
    assert_int_equal(last_frame(t)->tokens[2].flags, ENGINE_TOKEN_SAMPLE);
    t->now += 500;
    answer(t, 42, 0);
    assert_int_equal(last_event(t)->kind, REQUEST_TOKEN);
    assert_int_equal(last_event(t)->token, 42);
    assert_int_equal(last_event(t)->completion_tokens, 1);
    assert_int_equal(last_frame(t)->n_tokens, 1);
    assert_int_equal(last_frame(t)->tokens[0].token, 42);
    assert_int_equal(last_frame(t)->tokens[0].pos, 3);
    t->now += 300;
    answer(t, 7, ANSWER_END);
    const struct request_event *done = last_event(t);
    assert_int_equal(done->kind, REQUEST_DONE);
    assert_int_equal(done->finish, REQUEST_FINISH_STOP);
    assert_int_equal(done->completion_tokens, 1);
    assert_int_equal(done->prefill_us, 500);
    assert_int_equal(done->decode_us, 300);
    assert_int_equal(done->n_hop, 1);
    assert_int_equal(done->hops[0].frames, 2);
    assert_int_equal(done->hops[0].compute_us, 200);
    assert_int_equal(done->hops[0].wait_us, 4);
    assert_int_equal(done->hops[0].hop_us, 16); /* 2 x (1 + 7 on the way back) */
    assert_int_equal(last_frame(t)->n_tokens, 0); /* nothing else runs: the slot is closed by a frame of its own */
    assert_int_equal(last_frame(t)->ops[0].kind, ENGINE_OP_CLOSE);
    assert_false(sched_idle(t->s));
    answer(t, 0, 0);
    assert_true(sched_idle(t->s));
    table_free(t);
}

static void test_length(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    submit(t, 1, 3, 2);
    answer(t, 40, 0);
    answer(t, 41, 0);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(last_event(t)->completion_tokens, 2);
    submit(t, 2, 30, -1); /* two positions are left */
    answer_all(t);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(last_event(t)->completion_tokens, 2);
    table_free(t);
}

static void test_nothing_to_generate(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    assert_int_equal(submit_full(t, 2, 3, 4, 4, false, NULL), ERR_OK);
    pull(t);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(last_event(t)->completion_tokens, 4);
    assert_int_equal(t->n_frames, 0);
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* With a limit of 0 the prompt is computed and nothing is sampled; it may fill the context. */
static void test_prompt_alone(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    submit(t, 1, c.n_ctx_seq, 0);
    assert_int_equal(t->n_events, 1);
    assert_int_equal(t->events[0].kind, REQUEST_STARTED);
    uint32_t n = 0;
    for (size_t i = 0; i < t->n_frames; i++) {
        for (size_t k = 0; k < t->frames[i].n_tokens; k++, n++) assert_int_equal(t->frames[i].tokens[k].flags, 0);
        answer(t, 40, 0);
    }
    assert_int_equal(n, c.n_ctx_seq);
    assert_int_equal(t->n_events, 2);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(last_event(t)->completion_tokens, 0);
    table_free(t);
}

/* Each token of the prompt is told, and the prompt of an earlier request that is the same is not taken over: it would have no scores. */
static void test_scores(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.prefix_cache = c.can_remove = true;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 2; id++) {
        size_t from = t->n_events;
        t->score = true;
        submit(t, id, 5, 1);
        answer_all(t);
        assert_int_equal(t->n_events - from, 8);
        for (uint32_t i = 0; i < 5; i++) {
            const struct request_event *ev = &t->events[from + 1 + i];
            assert_int_equal(ev->kind, REQUEST_SCORE);
            assert_true(ev->logprob == -(float)i && ev->prompt_tokens == 5 && ev->cached_tokens == 0);
        }
        assert_int_equal(t->events[from + 6].kind, REQUEST_TOKEN);
        assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    }
    t->score = false;
    submit(t, 3, 5, 1);
    answer_all(t);
    assert_int_equal(last_event(t)->cached_tokens, 4);
    table_free(t);
}

static void test_ignore_eos(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    assert_int_equal(submit_full(t, 1, 3, 0, 5, true, NULL), ERR_OK);
    pull(t);
    answer(t, 7, ANSWER_END);
    assert_int_equal(last_event(t)->kind, REQUEST_TOKEN);
    assert_int_equal(last_frame(t)->tokens[0].token, 7);
    table_free(t);
}

static void test_replay(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    assert_int_equal(submit_full(t, 1, 3, 2, 4, false, NULL), ERR_OK);
    pull(t);
    assert_int_equal(last_frame(t)->n_tokens, 5);
    assert_int_equal(last_frame(t)->tokens[3].token, 60);
    assert_int_equal(last_frame(t)->tokens[4].flags, ENGINE_TOKEN_SAMPLE);
    answer(t, 42, 0);
    assert_int_equal(last_event(t)->completion_tokens, 3);
    assert_int_equal(last_event(t)->prompt_tokens, 3);
    answer(t, 43, 0);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    assert_int_equal(last_event(t)->completion_tokens, 4);
    table_free(t);
}

/* ---- frames ---- */

static void test_chunks_follow(void **state) {
    (void)state;
    struct sched_config c = small_config(3); /* four credits */
    struct table *t = table_create(&c);
    submit(t, 1, 20, 5);
    assert_int_equal(t->n_frames, 3);
    static const size_t sizes[3] = {8, 8, 4};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t->frames[i].n_tokens, sizes[i]);
        assert_int_equal(t->frames[i].tokens[0].pos, 8 * i);
        assert_int_equal(t->frames[i].tokens[sizes[i] - 1].flags, i == 2 ? ENGINE_TOKEN_SAMPLE : 0);
    }
    table_free(t);
}

static void test_credits(void **state) {
    (void)state;
    struct sched_config c = small_config(3);
    c.n_credit = 2;
    struct table *t = table_create(&c);
    submit(t, 1, 31, 1);
    assert_int_equal(t->n_frames, 2);
    answer(t, 0, 0);
    assert_int_equal(t->n_frames, 3);
    table_free(t);
}

static void exact_sizes(size_t n_prompt, size_t n_generated, const size_t *sizes, size_t n) {
    struct sched_config c = small_config(1);
    c.exact = true;
    struct table *t = table_create(&c);
    assert_int_equal(submit_full(t, 1, n_prompt, n_generated, -1, false, NULL), ERR_OK);
    pull(t);
    while (t->n_frames < n) answer(t, 50, 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(t->frames[i].n_tokens, sizes[i]);
    table_free(t);
}

static void test_exact_chunks(void **state) {
    (void)state;
    exact_sizes(11, 0, (size_t[]){8, 3}, 2);
    exact_sizes(12, 0, (size_t[]){8, 4}, 2);
    exact_sizes(6, 4, (size_t[]){4, 2, 3, 1}, 4); /* generated tokens are never in a chunk of the prompt */
    exact_sizes(3, 0, (size_t[]){3}, 1);
}

static void test_exact_decodes(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.exact = true;
    c.n_seq = 5;
    c.n_ctx = 5 * 32;
    c.n_credit = 1;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 5; id++) submit(t, id, 2, 20);
    for (int i = 0; i < 5; i++) answer(t, 50, 0);
    for (int i = 0; i < 20; i++) {
        assert_uint_in_range(last_frame(t)->n_tokens, 1, 3);
        answer(t, 50, 0);
    }
    table_free(t);
}

/* Decoding sequences and a prompt take turns: neither waits for the end of the other. */
static void test_exact_turns(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.exact = true;
    struct table *t = table_create(&c);
    submit(t, 1, 2, 20);
    answer(t, 50, 0);
    submit(t, 2, 28, 2);
    for (int i = 0; i < 6; i++) {
        answer(t, 50, 0);
        assert_int_equal(last_frame(t)->tokens[0].seq, i % 2 == 0 ? 1 : 0);
    }
    table_free(t);
}

static void test_prefill_beside_decode(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_batch = 64;
    c.n_ctx_seq = 500;
    c.n_ctx = 1000;
    c.latency_us = 200;
    struct table *t = table_create(&c);
    submit(t, 1, 3, 50);
    answer(t, 42, 0);
    submit(t, 2, 100, 5);
    answer(t, 43, 0);
    const struct sent *f = last_frame(t);
    assert_int_equal(f->n_tokens, 17); /* a decode token, and as many prompt tokens as there is time for */
    assert_int_equal(f->tokens[0].seq, 0);
    assert_int_equal(f->tokens[0].flags, ENGINE_TOKEN_SAMPLE);
    assert_int_equal(f->tokens[1].seq, 1);
    table_free(t);
}

static void test_groups(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    c.n_seq = 4;
    c.n_ctx = 4 * 32;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 4; id++) assert_int_equal(submit_full(t, id, 2, 0, 20, false, NULL), ERR_OK);
    pull(t);
    assert_int_equal(t->n_frames, 1); /* four prompts in one frame */
    answer(t, 50, 0);
    assert_int_equal(t->n_frames, 3); /* two groups of two, one after the other */
    assert_int_equal(t->frames[1].n_tokens, 2);
    assert_int_equal(t->frames[2].n_tokens, 2);
    assert_int_not_equal(t->frames[1].tokens[0].seq, t->frames[2].tokens[0].seq);
    table_free(t);
}

/* ---- slots ---- */

static void test_slot_reused_at_once(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    c.n_seq = 1;
    c.n_ctx = 32;
    struct table *t = table_create(&c);
    submit(t, 1, 10, 5);                    /* two chunks in flight */
    assert_int_equal(t->n_frames, 2);
    submit(t, 2, 2, 5);
    sched_cancel(t->s, t->now, 1);
    pull(t);
    assert_int_equal(t->n_opens, 2);
    assert_int_not_equal(t->open_generations[0], t->open_generations[1]);
    assert_int_equal(t->n_frames, 3);
    assert_int_equal(last_frame(t)->n_ops, 1);
    assert_int_equal(last_frame(t)->ops[0].kind, ENGINE_OP_RM); /* a CLOSE would take the new owner's sampler with it */
    assert_int_equal(last_frame(t)->ops[0].p1, -1);
    size_t before = t->n_events;
    answer(t, 40, 0);
    answer(t, 41, 0);                       /* the old owner's token */
    assert_int_equal(t->n_events, before);
    answer(t, 42, 0);
    assert_int_equal(last_event(t)->id, 2);
    assert_int_equal(last_event(t)->token, 42);
    table_free(t);
}

static void test_cancel_everywhere(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_seq = 1;
    c.n_ctx = 32;
    struct table *t = table_create(&c);
    submit(t, 1, 20, 5);
    submit(t, 2, 2, 5);
    sched_cancel(t->s, t->now, 2);          /* queued */
    pull(t);
    assert_int_equal(last_event(t)->id, 2);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_CANCELLED);
    sched_cancel(t->s, t->now, 1);          /* prefilling, a chunk in flight */
    pull(t);
    assert_int_equal(last_event(t)->id, 1);
    answer_all(t);
    submit(t, 3, 2, 5);
    answer_all(t);
    submit(t, 4, 2, 5);
    answer(t, 50, 0);
    sched_cancel(t->s, t->now, 4);          /* decoding, in flight */
    pull(t);
    assert_int_equal(last_event(t)->finish, REQUEST_FINISH_CANCELLED);
    assert_int_equal(last_event(t)->completion_tokens, 1);
    answer_all(t);
    sched_cancel(t->s, t->now, 99);         /* never heard of */
    pull(t);
    assert_true(sched_idle(t->s));
    struct sched_counts n;
    sched_count(t->s, &n);
    assert_int_equal(n.slots_free, 1);
    assert_int_equal(n.kv_reserved, 0);
    table_free(t);
}

/* READY and not in flight: with one credit, taken by another group's frame. */
static void test_cancel_ready(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    c.n_credit = 1;
    struct table *t = table_create(&c);
    submit(t, 1, 2, 9);
    submit(t, 2, 2, 9);
    answer(t, 50, 0); /* the second prompt goes, the first is ready */
    assert_int_equal(last_frame(t)->tokens[0].seq, 0);
    answer(t, 51, 0);
    sched_cancel(t->s, t->now, 1);
    sched_cancel(t->s, t->now, 2);
    pull(t);
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* ---- limits ---- */

static void test_limits(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_seq = 1;
    c.n_queue = 1;
    struct table *t = table_create(&c);
    struct err e;
    assert_int_equal(submit_full(t, 1, 32, 0, 5, false, &e), ERR_LIMIT);
    assert_string_equal(e.text, "the prompt has 32 tokens: the context of 32 has no room for an answer");
    assert_int_equal(submit_full(t, 1, 20, 13, -1, false, &e), ERR_LIMIT);
    assert_int_equal(submit_full(t, 1, 0, 0, 5, false, &e), ERR_INVALID);
    assert_int_equal(submit_full(t, 1, 3, 0, 5, false, &e), ERR_OK);
    assert_int_equal(submit_full(t, 1, 3, 0, 5, false, &e), ERR_INVALID); /* that id runs */
    assert_int_equal(submit_full(t, 2, 3, 0, 5, false, &e), ERR_OK);
    assert_int_equal(submit_full(t, 3, 3, 0, 5, false, &e), ERR_BUSY);
    struct request r;
    request_init(&r);
    r.id = 9;
    r.n_tokens = 1;
    r.tokens = mem_calloc(1, sizeof(*r.tokens));
    r.tokens[0] = VOCAB;
    assert_int_equal(sched_submit(t->s, t->now, &r, &e), ERR_INVALID);
    assert_non_null(r.tokens); /* not taken over */
    request_done(&r);
    table_free(t);
}

static void test_no_queue_at_all(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_queue = 0;
    struct table *t = table_create(&c);
    submit(t, 1, 3, 5);
    submit(t, 2, 3, 5);
    assert_int_equal(submit_full(t, 3, 3, 0, 5, false, NULL), ERR_BUSY);
    table_free(t);
}

/* Submits a request as one of this priority and key. */
static void submit_as(struct table *t, uint64_t id, int32_t priority, uint64_t key, int32_t max_tokens) {
    t->priority = priority;
    t->key = key;
    submit(t, id, 3, max_tokens);
}

/* Each request runs alone and ends; the ids of those that have begun, in their order. */
static void check_order(struct table *t, const char *ids) {
    char began[32] = "";
    answer_all(t);
    for (size_t i = 0; i < t->n_events; i++)
        if (t->events[i].kind == REQUEST_STARTED)
            snprintf(began + strlen(began), sizeof(began) - strlen(began), "%u", (unsigned)t->events[i].id);
    assert_string_equal(began, ids);
}

/* One slot, taken by request 1. Those of the highest priority come next; those of one priority and key in order of arrival. */
static void test_priorities(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_seq = 1;
    c.n_queue = 8;
    struct table *t = table_create(&c);
    submit_as(t, 1, QUEUE_BACKGROUND, 0, 2);
    submit_as(t, 2, QUEUE_BACKGROUND, 0, 2);
    submit_as(t, 3, 0, 0, 2);
    submit_as(t, 4, 5, 0, 2);
    submit_as(t, 5, 0, 0, 2);
    submit_as(t, 6, QUEUE_BACKGROUND, 0, 2);
    submit_as(t, 7, 5, 0, 2);
    check_order(t, "1473526");
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* A client finds a place where the queue is full of requests for which nobody waits, and these find none where it is full of clients'. */
static void test_background_takes_no_place(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_seq = 1;
    c.n_queue = 2;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 3; id++) submit_as(t, id, QUEUE_BACKGROUND, 0, 2);
    assert_int_equal(submit_full(t, 4, 3, 0, 2, false, NULL), ERR_BUSY);
    submit_as(t, 5, 0, 0, 2);
    submit_as(t, 6, 0, 0, 2);
    assert_int_equal(submit_full(t, 7, 3, 0, 2, false, NULL), ERR_BUSY);
    check_order(t, "15623");
    table_free(t);
}

/* A client's request takes the slot of one for which nobody waits, as soon as no token of that is in flight. It goes on where it was,
 * from its own positions, and its client sees nothing of it. */
static void test_background_gives_way(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_queue = 0;
    c.prefix_cache = c.can_remove = true;
    struct table *t = table_create(&c);
    submit_as(t, 1, QUEUE_BACKGROUND, 0, 6);
    submit_as(t, 2, QUEUE_BACKGROUND, 0, 6);
    answer(t, 50, 0);
    answer(t, 51, 0); /* each has two tokens, and its third is asked for */
    submit_as(t, 3, 0, 0, 1);
    assert_int_equal(t->n_opens, 2); /* both are in flight */
    answer(t, 52, 0);
    assert_int_equal(t->n_opens, 3);
    answer_all(t);
    assert_int_equal(t->n_opens, 4);
    uint32_t tokens[4] = {0}, started = 0;
    for (size_t i = 0; i < t->n_events; i++) {
        tokens[t->events[i].id] += t->events[i].kind == REQUEST_TOKEN;
        started += t->events[i].kind == REQUEST_STARTED;
        if (t->events[i].kind == REQUEST_TOKEN) assert_int_equal(t->events[i].completion_tokens, tokens[t->events[i].id]);
        if (t->events[i].kind == REQUEST_DONE && t->events[i].id != 3) assert_int_equal(t->events[i].cached_tokens, 0);
    }
    assert_true(tokens[1] == 6 && tokens[2] == 6 && tokens[3] == 1 && started == 3);
    uint32_t computed = 0;
    for (size_t i = 0; i < t->n_frames; i++) computed += (uint32_t)t->frames[i].n_tokens;
    assert_int_equal(computed, 2 * (3 + 5) + 3); /* nothing twice */
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* Where none would be enough, none stops; and none for others of its kind. */
static void test_background_stays(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_ctx = 32; /* room for one of 32 positions */
    struct table *t = table_create(&c);
    submit_as(t, 1, QUEUE_BACKGROUND, 0, 10);
    submit_as(t, 2, 0, 0, 10);
    submit_as(t, 3, 0, 0, 25); /* waits for the client before it, too */
    submit_as(t, 4, QUEUE_BACKGROUND, 0, 10);
    answer(t, 50, 0);
    answer(t, 50, 0);
    assert_int_equal(t->n_opens, 2);
    answer_all(t);
    check_order(t, "1234");
    assert_int_equal(t->n_opens, 4);
    table_free(t);
}

/* Key 7 has asked for much; keys 8 and 9 come later and get as many cells as it does. What a key has used before is forgotten when nobody
 * waits. */
static void test_keys_take_turns(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_seq = 1;
    c.n_queue = 16;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 4; id++) submit_as(t, id, 0, 7, 5); /* 8 cells each */
    submit_as(t, 5, 0, 8, 1); /* 4 cells each */
    submit_as(t, 6, 0, 8, 1);
    submit_as(t, 7, 0, 8, 1);
    submit_as(t, 8, 0, 9, 5);
    check_order(t, "12586374");
    t->n_events = 0;
    submit_as(t, 1, 0, 8, 5);
    submit_as(t, 2, 0, 7, 5);
    submit_as(t, 3, 0, 9, 5);
    check_order(t, "123");
    table_free(t);
}

static void test_kv_room(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_ctx = 40; /* two slots of 32, but cells for 40 */
    struct table *t = table_create(&c);
    submit(t, 1, 10, 20);
    submit(t, 2, 5, 10);
    assert_int_equal(t->n_opens, 1); /* 30 and 15 cells do not fit together */
    sched_cancel(t->s, t->now, 1);
    pull(t);
    assert_int_equal(t->n_opens, 2);
    table_free(t);
}

/* ---- answers that are none ---- */

static void test_wrong_answers(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    submit(t, 1, 10, 5);
    struct err e;
    assert_int_equal(answer_with(t, 50, 0, 1, 0, &e), ERR_PROTOCOL);   /* not the oldest */
    assert_int_equal(answer_with(t, 50, 0, 99, 0, &e), ERR_PROTOCOL);
    answer(t, 50, 0);
    assert_int_equal(answer_with(t, 50, 0, 1, 1, &e), ERR_PROTOCOL);   /* a result is missing */
    assert_int_equal(answer_with(t, VOCAB, 0, 1, 0, &e), ERR_PROTOCOL);
    assert_int_equal(answer_with(t, -1, 0, 1, 0, &e), ERR_PROTOCOL);
    t->frames[1].tokens[1].pos++;
    assert_int_equal(answer_with(t, 50, 0, 1, 0, &e), ERR_PROTOCOL);
    t->frames[1].tokens[1].pos--;
    t->frames[1].tokens[1].flags = ENGINE_TOKEN_LOGITS;
    assert_int_equal(answer_with(t, 50, 0, 1, 0, &e), ERR_PROTOCOL);
    t->frames[1].tokens[1].flags = ENGINE_TOKEN_SAMPLE;
    assert_int_equal(sched_tokens(t->s, t->now, 1, 1, 0, (const uint8_t *)"junk", 4, 0, &e), ERR_PROTOCOL);
    assert_int_equal(t->n_events, 1);
    answer(t, 50, 0); /* nothing of that changed anything */
    assert_int_equal(last_event(t)->kind, REQUEST_TOKEN);
    table_free(t);
}

static void test_negative_token(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.n_vocab = 0; /* the head doesn't know it */
    struct table *t = table_create(&c);
    submit(t, 1, 3, 5);
    assert_int_equal(answer_with(t, -1, 0, 0, 0, NULL), ERR_PROTOCOL);
    answer(t, INT32_MAX, 0);
    table_free(t);
}

static void test_sampling_failed(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    submit(t, 1, 3, 5);
    answer(t, 0, RESULT_FAILED);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED);
    assert_int_equal(last_event(t)->err.code, ERR_ENGINE);
    assert_string_equal(last_event(t)->err.text, "no");
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* ---- faults ---- */

static void test_fault_frame(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    submit(t, 1, 10, 5);
    submit(t, 2, 2, 5);
    struct err why;
    err_set(&why, ERR_ENGINE, "it broke");
    sched_fault_frame(t->s, t->now, 77, &why); /* not in flight: nothing */
    sched_fault_frame(t->s, t->now, t->frames[0].number, &why);
    pull(t);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED);
    assert_int_equal(last_event(t)->id, 1);
    assert_string_equal(last_event(t)->err.text, "it broke");
    assert_int_equal(sched_tokens(t->s, t->now, t->frames[0].number, 0, 0, NULL, 0, 0, NULL), ERR_OK);
    t->n_answered++;
    pull(t);
    answer(t, 50, 0);
    answer(t, 51, 0); /* the other request isn't touched */
    assert_int_equal(last_event(t)->id, 2);
    assert_int_equal(last_event(t)->kind, REQUEST_TOKEN);
    table_free(t);
}

static void test_fault_seq(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    submit(t, 1, 2, 5);
    struct err why;
    err_set(&why, ERR_INVALID, "bad grammar");
    sched_fault_seq(t->s, t->now, 0, t->open_generations[0] + 1, &why); /* of another owner */
    sched_fault_seq(t->s, t->now, 40, 0, &why);
    pull(t);
    assert_int_equal(t->n_events, 1);
    sched_fault_seq(t->s, t->now, 0, t->open_generations[0], &why);
    pull(t);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED);
    assert_int_equal(last_event(t)->err.code, ERR_INVALID);
    table_free(t);
}

static void test_fail_all(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 4; id++) submit(t, id, 3, 5);
    struct err why, e;
    err_set(&why, ERR_CLOSED, "the ring is gone");
    sched_fail_all(t->s, t->now, &why);
    size_t frames = t->n_frames;
    pull(t);
    size_t failed = 0;
    for (size_t i = 0; i < t->n_events; i++) failed += t->events[i].kind == REQUEST_FAILED;
    assert_int_equal(failed, 4);
    assert_int_equal(t->n_frames, frames);
    assert_int_equal(submit_full(t, 9, 3, 0, 5, false, &e), ERR_CLOSED);
    assert_string_equal(e.text, "the ring is gone");
    assert_true(sched_idle(t->s));
    table_free(t);
}

static void test_drain(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    submit(t, 1, 3, 2);
    sched_drain(t->s);
    assert_int_equal(submit_full(t, 2, 3, 0, 5, false, NULL), ERR_UNAVAILABLE);
    answer_all(t);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* ---- evaluations ---- */

static void test_eval(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    submit(t, 1, 3, 2);
    struct err e;
    assert_int_equal(submit_eval(t, 8, 9, 1, &e), ERR_LIMIT);   /* a batch over n_batch */
    assert_int_equal(submit_eval(t, 1, 5, 2, &e), ERR_INVALID); /* that id runs */
    assert_int_equal(submit_eval(t, 8, 5, 2, &e), ERR_OK);
    assert_int_equal(submit_eval(t, 9, 5, 2, &e), ERR_BUSY);
    submit(t, 2, 3, 1);
    assert_int_equal(t->n_opens, 1); /* a request after an evaluation waits for it */
    answer(t, 50, 0);
    answer(t, 50, 0);
    assert_int_equal(t->n_frames, 4); /* both batches follow each other */
    assert_int_equal(t->frames[2].n_tokens, 5);
    assert_int_equal(t->frames[2].tokens[3].flags, 0);
    assert_int_equal(t->frames[2].tokens[4].flags, ENGINE_TOKEN_LOGITS);
    assert_int_equal(t->frames[3].n_tokens, 2);
    assert_int_equal(t->frames[3].tokens[0].pos, 5);
    answer(t, 0, 0);
    assert_int_equal(t->n_logits, 1);
    assert_int_equal(t->n_logit_rows, 1);
    answer(t, 0, 0);
    assert_int_equal(t->n_logits, 2);
    assert_int_equal(t->n_logit_rows, 3);
    assert_int_equal(t->logits_id, 8);
    assert_int_equal(t->n_opens, 2);
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

static void test_eval_cancelled(void **state) {
    (void)state;
    for (int running = 0; running < 2; running++) {
        struct sched_config c = small_config(2);
        struct table *t = table_create(&c);
        if (!running) submit(t, 1, 3, 2);
        assert_int_equal(submit_eval(t, 8, 5, 2, NULL), ERR_OK);
        pull(t);
        sched_cancel(t->s, t->now, 8);
        pull(t);
        assert_int_equal(last_event(t)->id, 8);
        assert_int_equal(last_event(t)->finish, REQUEST_FINISH_CANCELLED);
        answer_all(t);
        assert_int_equal(t->n_logits, 0);
        assert_true(sched_idle(t->s));
        table_free(t);
    }
}

static void test_eval_faulted(void **state) {
    (void)state;
    struct sched_config c = small_config(2);
    struct table *t = table_create(&c);
    assert_int_equal(submit_eval(t, 8, 5, 2, NULL), ERR_OK);
    pull(t);
    struct err why;
    err_set(&why, ERR_ENGINE, "it broke");
    sched_fault_frame(t->s, t->now, t->frames[0].number, &why);
    pull(t);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED);
    assert_string_equal(last_event(t)->err.text, "it broke");
    assert_int_equal(sched_tokens(t->s, t->now, t->frames[0].number, 0, 0, NULL, 0, 0, NULL), ERR_OK);
    t->n_answered++;
    pull(t);
    answer_all(t);
    assert_int_equal(t->n_logits, 0);
    assert_true(sched_idle(t->s));
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_nothing_to_generate),
        cmocka_unit_test(test_prompt_alone),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_ignore_eos),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_chunks_follow),
        cmocka_unit_test(test_credits),
        cmocka_unit_test(test_exact_chunks),
        cmocka_unit_test(test_exact_decodes),
        cmocka_unit_test(test_exact_turns),
        cmocka_unit_test(test_prefill_beside_decode),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_slot_reused_at_once),
        cmocka_unit_test(test_cancel_everywhere),
        cmocka_unit_test(test_cancel_ready),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_queue_at_all),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_background_takes_no_place),
        cmocka_unit_test(test_background_gives_way),
        cmocka_unit_test(test_background_stays),
        cmocka_unit_test(test_keys_take_turns),
        cmocka_unit_test(test_kv_room),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_negative_token),
        cmocka_unit_test(test_sampling_failed),
        cmocka_unit_test(test_fault_frame),
        cmocka_unit_test(test_fault_seq),
        cmocka_unit_test(test_fail_all),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_eval_cancelled),
        cmocka_unit_test(test_eval_faulted),
    };
    return cmocka_run_group_tests_name("pipeline_sched", tests, NULL, NULL);
}
