/* SPDX-License-Identifier: MIT
 * Tokens of finished requests that the scheduler keeps, and requests that take them over. The test plays the ring by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sched_table.h"

static struct sched_config prefix_config(uint32_t n_stage, uint32_t n_seq) {
    return (struct sched_config){.n_stage = n_stage,
                                 .n_seq = n_seq,
                                 .n_ctx_seq = 200,
                                 .n_ctx = 200 * n_seq,
                                 .n_batch = 64,
                                 .n_vocab = VOCAB,
                                 .n_queue = 8,
                                 .can_remove = true,
                                 .prefix_cache = true};
}

static uint64_t submit_variant; /* of the requests that are submitted from now on */

/* A prompt of n tokens, of which the first `same` are the same in every such prompt. */
static void submit_like(struct table *t, uint64_t id, size_t n, size_t same, int32_t max_tokens) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.n_tokens = n;
    r.tokens = mem_calloc(n, sizeof(*r.tokens));
    for (size_t i = 0; i < n; i++) r.tokens[i] = (int32_t)(i < same ? i % 50 : 50 + id);
    r.max_tokens = max_tokens;
    r.variant = submit_variant;
    struct err e;
    if (sched_submit(t->s, t->now, &r, &e) != ERR_OK) fail_msg("%s", e.text);
    request_done(&r);
}

/* Submits it and answers everything until it is done. */
static const struct request_event *run_like(struct table *t, uint64_t id, size_t n, size_t same, int32_t max_tokens) {
    submit_like(t, id, n, same, max_tokens);
    pull(t);
    answer_all(t);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    return last_event(t);
}

static void assert_op(const struct engine_op *op, int kind, uint32_t seq, uint32_t dst, int32_t p0, int32_t p1) {
    assert_int_equal(op->kind, kind);
    assert_true(op->seq == seq && op->dst == dst && op->p0 == p0 && op->p1 == p1);
}

/* Sequences that were computed with other adapters are of no use to a request. */
static void test_prefix_of_a_variant(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 3);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 30, 5);
    submit_variant = 5;
    assert_int_equal(run_like(t, 2, 40, 30, 5)->cached_tokens, 0);
    assert_int_equal(run_like(t, 3, 40, 30, 5)->cached_tokens, 30);
    submit_variant = 6;
    assert_int_equal(run_like(t, 4, 40, 30, 5)->cached_tokens, 0);
    submit_variant = 0;
    submit_like(t, 5, 150, 30, 5); /* its prompt is being computed: one of another variant doesn't wait for it */
    pull(t);
    submit_variant = 7;
    submit_like(t, 6, 150, 30, 5);
    submit_variant = 0;
    pull(t);
    answer_all(t);
    assert_int_equal(last_event(t)->kind, REQUEST_DONE);
    assert_int_equal(last_event(t)->id, 6);
    assert_int_equal(last_event(t)->cached_tokens, 0);
    table_free(t);
}

static void test_prefix_goes_on(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 1);
    struct table *t = table_create(&c);
    assert_int_equal(run_like(t, 1, 40, 30, 5)->cached_tokens, 0);
    assert_true(sched_idle(t->s));
    assert_int_equal(sched_slot_held(t->s, 0), 44); /* the last token was never sent */
    submit_like(t, 2, 40, 30, 5);
    pull(t);
    const struct sent *f = last_frame(t);
    assert_int_equal(f->n_ops, 1);
    assert_op(&f->ops[0], ENGINE_OP_RM, 0, 0, 30, -1);
    assert_int_equal(f->n_tokens, 10);
    assert_int_equal(f->tokens[0].pos, 30);
    assert_int_equal(f->tokens[0].token, 52);
    answer_all(t);
    assert_int_equal(last_event(t)->cached_tokens, 30);
    assert_int_equal(last_event(t)->prompt_tokens, 40);
    table_free(t);
}

/* The very same prompt: its last token must be computed all the same. */
static void test_prefix_whole(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 1);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 40, 1);
    assert_int_equal(run_like(t, 2, 40, 40, 1)->cached_tokens, 39);
    assert_int_equal(last_frame(t)->n_tokens, 1);
    struct sched_counts n;
    sched_count(t->s, &n);
    assert_int_equal(n.reused, 39);
    assert_int_equal(n.slots_kept, 1);
    assert_int_equal(n.kv_kept, 40);
    table_free(t);
}

