/* SPDX-License-Identifier: MIT
 * The scheduler's policy from measured times: groups, pieces of prompts, frames in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/policy.h"

static struct sched_time measured; /* too large for a stack */

/* Every stage takes base + n * token, each link hop. */
static void see(enum sched_time_kind kind, uint32_t n_stage, uint32_t n, uint32_t us, uint32_t hop_us) {
    struct wire_trace traces[SCHED_TIME_STAGES] = {0};
    for (uint32_t i = 0; i < n_stage; i++)
        traces[i] = (struct wire_trace){.stage = (uint16_t)i, .hop_us = i > 0 ? hop_us : 0, .compute_us = us};
    sched_time_learn(&measured, kind, n, traces, hop_us);
}

static struct sched_load load_of(uint32_t n_stage, uint32_t n_decoding) {
    sched_time_init(&measured, n_stage);
    return (struct sched_load){.n_stage = n_stage,
                               .n_batch = 512,
                               .n_credit = sched_policy_credit(n_stage),
                               .n_decoding = n_decoding,
                               .latency_us = 200000,
                               .time = &measured};
}

/* ---- times ---- */

static void test_times(void **state) {
    (void)state;
    sched_time_init(&measured, 2);
    float trip;
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 4, &trip) == 0 && trip == 0);
    see(SCHED_TIME_DECODE, 2, 4, 1000, 50);
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 4, &trip) == 1000);
    assert_true(trip == 2100);
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 2, NULL) == 750);  /* half of it is thought to be fixed */
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 8, NULL) == 1500);
    see(SCHED_TIME_DECODE, 2, 1, 900, 50);
    float three = sched_time_frame(&measured, SCHED_TIME_DECODE, 3, NULL);
    assert_true(three > 960 && three < 970); /* between the two */
    float eight = sched_time_frame(&measured, SCHED_TIME_DECODE, 8, NULL);
    assert_true(eight > 1130 && eight < 1140); /* and beyond, along their line */
    assert_true(sched_time_cycle(&measured, SCHED_TIME_DECODE, 1, 1) == 1900);
    assert_true(sched_time_cycle(&measured, SCHED_TIME_DECODE, 1, 3) == 2700); /* the slowest stage has three to do */
    see(SCHED_TIME_DECODE, 2, 4, 1000000, 50); /* another process had the core */
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 4, NULL) <= 1130);
    assert_true(sched_time_frame(&measured, SCHED_TIME_DECODE, 1, NULL) <= 1020); /* and would have had it for other frames, too */
    assert_false(sched_time_known(&measured, SCHED_TIME_PROMPT));
}

/* ---- groups ---- */

static void test_groups_unmeasured(void **state) {
    (void)state;
    struct sched_load load = load_of(4, 10);
    assert_int_equal(sched_policy_groups(&load), 4);
    load.n_decoding = 3;
    assert_int_equal(sched_policy_groups(&load), 3);
    load = load_of(1, 10);
    assert_int_equal(sched_policy_groups(&load), 1);
}

/* A token costs as much beside others as alone: as many groups as there are stages. */
static void test_groups_compute_bound(void **state) {
    (void)state;
    struct sched_load load = load_of(2, 8);
    for (uint32_t n = 1; n <= 8; n *= 2) see(SCHED_TIME_DECODE, 2, n, 1000 * n, 20);
    load.groups = 1;
    assert_int_equal(sched_policy_groups(&load), 2);
    load.groups = 2;
    assert_int_equal(sched_policy_groups(&load), 2);
}

/* Beside others a token costs nothing: more groups would only read the weights more often. */
static void test_groups_memory_bound(void **state) {
    (void)state;
    struct sched_load load = load_of(2, 8);
    for (uint32_t n = 1; n <= 8; n *= 2) see(SCHED_TIME_DECODE, 2, n, 5000, 20);
    load.groups = 6;
    assert_true(sched_policy_groups(&load) <= 2);
    load.groups = 2; /* no worse than one: it stays */
    assert_int_equal(sched_policy_groups(&load), 2);
}

/* Links slower than stages: more groups than stages fill them. */
static void test_groups_far_away(void **state) {
    (void)state;
    struct sched_load load = load_of(2, 6);
    for (uint32_t n = 1; n <= 8; n++) see(SCHED_TIME_DECODE, 2, n, 1000 * n, 20000);
    load.groups = 2;
    uint32_t groups = sched_policy_groups(&load);
    assert_true(groups > 2 && groups <= sched_policy_credit(2));
}

/* A kernel for 4 and more is twice as fast as that for 3: seven sequences in one group, not in two; an unknown size is tried. */
static void test_groups_kernels(void **state) {
    (void)state;
    struct sched_load load = load_of(2, 6);
    for (uint32_t n = 1; n <= 3; n++) see(SCHED_TIME_DECODE, 2, n, 1000 * n, 0);
    load.groups = 2;
    assert_int_equal(sched_policy_groups(&load), 1); /* a size that is worth a try */
    see(SCHED_TIME_DECODE, 2, 6, 1200, 0);
    load.groups = 1;
    assert_int_equal(sched_policy_groups(&load), 1);
    load = load_of(2, 6);
    for (uint32_t n = 1; n <= 3; n++) see(SCHED_TIME_DECODE, 2, n, 1000 * n, 0);
    see(SCHED_TIME_DECODE, 2, 6, 6000, 0); /* it was tried, and is no better */
    load.groups = 1;
    assert_int_equal(sched_policy_groups(&load), 2);
}

