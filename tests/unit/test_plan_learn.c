/* SPDX-License-Identifier: MIT
 * Learning from running models: bounds, outliers, convergence, the file that keeps it; and the pace of a ring from its requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/learn.h"

static void memory_counts_upward_at_once(void **state) {
    (void)state;
    struct learn *l = learn_create();
    assert_true(learn_get(l, 1, "llama").kv == 1 && learn_most(l, "llama").compute == 1);
    assert_true(learn_memory(l, 1, 1, "llama", 1.0, 1.5));
    assert_true(learn_get(l, 1, "llama").compute == 1.5);
    assert_true(learn_memory(l, 2, 1, "llama", 1.0, 1.1)); /* and downward slowly */
    assert_true(fabs(learn_get(l, 1, "llama").compute - 1.4) < 1e-9);
    learn_memory(l, 3, 2, "llama", 1.2, 0.8);
    assert_true(learn_most(l, "llama").kv == 1.2 && fabs(learn_most(l, "llama").compute - 1.4) < 1e-9);
    assert_true(learn_get(l, 1, "qwen3").compute == 1);
    learn_memory(l, 4, 3, "llama", 100, NAN); /* even if such a number is reported */
    assert_true(learn_get(l, 3, "llama").kv == 2 && learn_get(l, 3, "llama").compute >= 0.5);
    learn_free(l);
}

static void speed_converges_without_outliers(void **state) {
    (void)state;
    struct learn *l = learn_create();
    const double truth = 0.4; /* it is that much slower than its constants say */
    for (int i = 0; i < 12; i++) {
        double predicted = 0.010 / learn_get(l, 1, "llama").speed;
        learn_speed(l, i, 1, "llama", predicted, 0.010 / truth);
        if (i % 3 == 0) assert_false(learn_speed(l, i, 1, "llama", predicted, 10)); /* it was swapping, or stopped */
        if (i % 3 == 1) assert_false(learn_speed(l, i, 1, "llama", predicted, 0));  /* not known */
    }
    assert_true(fabs(learn_get(l, 1, "llama").speed - truth) < 0.01);
    assert_false(learn_speed(l, 1, 2, "llama", 0.0005, 0.002)); /* overheads */
    assert_true(learn_get(l, 2, "llama").speed == 1);
    for (int i = 0; i < 50; i++) learn_speed(l, i, 3, "llama", 0.010, 0.0015);
    assert_true(learn_get(l, 3, "llama").speed == 4); /* bounded */
    learn_free(l);
}

static void it_is_kept(void **state) {
    (void)state;
    struct learn *l = learn_create(), *again = learn_create();
    struct err e = {0};
    struct buf b;
    for (uint64_t i = 0; i < LEARN_MAX + 10; i++) learn_memory(l, (int64_t)i, 1000 + i, "llama", 1.25, 0.75);
    learn_speed(l, 2000, 7, "qwen3", 0.02, 0.04);
    buf_init(&b, 1 << 20);
    learn_write(l, &b);
    assert_int_equal(learn_read(again, buf_cstr(&b), b.len, &e), ERR_OK);
    assert_true(learn_get(again, 7, "qwen3").speed == learn_get(l, 7, "qwen3").speed && learn_get(l, 7, "qwen3").speed < 0.8);
    assert_true(learn_get(again, 1000 + LEARN_MAX, "llama").kv == 1.25);
    assert_true(learn_get(again, 1000, "llama").kv == 1); /* the oldest gave way */
    assert_int_equal(learn_read(again, "{}", 2, &e), ERR_INVALID);
    assert_int_equal(learn_read(again, "{\"learnt\":[{\"node\":\"00000000000000aa\",\"arch\":\"x\",\"speed\":-1}]}", 62, &e), ERR_INVALID);
    buf_done(&b);
    learn_free(l);
    learn_free(again);
}

static struct request_event request_of(uint32_t tokens, double token_s, double first_share) {
    struct request_event ev = {.kind = REQUEST_DONE, .completion_tokens = tokens, .n_hop = 2};
    ev.decode_us = (uint64_t)(token_s * 1e6 * (tokens - 1));
    ev.hops[0] = (struct request_hop){.stage = 0, .frames = tokens, .compute_us = (uint64_t)(first_share * (double)ev.decode_us)};
    ev.hops[1] = (struct request_hop){.stage = 1, .frames = tokens, .compute_us = ev.decode_us - ev.hops[0].compute_us};
    return ev;
}

static void pace_is_the_median(void **state) {
    (void)state;
    struct pace p = {0};
    struct request_event ev = request_of(100, 0.05, 0.6);
    assert_true(learn_pace_add(&p, &ev));
    assert_true(fabs(p.tps - 20) < 0.01 && fabs(p.stage_s[0] - 0.03) < 1e-4 && fabs(p.stage_s[1] - 0.02) < 1e-4);
    ev = request_of(100, 1.0, 0.5); /* a request that was disturbed */
    assert_true(learn_pace_add(&p, &ev));
    ev = request_of(100, 0.05, 0.6);
    assert_true(learn_pace_add(&p, &ev));
    assert_true(fabs(p.tps - 20) < 0.01);
    uint32_t before = p.measured;
    ev = request_of(10, 0.01, 0.5); /* too short */
    assert_false(learn_pace_add(&p, &ev));
    ev = request_of(100, 0.01, 0.5); /* it waited for others */
    ev.hops[1].wait_us = ev.decode_us;
    assert_false(learn_pace_add(&p, &ev));
    ev = request_of(100, 0.01, 0.5); /* with verified guesses: fast, but the time of a stage for one token can't be seen */
    ev.draft_tokens = 50;
    assert_int_equal(p.measured, before);
    for (int i = 0; i < 12; i++) learn_pace_add(&p, &ev);
    assert_true(fabs(p.tps - 100) < 0.1 && p.stage_s[0] == 0);
    assert_true(p.measured < before + 5); /* with full windows only */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_counts_upward_at_once),
        cmocka_unit_test(speed_converges_without_outliers),
        cmocka_unit_test(it_is_kept),
        cmocka_unit_test(pace_is_the_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