/* With a free slot both stay: the old sequence, and a copy of the common part. */
static void test_prefix_copied(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 2);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 30, 5);
    submit_like(t, 2, 40, 30, 5);
    pull(t);
    assert_int_equal(last_frame(t)->n_ops, 2);
    assert_op(&last_frame(t)->ops[0], ENGINE_OP_CP, 0, 1, 0, 30);
    assert_op(&last_frame(t)->ops[1], ENGINE_OP_PARK, 0, 0, 0, -1);
    assert_int_equal(last_frame(t)->tokens[0].seq, 1);
    answer_all(t);
    assert_int_equal(sched_slot_held(t->s, 0), 44);
    assert_int_equal(sched_slot_held(t->s, 1), 44);
    assert_int_equal(run_like(t, 2, 40, 30, 1)->cached_tokens, 39); /* the second has its own tokens there, too */
    table_free(t);
}

/* A running sequence is copied as far as its tokens have been sent; the request waits for the rest. */
static void test_prefix_of_running(void **state) {
    (void)state;
    struct sched_config c = prefix_config(2, 4);
    c.n_credit = 1;
    struct table *t = table_create(&c);
    submit_like(t, 1, 150, 100, 20);
    pull(t);
    submit_like(t, 2, 110, 100, 20);
    submit_like(t, 3, 20, 0, 20);
    size_t events = t->n_events;
    answer(t, 50, 0); /* 64 of 150 are sent, then 128 of 150: now the other one's 100 are among them */
    for (size_t i = 1; i < t->n_frames; i++) {
        for (size_t k = 0; k < t->frames[i].n_tokens; k++) {
            const struct engine_token *token = &t->frames[i].tokens[k];
            assert_true(token->seq != 1 || token->pos >= 100);
        }
    }
    while (t->n_answered < 4) answer(t, 50, 0);
    size_t copies = 0;
    for (size_t i = 1; i < t->n_frames; i++) {
        for (size_t k = 0; k < t->frames[i].n_ops; k++) {
            assert_op(&t->frames[i].ops[k], ENGINE_OP_CP, 0, 1, 0, 100);
            copies++;
        }
    }
    assert_int_equal(copies, 1);
    bool started = false;
    for (size_t i = events; i < t->n_events; i++) {
        if (t->events[i].kind == REQUEST_STARTED && t->events[i].id == 2) {
            started = true;
            assert_int_equal(t->events[i].cached_tokens, 100);
        }
    }
    assert_true(started);
    table_free(t);
}

/* The request that another one waits for is cancelled: its computed part is taken over, and the rest computed. */
static void test_prefix_leader_gone(void **state) {
    (void)state;
    struct sched_config c = prefix_config(2, 2);
    c.n_credit = 1;
    struct table *t = table_create(&c);
    submit_like(t, 1, 150, 100, 20);
    pull(t);
    submit_like(t, 2, 110, 100, 20);
    pull(t);
    sched_cancel(t->s, t->now, 1);
    pull(t);
    answer(t, 50, 0);
    assert_op(&last_frame(t)->ops[0], ENGINE_OP_CP, 0, 1, 0, 64);
    assert_int_equal(last_frame(t)->tokens[0].pos, 64);
    answer_all(t);
    assert_int_equal(last_event(t)->cached_tokens, 64);
    table_free(t);
}

static void test_prefix_least_recent_goes(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 2);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 0, 1);
    run_like(t, 2, 40, 0, 1);
    assert_int_equal(run_like(t, 1, 40, 0, 1)->cached_tokens, 39); /* used again */
    run_like(t, 3, 40, 0, 1);                                      /* in the place of 2 */
    assert_int_equal(run_like(t, 1, 40, 0, 1)->cached_tokens, 39);
    assert_int_equal(run_like(t, 2, 40, 0, 1)->cached_tokens, 0);
    table_free(t);
}