/* Times that go up and down by a few percent change nothing. */
static void test_groups_calm(void **state) {
    (void)state;
    struct sched_load load = load_of(4, 16);
    uint32_t changes = 0, dice = 1;
    load.groups = 4;
    for (int round = 0; round < 2000; round++) {
        uint32_t n = (16 + load.groups - 1) / load.groups;
        dice = dice * 1664525 + 1013904223;
        see(SCHED_TIME_DECODE, 4, n, (3000 + 400 * n) * (95 + (dice >> 16) % 11) / 100, 50 + (dice >> 8) % 20);
        uint32_t groups = sched_policy_groups(&load);
        changes += groups != load.groups;
        load.groups = groups;
    }
    print_message("%u changes in 2000 rounds, %u groups in the end\n", changes, load.groups);
    assert_true(changes <= 4);
}

/* ---- prompts ---- */

static void see_prompts(uint32_t n_stage, uint32_t base_us, uint32_t token_us) {
    for (uint32_t n = 16; n <= 512; n *= 2) see(SCHED_TIME_PROMPT, n_stage, n, base_us + n * token_us, 50);
    see(SCHED_TIME_DECODE, n_stage, 1, base_us + token_us, 50);
}

static void test_piece_alone(void **state) {
    (void)state;
    struct sched_share sh;
    struct sched_load load = load_of(2, 0);
    load.n_prefilling = 1;
    load.prompt_tokens = 4096;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 128);  /* nothing measured: 16 for each stage */
    see_prompts(2, 100, 100);
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 32);   /* 64 would be the least by 1 % (sqrt(4096 x 100 / 100)): the smaller one is taken */
    load = load_of(2, 0);
    load.n_prefilling = 1;
    load.prompt_tokens = 4096;
    see_prompts(2, 20000, 100);
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 512);  /* the fixed cost is large */
    load.in_flight = 2;                        /* the ring is full, and one more waits */
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 512);
    load.in_flight = 3;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 0);
}

/* The slowest stage's time for all frames under way stays under the budget, but a small piece always goes. */
static void test_latency_budget(void **state) {
    (void)state;
    struct sched_share sh;
    struct sched_load load = load_of(2, 4);
    load.n_prefilling = 1;
    load.prompt_tokens = 8000;
    load.groups = 2;
    see_prompts(2, 5000, 500);
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.decode_tokens, 2);
    assert_int_equal(sh.prefill_tokens, 128); /* 2 x (5 + 130 x 0.5) ms = 140 ms; of 192: 204 ms */
    load.groups = 4;                          /* more frames than stages are on their way */
    load.n_decoding = 8;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 64);
    load.groups = 2;
    load.n_decoding = 4;
    load.latency_us = 100000;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 64);
    load.latency_us = 0;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.prefill_tokens, 16);
    load.decode_in_flight = load.in_flight = 2; /* both groups are on their way: the next frame is kept for them */
    load.latency_us = 200000;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.decode_tokens, 0);
    assert_int_equal(sh.prefill_tokens, 0);
    load.n_decoding = 0;
    load.decode_in_flight = load.in_flight = 0;
    sched_policy_share(&load, &sh);
    assert_true(sh.prefill_tokens >= 64);
}

/* Short prompts beside one stage: several frames of them, until the next token would come too late. */
static void test_short_prompts_first(void **state) {
    (void)state;
    struct sched_share sh;
    struct sched_load load = load_of(1, 4);
    load.n_prefilling = 4;
    load.prompt_tokens = 80;
    load.groups = 1;
    see_prompts(1, 5000, 500); /* 45 ms for these */
    load.waited_us = 100000;
    sched_policy_share(&load, &sh);
    assert_true(sh.prefill_first && sh.prefill_tokens >= 80 && sh.decode_tokens == 4);
    load.waited_us = 120000;
    sched_policy_share(&load, &sh);
    assert_false(sh.prefill_first);
    load.waited_us = 0;
    load.prompt_tokens = 300; /* 155 ms */
    sched_policy_share(&load, &sh);
    assert_false(sh.prefill_first);
    load.prompt_tokens = 80;
    load.latency_us = 50000;
    sched_policy_share(&load, &sh);
    assert_false(sh.prefill_first);
    load.latency_us = 200000;
    load.n_stage = 2;
    sched_policy_share(&load, &sh);
    assert_false(sh.prefill_first);
}

static void test_exact_turns(void **state) {
    (void)state;
    struct sched_share sh;
    struct sched_load load = load_of(1, 40);
    load.n_prefilling = 1;
    load.exact = true;
    sched_policy_share(&load, &sh);
    assert_int_equal(sh.decode_tokens, 3);
    assert_true(sh.prefill_first);
    assert_true(sh.prefill_tokens % 4 == 0 && sh.prefill_tokens > 0);
    load.prefill_last = true;
    sched_policy_share(&load, &sh);
    assert_false(sh.prefill_first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_groups_unmeasured),
        cmocka_unit_test(test_groups_compute_bound),
        cmocka_unit_test(test_groups_memory_bound),
        cmocka_unit_test(test_groups_far_away),
        cmocka_unit_test(test_groups_kernels),
        cmocka_unit_test(test_groups_calm),
        cmocka_unit_test(test_piece_alone),
        cmocka_unit_test(test_latency_budget),
        cmocka_unit_test(test_short_prompts_first),
        cmocka_unit_test(test_exact_turns),
    };
    return cmocka_run_group_tests_name("pipeline_policy", tests, NULL, NULL);
}
