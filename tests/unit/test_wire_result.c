/* SPDX-License-Identifier: MIT
 * The TOKENS payload's results: round trips of every kind, and results that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/result.h"

static struct result sampled(uint32_t n_top) {
    struct result r = {.seq = 3, .index = 511, .pos = 70000, .flags = RESULT_SAMPLED};
    r.sample = (struct engine_sample){.token = 128000, .logprob = -1.25f, .end = true, .n_top = (uint8_t)n_top};
    for (uint32_t i = 0; i < n_top; i++) {
        r.sample.top[i].token = (int32_t)(i * 1000);
        r.sample.top[i].logprob = -(float)i;
    }
    return r;
}

static void there_and_back(const struct result *r, struct result *ret, struct buf *b) {
    buf_clear(b);
    result_put(r, b);
    assert_false(b->failed);
    struct bytes_reader in;
    bytes_reader_init(&in, b->data, b->len);
    struct err e = {0};
    if (result_get(&in, ret, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_int_equal(bytes_left(&in), 0);
    assert_int_equal(ret->seq, r->seq);
    assert_int_equal(ret->index, r->index);
    assert_int_equal(ret->pos, r->pos);
    assert_int_equal(ret->flags, r->flags);
}

static void test_sampled(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 16);
    for (uint32_t n = 0; n <= ENGINE_MAX_TOP_LOGPROBS; n++) {
        struct result r = sampled(n), got;
        there_and_back(&r, &got, &b);
        assert_int_equal(b.len, FIELD_SIZE(result) + FIELD_SIZE(engine_top) * n);
        assert_int_equal(got.sample.token, 128000);
        assert_true(got.sample.logprob == -1.25f);
        assert_true(got.sample.end);
        assert_int_equal(got.sample.n_top, n);
        assert_memory_equal(got.sample.top, r.sample.top, n * sizeof(r.sample.top[0]));
    }
    buf_done(&b);
}

static void test_layout(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 16);
    struct result r = sampled(1);
    r.sample.top[0].token = 5;
    r.guess_us = 0x0102;
    r.n_guess = 2;
    r.guesses[0].token = 6;
    r.guesses[1].token = 0x0809;
    result_put(&r, &b);
    static const uint8_t want[] = {3, 0,    255, 1, 0x70, 0x11, 1,    0,                      /* seq, index, pos */
                                   1,                                                   /* flags */
                                   0, 0xF4, 1,   0, 0,    0,    0xA0, 0xBF, 1, 1,               /* sample: token, logprob, end, n_top */
                                   0, 0,    0,   0, 0,    0,    0,    0,    0, 0,               /* score: the same */
                                   0, 0,    0,   0, 0,    0,                                    /* text_len, n_logits */
                                   2, 1,    0,   0, 2,                                          /* guess_us, n_guess */
                                   5, 0,    0,   0, 0,    0,    0,    0x80,                           /* top[0] */
                                   6, 0,    0,   0, 9,    8,    0,    0};                             /* guesses */
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));
    buf_done(&b);
}

static void test_failed_and_logits(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 16);
    struct result r = {.seq = 1, .flags = RESULT_FAILED, .text = "no token is left", .text_len = 16}, got;
    there_and_back(&r, &got, &b);
    assert_int_equal(got.text_len, 16);
    assert_memory_equal(got.text, "no token is left", 16);
    static const uint8_t rows[12] = {0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64};
    r = (struct result){.seq = 1, .flags = RESULT_LOGITS, .logits = rows, .n_logits = 3};
    there_and_back(&r, &got, &b);
    assert_int_equal(got.n_logits, 3);
    assert_memory_equal(got.logits, rows, sizeof(rows));
    buf_done(&b);
}

static void test_scored(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 16);
    struct result r = sampled(2), got;
    r.flags |= RESULT_SCORED;
    r.score = (struct engine_sample){.token = 7, .logprob = -3.5f, .n_top = 1, .top = {{9, -0.25f}}};
    there_and_back(&r, &got, &b);
    assert_int_equal(got.score.token, 7);
    assert_true(got.score.logprob == -3.5f && got.score.top[0].token == 9 && got.score.top[0].logprob == -0.25f);
    assert_int_equal(got.sample.top[1].token, 1000);
    r.flags = RESULT_SCORED;
    there_and_back(&r, &got, &b);
    assert_int_equal(got.score.top[0].token, 9);
    assert_int_equal(got.sample.token, 0);
    buf_done(&b);
}

/* Every cut of a valid result is refused. */
static void test_cut_short(void **state) {
    (void)state;
    static const uint8_t rows[8] = {0};
    struct result r = sampled(3);
    r.flags |= RESULT_LOGITS | RESULT_SCORED;
    r.score = r.sample;
    r.logits = rows;
    r.n_logits = 2;
    struct buf b;
    buf_init(&b, 1 << 16);
    result_put(&r, &b);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a byte too many */
        memcpy(exact, b.data, len);
        struct bytes_reader in;
        bytes_reader_init(&in, exact, len);
        struct result got = {.seq = 77};
        assert_int_equal(result_get(&in, &got, NULL), ERR_PROTOCOL);
        assert_int_equal(got.seq, 77); /* untouched */
        free(exact);
    }
    buf_done(&b);
}

static void refuse(size_t at, uint8_t value) {
    struct result r = sampled(0);
    r.flags = RESULT_SAMPLED;
    struct buf b;
    buf_init(&b, 1 << 16);
    result_put(&r, &b);
    uint8_t zeros[4096] = {0};
    buf_append(&b, zeros, sizeof(zeros)); /* it isn't for want of bytes */
    b.data[at] = value;
    struct bytes_reader in;
    bytes_reader_init(&in, b.data, b.len);
    struct result got;
    if (result_get(&in, &got, NULL) != ERR_PROTOCOL) fail_msg("byte %zu = %u was taken", at, value);
    buf_done(&b);
}

static void test_refused(void **state) {
    (void)state;
    refuse(8, 32);                               /* an unknown flag */
    refuse(8, RESULT_SAMPLED | RESULT_FAILED);
    refuse(17, 2);                               /* neither the end nor not */
    refuse(18, ENGINE_MAX_TOP_LOGPROBS + 1);
    refuse(28, 1);                               /* a score without its flag */
    refuse(29, 1);                               /* text without its flag */
    refuse(31, 1);                               /* logits without their flag */
    uint8_t end_of_nothing[FIELD_SIZE(result)] = {[17] = 1};
    uint8_t long_text[FIELD_SIZE(result) + RESULT_MAX_TEXT + 1] = {[8] = RESULT_FAILED};
    bytes_put_u16(long_text + 29, RESULT_MAX_TEXT + 1);
    struct bytes_reader in;
    bytes_reader_init(&in, long_text, sizeof(long_text));
    assert_int_equal(result_get(&in, &(struct result){0}, NULL), ERR_PROTOCOL);
    bytes_reader_init(&in, end_of_nothing, sizeof(end_of_nothing));
    assert_int_equal(result_get(&in, &(struct result){0}, NULL), ERR_PROTOCOL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampled),           cmocka_unit_test(test_scored),    cmocka_unit_test(test_layout),
        cmocka_unit_test(test_failed_and_logits), cmocka_unit_test(test_cut_short), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("pipeline_result", tests, NULL, NULL);
}