/* Cells are given up when a running request needs them, and only then. */
static void test_prefix_cells(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 3);
    c.n_ctx = 220;
    struct table *t = table_create(&c);
    run_like(t, 1, 80, 0, 1);
    run_like(t, 2, 80, 0, 1);
    struct sched_counts n;
    sched_count(t->s, &n);
    assert_int_equal(n.kv_kept, 160);
    run_like(t, 3, 70, 0, 10); /* 79 in the end: the oldest has to go */
    sched_count(t->s, &n);
    assert_int_equal(n.kv_kept, 159);
    assert_int_equal(sched_slot_held(t->s, 0), 0);
    assert_int_equal(sched_slot_held(t->s, 1), 80);
    submit_like(t, 4, 190, 0, 10);  /* room for this one alone */
    submit_like(t, 5, 20, 0, 20);   /* waits for it */
    pull(t);
    sched_count(t->s, &n);
    assert_int_equal(n.kv_kept, 0);
    assert_int_equal(n.queued, 1);
    answer_all(t);
    assert_int_equal(last_event(t)->id, 5);
    table_free(t);
}

/* Recurrent models: all of the kept sequence, or nothing. */
static void test_prefix_state(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 1);
    c.can_remove = false;
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 40, 1);
    assert_int_equal(run_like(t, 2, 60, 60, 1)->cached_tokens, 40);
    assert_int_equal(t->frames[t->n_frames - 1].n_ops, 0);
    assert_int_equal(run_like(t, 3, 50, 50, 1)->cached_tokens, 0);
    table_free(t);
}

/* Exact mode: takes over only tokens that this prompt would compute in the same class of batches: of 38 + 5 tokens, 32 were in multiples of
 * eight. */
static void test_prefix_exact(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 1);
    c.exact = true;
    struct table *t = table_create(&c);
    run_like(t, 1, 38, 38, 5);
    assert_int_equal(run_like(t, 2, 60, 60, 5)->cached_tokens, 32);
    assert_int_equal(run_like(t, 3, 60, 31, 5)->cached_tokens, 24);
    assert_int_equal(run_like(t, 3, 61, 31, 5)->cached_tokens, 60); /* 56 in eights, 4, one alone */
    table_free(t);
}

static void test_prefix_faulted(void **state) {
    (void)state;
    struct sched_config c = prefix_config(2, 2);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 40, 1);
    submit_like(t, 2, 150, 40, 5);
    pull(t);
    sched_cancel(t->s, t->now, 2); /* kept, while its frames are on their way */
    submit_like(t, 2, 150, 40, 5);
    pull(t);
    struct err why;
    err_set(&why, ERR_ENGINE, "it broke");
    size_t first = t->n_answered;
    sched_fault_frame(t->s, t->now, t->frames[first].number, &why);
    pull(t);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED); /* it had taken over positions that the failed frame should have computed */
    struct sched_counts n;
    sched_count(t->s, &n);
    assert_int_equal(n.slots_kept, 0);
    answer_all(t);
    assert_true(sched_idle(t->s));
    assert_int_equal(sched_slot_held(t->s, 0) + sched_slot_held(t->s, 1), 0);
    table_free(t);
}

static void test_prefix_eval(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 2);
    struct table *t = table_create(&c);
    run_like(t, 1, 40, 40, 1);
    assert_int_equal(submit_eval(t, 8, 5, 2, NULL), ERR_OK);
    pull(t);
    assert_op(&last_frame(t)->ops[0], ENGINE_OP_RM, 0, 0, 0, -1); /* nothing else is in the stages */
    assert_int_equal(last_frame(t)->tokens[0].pos, 0);
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

/* Kept sequences are parked when other requests come, least recently used first, as long as that is quick. */
static void test_prefix_parked(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 3);
    c.n_ctx_seq = 3000;
    c.n_ctx = 9000;
    struct table *t = table_create(&c);
    run_like(t, 1, 2500, 0, 1);
    run_like(t, 2, 2400, 0, 1);
    assert_op(&t->frames[t->n_frames - 38].ops[0], ENGINE_OP_PARK, 0, 0, 0, -1);
    run_like(t, 3, 100, 0, 1);
    assert_op(&t->frames[t->n_frames - 2].ops[0], ENGINE_OP_PARK, 1, 0, 0, -1);
    run_like(t, 1, 2501, 0, 3); /* a parked one goes on */
    assert_int_equal(last_event(t)->cached_tokens, 2500);
    assert_op(&t->frames[t->n_frames - 3].ops[0], ENGINE_OP_PARK, 2, 0, 0, -1);
    assert_int_equal(last_frame(t)->n_ops, 0); /* all are */
    struct sched_counts n;
    sched_count(t->s, &n);
    assert_int_equal(n.kv_kept, 2503 + 2400 + 100);
    table_free(t);
}

