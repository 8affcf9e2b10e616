/* SPDX-License-Identifier: MIT
 * Rows of pictures in prompts: how frames carry them, where prompts are cut, and what later prompts take over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/rows.h"
#include "support/sched_table.h"

enum { WIDTH = 2 };

static struct engine_rows *make_rows(uint32_t n, int32_t id, bool together) {
    struct engine_rows *r = engine_rows_create(n, WIDTH);
    for (uint32_t i = 0; i < n; i++) r->ids[i] = id - (int32_t)i;
    r->together = together;
    for (uint32_t i = 0; i < n; i++) r->places[i] = (int32_t)i;
    for (uint32_t i = 0; i < n * WIDTH; i++) r->values[i] = (float)((int32_t)i - 1000 * id);
    return r;
}

/* A prompt of `before` tokens, a picture of n rows, and `after` tokens. Takes the reference to the rows. */
static err_code submit_picture(struct table *t, uint64_t id, uint32_t before, struct engine_rows *rows, uint32_t after, struct err *e) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.n_tokens = before + rows->n + after;
    r.tokens = mem_calloc(r.n_tokens, sizeof(*r.tokens));
    for (uint32_t i = 0; i < r.n_tokens; i++) r.tokens[i] = i >= before && i < before + rows->n ? rows->ids[i - before] : (int32_t)(10 + i);
    r.rows = mem_calloc(1, sizeof(*r.rows));
    r.rows[0] = (struct request_rows){.at = before, .rows = rows};
    r.n_rows = 1;
    r.max_tokens = 4;
    err_code code = sched_submit(t->s, t->now, &r, e);
    request_done(&r);
    return code;
}

static uint32_t rows_in(const struct sent *f) {
    uint32_t n = 0;
    for (size_t i = 0; i < f->n_tokens; i++) n += (f->tokens[i].flags & ENGINE_TOKEN_ROW) != 0;
    return n;
}

/* Answers until nothing is in flight. */
static void finish(struct table *t) {
    while (t->n_answered < t->n_frames) answer(t, 42, 0);
}

static void rows_travel_in_their_places(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    assert_int_equal(submit_picture(t, 1, 2, make_rows(4, -7, false), 3, NULL), ERR_OK);
    pull(t);
    const struct sent *f = &t->frames[0];
    assert_int_equal(f->n_tokens, 8); /* n_batch; the picture may be cut anywhere */
    for (int32_t i = 0; i < 8; i++) {
        bool row = i >= 2 && i < 6;
        assert_int_equal(f->tokens[i].pos, i);
        assert_int_equal(f->tokens[i].flags, row ? ENGINE_TOKEN_ROW : 0);
        assert_int_equal(f->tokens[i].token, row ? i - 2 : 10 + i);
    }
    finish(t);
    table_free(t);
}

static void a_picture_that_must_not_be_cut_is_not(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    for (uint32_t before = 0; before < 8; before++) {
        struct table *t = table_create(&c);
        assert_int_equal(submit_picture(t, 1, before, make_rows(6, -3, true), 5, NULL), ERR_OK);
        pull(t);
        finish(t);
        uint32_t with = 0;
        for (size_t i = 0; i < t->n_frames; i++) {
            uint32_t n = rows_in(&t->frames[i]);
            assert_true(n == 0 || n == 6);
            with += n > 0;
            for (size_t k = 0; k < t->frames[i].n_tokens; k++) {
                bool row = (t->frames[i].tokens[k].flags & ENGINE_TOKEN_ROW) != 0;
                assert_int_equal((t->frames[i].tokens[k].flags & ENGINE_TOKEN_TOGETHER) != 0, row);
            }
        }
        assert_int_equal(with, 1);
        table_free(t);
    }
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    struct table *t = table_create(&c);
    struct err e = {0};
    assert_int_equal(submit_picture(t, 1, 1, make_rows(9, -3, true), 1, &e), ERR_INVALID); /* n_batch is 8 */
    assert_non_null(strstr(e.text, "9 rows"));
    assert_int_equal(submit_picture(t, 1, 1, make_rows(9, -3, false), 1, &e), ERR_OK);
    assert_int_equal(submit_picture(t, 2, 1, make_rows(40, -3, false), 1, &e), ERR_LIMIT); /* the context is 32 */
    struct request r;
    request_init(&r);
    r.id = 3;
    r.n_tokens = 3;
    r.tokens = mem_calloc(3, sizeof(*r.tokens));
    r.tokens[1] = -3; /* stands for rows that are not there */
    assert_int_equal(sched_submit(t->s, t->now, &r, &e), ERR_INVALID);
    request_done(&r);
    table_free(t);
}

static uint32_t cached(const struct table *t, uint64_t id) {
    uint32_t n = 0;
    for (size_t i = 0; i < t->n_events; i++)
        if (t->events[i].id == id && t->events[i].kind == REQUEST_STARTED) n = t->events[i].cached_tokens;
    return n;
}

