/* SPDX-License-Identifier: MIT
 * gateway/history: which samples are kept, and what longer periods make of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/history.h"

#define BEGIN (HISTORY_LONG_STEP * INT64_C(6000000))

/* A history, and what was kept of it. */
struct bench {
    struct history h;
    int64_t now;
    struct history_now values;
    struct history_row row, coarse;
    size_t rows, coarse_rows;
};

static bool tick(struct bench *b) {
    bool complete, kept = history_add(&b->h, b->now, &b->values, &b->row, &b->coarse, &complete);
    b->rows += kept;
    b->coarse_rows += complete;
    b->now += HISTORY_STEP;
    return kept;
}

static void equal(double a, double b) { assert_true(fabs(a - b) < 1e-9); }

static void test_idle(void **state) {
    struct bench b = {.now = BEGIN};
    (void)state;
    b.values.values[HISTORY_OFFERED] = 1000;
    assert_true(tick(&b)); /* it was started */
    for (size_t i = 0; i < HISTORY_SERIES; i++) assert_true(isnan(b.row.values[i]));
    for (int i = 0; i < 10000; i++) tick(&b);
    assert_int_equal(b.rows, 3); /* the start, what there is, and that nothing goes on */
    b.values.values[HISTORY_OFFERED] = 2000;
    assert_true(tick(&b)); /* another machine */
    equal(b.row.values[HISTORY_OFFERED], 2000);
    tick(&b);
    assert_false(tick(&b));
}

static void test_busy(void **state) {
    struct bench b = {.now = BEGIN};
    (void)state;
    tick(&b);
    for (int i = 0; i < 20; i++) {
        b.values.values[HISTORY_TOKENS] += 50;
        b.values.values[HISTORY_HOPS] += 0.25;
        b.values.frames += 5;
        b.values.values[HISTORY_WAITING] = i == 7 ? 9 : 1;
        assert_true(tick(&b));
        equal(b.row.values[HISTORY_TOKENS], 50.0 / HISTORY_STEP);
        equal(b.row.values[HISTORY_HOPS], 0.05);
    }
    b.values.values[HISTORY_WAITING] = 0;
    assert_true(tick(&b));
    equal(b.row.values[HISTORY_TOKENS], 0);
    assert_true(isnan(b.row.values[HISTORY_HOPS])); /* no frame went */
    assert_false(tick(&b));
}

static void test_long_periods(void **state) {
    struct bench b = {.now = BEGIN};
    struct history_row rest;
    (void)state;
    assert_false(history_rest(&b.h, &rest));
    tick(&b);
    for (int i = 1; i < HISTORY_LONG_STEP / HISTORY_STEP; i++) { /* busy in the first half of the period */
        bool busy = i <= 30;
        b.values.values[HISTORY_TOKENS] += busy ? 100 : 0;
        b.values.values[HISTORY_COMPUTE] += busy ? 1 : 0;
        b.values.frames += busy ? 10 : 0;
        b.values.values[HISTORY_RUNNING] = busy ? i : 0;
        b.values.values[HISTORY_HELD] = 500;
        tick(&b);
    }
    assert_int_equal(b.coarse_rows, 0);
    assert_true(history_rest(&b.h, &rest));
    tick(&b);
    assert_int_equal(b.coarse_rows, 1);
    assert_int_equal(b.coarse.time, BEGIN + HISTORY_LONG_STEP);
    equal(b.coarse.values[HISTORY_TOKENS], 3000.0 / HISTORY_LONG_STEP); /* the idle half counts */
    equal(b.coarse.values[HISTORY_COMPUTE], 0.1);                       /* here it does not */
    equal(b.coarse.values[HISTORY_RUNNING], 30);
    equal(b.coarse.values[HISTORY_HELD], 500);
    assert_true(isnan(b.coarse.values[HISTORY_HOPS]) || fabs(b.coarse.values[HISTORY_HOPS]) < 1e-9);
    for (int i = 0; i < 1000; i++) tick(&b); /* idle: no further row */
    assert_int_equal(b.coarse_rows, 1);
}

static void test_clock_set_back(void **state) {
    struct bench b = {.now = BEGIN};
    (void)state;
    tick(&b);
    b.values.values[HISTORY_TOKENS] = 10;
    assert_true(tick(&b));
    b.now -= 1000;
    b.values.values[HISTORY_TOKENS] = 20;
    assert_false(tick(&b));
    b.now += 1000;
    assert_true(tick(&b));
    equal(b.row.values[HISTORY_TOKENS], 10.0 / (2 * HISTORY_STEP)); /* of all the time since the last sample */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idle), cmocka_unit_test(test_busy), cmocka_unit_test(test_long_periods),
                                       cmocka_unit_test(test_clock_set_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