/* Sequences that end while others decode are parked with the decode tokens, one a frame. */
static void test_prefix_parked_on_the_way(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 4);
    struct table *t = table_create(&c);
    submit_like(t, 1, 10, 0, 100);
    pull(t);
    submit_like(t, 2, 40, 0, 3);
    submit_like(t, 3, 50, 0, 3);
    answer_all(t);
    uint32_t parked = 0;
    for (size_t i = 0; i < t->n_frames; i++) {
        uint32_t now = 0;
        for (size_t k = 0; k < t->frames[i].n_ops; k++) now += t->frames[i].ops[k].kind == ENGINE_OP_PARK;
        assert_true(now <= 1);
        parked += now;
    }
    assert_int_equal(parked, 2);
    table_free(t);
}

/* Of two sequences with the same tokens, the one that isn't parked is copied: the copy shares its cells. */
static void test_prefix_parked_last(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 4);
    struct table *t = table_create(&c);
    run_like(t, 1, 180, 100, 1);
    run_like(t, 2, 150, 0, 1);
    submit_like(t, 3, 150, 100, 40); /* parks the second, the first has been */
    pull(t);
    assert_op(&last_frame(t)->ops[0], ENGINE_OP_CP, 0, 2, 0, 100);
    assert_op(&last_frame(t)->ops[1], ENGINE_OP_PARK, 1, 0, 0, -1);
    submit_like(t, 4, 140, 100, 1);
    answer(t, 7, 0);
    assert_op(&last_frame(t)->ops[0], ENGINE_OP_CP, 2, 3, 0, 100);
    answer_all(t);
    table_free(t);
}

/* ---- stores ---- */

/* Runs a prompt of which all tokens but the last are number `id`'s; returns how many were taken over. */
static uint32_t run_beginning(struct table *t, uint64_t id, size_t n) { return run_like(t, id, n, 0, 1)->cached_tokens; }

static const struct engine_op *find_op(const struct table *t, int kind) {
    for (size_t i = t->n_frames; i-- > 0;)
        for (size_t k = 0; k < t->frames[i].n_ops; k++)
            if (t->frames[i].ops[k].kind == kind) return &t->frames[i].ops[k];
    return NULL;
}

/* There are more beginnings than slots: what a slot gives up comes back from the stores, and nothing is stored without need. */
static void test_prefix_more_than_slots(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 2);
    c.store_least = 20;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 6; id++) assert_int_equal(run_beginning(t, id, 100), 0);
    const struct engine_op *saved = find_op(t, ENGINE_OP_SAVE);
    assert_true(saved != NULL && saved->p0 == 100 && saved->p1 == 0); /* the sequence is given up */
    assert_true(sched_idle(t->s));                                    /* nothing is saved for its own sake */
    for (uint64_t id = 1; id <= 6; id++) assert_int_equal(run_beginning(t, id, 99), 98);
    const struct engine_op *loaded = find_op(t, ENGINE_OP_LOAD);
    assert_true(loaded != NULL && loaded->p0 == 100);
    table_free(t);
}

/* Of many sequences that begin alike one is stored; a long one that is used for a short beginning is not lost. */
static void test_prefix_stored_once(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 1);
    c.store_least = 20;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 5; id++) run_like(t, id, 110, 100, 1); /* ten tokens of each are its own */
    assert_null(find_op(t, ENGINE_OP_SAVE));
    run_like(t, 6, 160, 50, 1); /* 50 of the 110 tokens in the only slot */
    const struct engine_op *saved = find_op(t, ENGINE_OP_SAVE);
    assert_true(saved != NULL && saved->p0 == 110 && saved->p1 == -1);
    assert_int_equal(run_like(t, 5, 110, 100, 1)->cached_tokens, 109);
    assert_int_equal(run_like(t, 6, 160, 50, 1)->cached_tokens, 159);
    table_free(t);
}