static void only_whole_pictures_are_taken_over(void **state) {
    (void)state;
    struct sched_config c = small_config(1);
    c.can_remove = c.prefix_cache = true;
    struct table *t = table_create(&c);
    assert_int_equal(submit_picture(t, 1, 4, make_rows(6, -3, false), 5, NULL), ERR_OK);
    pull(t);
    finish(t);
    assert_int_equal(submit_picture(t, 2, 4, make_rows(6, -3, false), 5, NULL), ERR_OK); /* the same */
    pull(t);
    finish(t);
    assert_int_equal(cached(t, 2), 14); /* all but the last token */
    assert_int_equal(submit_picture(t, 3, 4, make_rows(6, -4, false), 5, NULL), ERR_OK); /* another picture */
    pull(t);
    finish(t);
    assert_int_equal(cached(t, 3), 4);
    assert_int_equal(submit_picture(t, 4, 4, make_rows(8, -4, false), 3, NULL),
                     ERR_OK); /* its first six rows are those, and it is none of theirs */
    pull(t);
    finish(t);
    assert_int_equal(cached(t, 4), 4);
    table_free(t);
}

/* Each run of tokens or of rows is computed in batches of its own, so what a prompt takes over ends where its batches would be others. The
 * prompts have 4 tokens, a picture of 8 rows, and `after` tokens; the batches behind the picture are of 8, then of 4, then of fewer. */
static void exact_batches_decide_what_is_taken_over(void **state) {
    (void)state;
    static const struct {
        uint32_t before, after, then_before, then_after, cached;
    } cases[] = {
        {4, 5, 4, 5, 16},  /* the same: all but the last token, which begins the batch of fewer than 4 */
        {4, 5, 4, 7, 17},  /* 4 tokens behind the picture are a batch in both, and the fifth is in one of fewer */
        {4, 5, 4, 9, 12},  /* 8 are one here */
        {4, 0, 4, 4, 12},  /* the first one ends with the picture */
        {4, 12, 4, 9, 20}, /* 8 tokens behind the picture */
        {5, 5, 4, 5, 4},   /* the picture comes later there */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int together = 0; together < 2; together++) {
            struct sched_config c = small_config(1);
            c.can_remove = c.prefix_cache = c.exact = true;
            struct table *t = table_create(&c);
            assert_int_equal(submit_picture(t, 1, cases[i].before, make_rows(8, -3, together), cases[i].after, NULL), ERR_OK);
            pull(t);
            finish(t);
            assert_int_equal(submit_picture(t, 2, cases[i].then_before, make_rows(8, -3, together), cases[i].then_after, NULL), ERR_OK);
            pull(t);
            finish(t);
            if (cached(t, 2) != cases[i].cached) fail_msg("case %zu: %u tokens are taken over", i, cached(t, 2));
            table_free(t);
        }
    }
}

static void runs_and_chunks(void **state) {
    (void)state;
    struct engine_rows *a = make_rows(5, -1, true), *b = make_rows(3, -2, false);
    struct request_rows rows[] = {{.at = 2, .rows = a}, {.at = 7, .rows = b}};
    const struct request q = {.n_tokens = 12, .rows = rows, .n_rows = 2};
    const struct {
        uint32_t pos, start, end;
    } runs[] = {{0, 0, 2}, {1, 0, 2}, {2, 2, 10}, {6, 2, 10}, {7, 2, 10}, {9, 2, 10}, {10, 10, 12}, {11, 10, 12}};
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        uint32_t start;
        assert_int_equal(sched_rows_run(&q, runs[i].pos, &start), runs[i].end);
        assert_int_equal(start, runs[i].start);
    }
    assert_int_equal(sched_rows_chunk(&q, 0, 4, 8), 2);  /* before the picture */
    assert_int_equal(sched_rows_chunk(&q, 0, 7, 8), 7);  /* all of it */
    assert_int_equal(sched_rows_chunk(&q, 2, 1, 8), 5);  /* more than the room, as it can't be cut */
    assert_int_equal(sched_rows_chunk(&q, 2, 1, 4), 0);  /* it waits for a frame of its own */
    assert_int_equal(sched_rows_chunk(&q, 7, 2, 8), 2);  /* this one may be cut */
    assert_int_equal(sched_rows_shared(&q, 1), 1);
    assert_int_equal(sched_rows_shared(&q, 4), 2);
    assert_int_equal(sched_rows_shared(&q, 7), 7);
    assert_int_equal(sched_rows_shared(&q, 9), 7);
    assert_int_equal(sched_rows_shared(&q, 11), 11);
    engine_rows_release(a);
    engine_rows_release(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_travel_in_their_places),
        cmocka_unit_test(a_picture_that_must_not_be_cut_is_not),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(only_whole_pictures_are_taken_over),
        cmocka_unit_test(exact_batches_decide_what_is_taken_over),
        cmocka_unit_test(runs_and_chunks),
    };
    return cmocka_run_group_tests_name("sched rows", tests, NULL, NULL);
}