/* What is loaded gets the cells of a sequence that is given up. The next request gets that sequence's slot, with the same frame: the slot
 * is not closed, since the tail has been told of that request already. */
static void test_prefix_loaded_beside_another(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 3);
    c.store_least = 20;
    c.n_ctx = 300;
    struct table *t = table_create(&c);
    for (uint64_t id = 1; id <= 3; id++) run_beginning(t, id, 100);
    size_t n_opens = t->n_opens, n_frames = t->n_frames;
    submit_like(t, 1, 100, 0, 1);
    submit_like(t, 4, 10, 0, 1);
    pull(t);
    assert_int_equal(t->n_opens, n_opens + 2);
    bool emptied = false, loaded = false;
    for (size_t i = 0; i < t->frames[n_frames].n_ops; i++) {
        const struct engine_op *op = &t->frames[n_frames].ops[i];
        loaded |= op->kind == ENGINE_OP_LOAD;
        emptied |= op->kind == ENGINE_OP_RM && op->seq == t->opens[n_opens + 1] && op->p0 == 0 && !loaded;
        assert_false(op->kind == ENGINE_OP_CLOSE && op->seq == t->opens[n_opens + 1]);
    }
    assert_true(emptied && loaded);
    answer_all(t);
    table_free(t);
}

/* A stage had no room for it: the others need not have it either, and it is computed. */
static void test_prefix_stored_and_lost(void **state) {
    (void)state;
    struct sched_config c = prefix_config(2, 1);
    c.store_least = 20;
    struct table *t = table_create(&c);
    run_beginning(t, 1, 100);
    run_beginning(t, 2, 100);
    uint64_t key = find_op(t, ENGINE_OP_SAVE)->key;
    sched_lost(t->s, t->now, key);
    pull(t);
    answer_all(t);
    const struct engine_op *erased = find_op(t, ENGINE_OP_ERASE);
    assert_true(erased != NULL && erased->key == key);
    assert_int_equal(run_beginning(t, 1, 100), 0);
    assert_null(find_op(t, ENGINE_OP_LOAD));
    table_free(t);
}

static uint32_t count_ops(const struct table *t, int kind) {
    uint32_t n = 0;
    for (size_t i = 0; i < t->n_frames; i++)
        for (size_t k = 0; k < t->frames[i].n_ops; k++) n += t->frames[i].ops[k].kind == kind;
    return n;
}

/* Three requests with one beginning run together, beside a kept sequence; then another one needs a slot. While there is memory, the least
 * recently used sequence is stored. Once a stage has lost a sequence for want of memory, the copies of the beginning go first, all but
 * one. */
static void test_prefix_copies_go_first(void **state) {
    (void)state;
    for (int lost = 0; lost <= 1; lost++) {
        struct sched_config c = prefix_config(1, 4);
        c.store_least = 20;
        struct table *t = table_create(&c);
        for (uint64_t id = 1; id <= 5; id++) run_beginning(t, id, 100);
        for (uint64_t id = 6; id <= 8; id++) submit_like(t, id, 110, 100, 1);
        pull(t);
        answer_all(t);
        if (lost) sched_lost(t->s, t->now, find_op(t, ENGINE_OP_SAVE)->key);
        uint32_t saved = count_ops(t, ENGINE_OP_SAVE);
        run_beginning(t, 9, 100);
        struct sched_counts n;
        sched_count(t->s, &n);
        assert_int_equal(n.slots_kept, lost ? 3 : 4);
        assert_int_equal(count_ops(t, ENGINE_OP_SAVE) - saved, lost ? 0 : 1);
        assert_int_equal(run_like(t, 10, 110, 100, 1)->cached_tokens, 100);
        assert_int_equal(run_beginning(t, 5, 99), 98);
        assert_int_equal(count_ops(t, ENGINE_OP_LOAD), lost ? 0 : 1);
        table_free(t);
    }
}

/* Requests that need no room. */
static void run_quiet(struct table *t, int n) {
    for (int i = 0; i < n; i++) {
        t->n_events = t->n_opens = t->n_frames = t->n_answered = 0;
        run_beginning(t, 5, 100);
    }
}

/* Two sequences with one beginning, then one that needs room: is another one stored, or does one of the two go? */
static bool has_room(struct table *t, uint64_t id) {
    for (uint64_t i = 0; i < 2; i++) submit_like(t, id + i, 110, 100, 1);
    pull(t);
    answer_all(t);
    run_quiet(t, 1);
    uint32_t saved = count_ops(t, ENGINE_OP_SAVE);
    run_beginning(t, id + 2, 100);
    return count_ops(t, ENGINE_OP_SAVE) > saved;
}

/* A stage has lost a sequence, and many requests later it may have memory again. If it hasn't, the next try comes after twice as many. */
static void test_prefix_stored_again(void **state) {
    (void)state;
    struct sched_config c = prefix_config(1, 4);
    c.store_least = 20;
    struct table *t = table_create(&c);
    uint64_t id = 5;
    for (uint64_t i = 1; i <= 5; i++) run_beginning(t, i, 100);
    sched_lost(t->s, t->now, find_op(t, ENGINE_OP_SAVE)->key);
    assert_false(has_room(t, id += 3));
    run_quiet(t, 400);
    assert_false(has_room(t, id += 3));
    run_quiet(t, 200);
    assert_true(has_room(t, id += 3));
    sched_lost(t->s, t->now, find_op(t, ENGINE_OP_SAVE)->key);
    run_quiet(t, 900);
    assert_false(has_room(t, id += 3));
    run_quiet(t, 200);
    assert_true(has_room(t, id += 3));
    run_quiet(t, 1100); /* nothing was lost for long: the next loss is a new matter */
    assert_true(has_room(t, id += 3));
    sched_lost(t->s, t->now, find_op(t, ENGINE_OP_SAVE)->key);
    assert_false(has_room(t, id += 3));
    run_quiet(t, 600);
    assert_true(has_room(t, id += 3));
    table_free(t);
}

/* Nothing is kept of a frame that a stage could not compute: nor what was stored after it was sent. */
static void test_prefix_stored_and_faulted(void **state) {
    (void)state;
    struct sched_config c = prefix_config(2, 1);
    c.store_least = 20;
    struct table *t = table_create(&c);
    submit_like(t, 1, 60, 0, 1);
    pull(t);
    sched_cancel(t->s, t->now, 1); /* its tokens are in flight */
    submit_like(t, 2, 60, 0, 1);
    pull(t);
    assert_non_null(find_op(t, ENGINE_OP_SAVE));
    struct err why;
    err_set(&why, ERR_ENGINE, "no");
    sched_fault_frame(t->s, t->now, t->frames[0].number, &why);
    answer_all(t);
    assert_int_equal(run_beginning(t, 1, 60), 0);
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix_more_than_slots),
        cmocka_unit_test(test_prefix_stored_once),
        cmocka_unit_test(test_prefix_loaded_beside_another),
        cmocka_unit_test(test_prefix_stored_and_lost),
        cmocka_unit_test(test_prefix_stored_again),
        cmocka_unit_test(test_prefix_stored_and_faulted),
        cmocka_unit_test(test_prefix_copies_go_first),
        cmocka_unit_test(test_prefix_of_a_variant),
        cmocka_unit_test(test_prefix_goes_on),
        cmocka_unit_test(test_prefix_whole),
        cmocka_unit_test(test_prefix_copied),
        cmocka_unit_test(test_prefix_of_running),
        cmocka_unit_test(test_prefix_leader_gone),
        cmocka_unit_test(test_prefix_least_recent_goes),
        cmocka_unit_test(test_prefix_cells),
        cmocka_unit_test(test_prefix_state),
        cmocka_unit_test(test_prefix_exact),
        cmocka_unit_test(test_prefix_parked),
        cmocka_unit_test(test_prefix_parked_on_the_way),
        cmocka_unit_test(test_prefix_parked_last),
        cmocka_unit_test(test_prefix_faulted),
        cmocka_unit_test(test_prefix_eval),
    };
    return cmocka_run_group_tests_name("pipeline_prefix", tests, NULL, NULL);
}
