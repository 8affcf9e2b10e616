/* SPDX-License-Identifier: MIT
 * How many threads a stage chooses, on simulated machines: quiet ones, and some where other programs want the cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stage/threads.h"

/* A frame takes work_us of computing, divided among the threads. Each of `others` programs always wants a core. */
struct machine {
    uint32_t cores, others;
    float work_us, serial_us; /* of a token; serial_us: of one thread, while the others wait */
    float noise;              /* times vary by this part */
    uint64_t random;
    clock_us now;
    uint64_t frames, changes; /* that were computed; in which the number of threads changed */
    clock_us tried_us;        /* that trials took longer than the chosen number would have */
    bool silent;              /* it doesn't say how long its processors were idle */
    float idle, cpu;          /* so far, us */
};

static float vary(struct machine *m) {
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return 1 + m->noise * ((float)(m->random >> 40) / (float)(1 << 23) - 1);
}

/* Where threads and other programs are more than the cores, the slowest thread shares its core, and all others wait for it, mostly asleep.
 * That waking up costs a third of the time was seen: 20 frames a second with two threads on two cores, 6 beside one program. */
static float frame_us(const struct machine *m, uint32_t threads, uint32_t n_tokens) {
    uint32_t crowd = (threads + m->others + m->cores - 1) / m->cores;
    float alone = (float)n_tokens * m->work_us / (float)threads;
    return m->serial_us + alone * (float)crowd * (crowd > 1 && threads > 1 ? 1.6f : 1);
}

static float cpu_us(const struct machine *m, uint32_t threads, uint32_t n_tokens, float wall) {
    bool crowded = threads + m->others > m->cores;
    float busy = m->serial_us + (float)n_tokens * m->work_us * 1.1f, most = wall * (float)threads;
    return crowded || m->serial_us > 0 ? (busy < most ? busy : most) : 0.97f * most;
}

static struct stage_threads_pace *pace_of(struct stage_threads *t, uint32_t n_tokens) { return &t->paces[n_tokens > 1]; }

static void run_frame(struct machine *m, struct stage_threads *t, uint32_t n_tokens) {
    struct stage_threads_pace *p = pace_of(t, n_tokens);
    uint32_t before = p->now, chosen = p->count;
    assert_uint_in_range(p->now, 1, t->most);
    float wall = frame_us(m, p->now, n_tokens) * vary(m), usual = frame_us(m, p->count, n_tokens);
    m->now += (clock_us)wall;
    m->frames++;
    if (p->now != p->count && wall > usual) m->tried_us += (clock_us)(wall - usual);
    float cpu = cpu_us(m, before, n_tokens, wall), free = (float)m->cores - (float)m->others - cpu / wall;
    m->cpu += cpu;
    m->idle += free > 0 ? free * wall : 0;
    if (!m->silent && m->now >= stage_threads_look_at(t)) stage_threads_looked(t, m->now, (clock_us)m->idle, (clock_us)m->cpu);
    bool changed = stage_threads_frame(t, m->now, n_tokens, (clock_us)wall, (clock_us)cpu);
    assert_int_equal(changed, p->now != before);
    m->changes += p->count != chosen;
}

static void run(struct machine *m, struct stage_threads *t, uint32_t n_tokens, clock_us time) {
    for (clock_us end = m->now + time; m->now < end;) run_frame(m, t, n_tokens);
}

enum { SECOND = 1000000 };
static struct machine machine_of(uint32_t cores) { return (struct machine){.cores = cores, .work_us = 80000, .now = 1000, .random = 7}; }

static void a_quiet_machine_computes_with_all_threads(void **state) {
    (void)state;
    struct machine m = machine_of(2);
    struct stage_threads t;
    stage_threads_init(&t, 2);
    m.noise = 0.1f;
    for (int i = 0; i < 5000; i++) {
        run_frame(&m, &t, 1 + i % 3);
        assert_int_equal(t.paces[0].now, 2);
        assert_int_equal(t.paces[1].now, 2);
    }
}

static void beside_another_program_fewer_threads_are_faster(void **state) {
    (void)state;
    struct machine m = machine_of(2);
    struct stage_threads t;
    stage_threads_init(&t, 2);
    run(&m, &t, 1, 2 * SECOND);
    m.others = 1;
    run(&m, &t, 1, 2 * SECOND);
    assert_int_equal(t.paces[0].count, 1);
    clock_us begun = m.now;
    m.tried_us = 0;
    run(&m, &t, 1, 600 * SECOND);
    assert_int_equal(t.paces[0].count, 1);
    assert_true(m.tried_us * 100 < 2 * (m.now - begun)); /* trials with more threads cost less than a fiftieth */
    m.others = 0;
    run(&m, &t, 1, 35 * SECOND);
    assert_int_equal(t.paces[0].count, 2);
}

/* A short answer behind its first prompt, on a machine that was busy from the start: little is lost to finding out. */
static void a_short_answer_beside_other_programs(void **state) {
    (void)state;
    for (uint32_t others = 1; others < 4; others++) {
        struct machine m = machine_of(2);
        struct stage_threads t;
        m.others = others;
        stage_threads_init(&t, 2);
        float best = frame_us(&m, 1, 1) < frame_us(&m, 2, 1) ? frame_us(&m, 1, 1) : frame_us(&m, 2, 1);
        for (int i = 0; i < 48; i++) run_frame(&m, &t, 1);
        print_message("beside %u programs: 48 tokens in %.3f of the shortest time\n", others, (float)(m.now - 1000) / (48 * best));
        assert_true((float)(m.now - 1000) < 1.05f * 48 * best);
    }
}

/* Other programs take turns with the cores, and sometimes leave one. A system that doesn't say so is tried from time to time. */
static void a_free_core_is_taken_at_once(void **state) {
    (void)state;
    for (int silent = 0; silent < 2; silent++) {
        struct machine m = machine_of(2);
        struct stage_threads t;
        m.silent = silent;
        m.others = 1;
        stage_threads_init(&t, 2);
        run(&m, &t, 1, 300 * SECOND);
        assert_int_equal(t.paces[0].count, 1);
        m.others = 0;
        run(&m, &t, 1, (silent ? 35 : 3) * SECOND);
        assert_int_equal(t.paces[0].count, 2);
    }
}

/* It has never seen the machine quiet. */
static void busy_from_the_start(void **state) {
    (void)state;
    for (uint32_t others = 1; others < 6; others++) {
        struct machine m = machine_of(2);
        struct stage_threads t;
        m.others = others;
        stage_threads_init(&t, 2);
        run(&m, &t, 1, 4 * SECOND);
        assert_int_equal(t.paces[0].count, frame_us(&m, 1, 1) < 0.9f * frame_us(&m, 2, 1) ? 1 : 2);
    }
}

static void each_program_costs_a_thread_of_many(void **state) {
    (void)state;
    for (uint32_t others = 1; others <= 8; others++) {
        struct machine m = machine_of(16);
        struct stage_threads t;
        m.others = others;
        stage_threads_init(&t, 16);
        run(&m, &t, 1, 60 * SECOND);
        float best = frame_us(&m, 16 - others, 1), took = frame_us(&m, t.paces[0].count, 1), all = frame_us(&m, 16, 1);
        print_message("beside %u programs: %u threads of 16, %.2f of the time of all, %.2f of the best\n", others, t.paces[0].count,
                      took / all, took / best);
        assert_true(took <= 1.35f * best && took < all);
        m.others = 0;
        run(&m, &t, 1, 60 * SECOND);
        assert_int_equal(t.paces[0].count, 16);
    }
}

/* A small model whose graphs are mostly made by one thread: the others wait, but fewer would be slower. */
static void waiting_threads_may_still_be_the_best(void **state) {
    (void)state;
    struct machine m = machine_of(4);
    struct stage_threads t;
    m.work_us = 4000;
    m.serial_us = 1000;
    stage_threads_init(&t, 4);
    run(&m, &t, 1, 300 * SECOND);
    assert_int_equal(t.paces[0].count, 4);
    assert_int_equal(m.changes, 0);
    assert_true(m.tried_us * 100 < m.now);
}

static void noise_does_not_move_it(void **state) {
    (void)state;
    struct machine m = machine_of(4);
    struct stage_threads t;
    m.noise = 0.5f;
    m.others = 2;
    stage_threads_init(&t, 4);
    run(&m, &t, 1, 10 * SECOND);
    m.changes = 0;
    run(&m, &t, 1, 600 * SECOND);
    print_message("%u changes in ten minutes of noise\n", (unsigned)m.changes);
    assert_true(m.changes < 20);
}

static void prompts_choose_for_themselves(void **state) {
    (void)state;
    struct machine m = machine_of(2);
    struct stage_threads t;
    stage_threads_init(&t, 2);
    m.others = 1;
    for (int i = 0; i < 12; i++) run_frame(&m, &t, (uint32_t)(2 + i % 4 * 20)); /* pieces of several sizes */
    assert_int_equal(t.paces[0].count, 2);
    run(&m, &t, 64, 60 * SECOND);
    assert_int_equal(t.paces[0].count, 2);
    assert_int_equal(t.paces[1].count, 1);
}

/* Every frame has another size: a trial has nothing to compare with, and ends. */
static void a_trial_ends_without_a_result(void **state) {
    (void)state;
    struct machine m = machine_of(2);
    struct stage_threads t;
    stage_threads_init(&t, 2);
    m.others = 1;
    for (int i = 0; i < 4; i++) run_frame(&m, &t, 8);
    assert_int_equal(t.paces[1].state, STAGE_THREADS_TRY_FEWER);
    int frames = 0;
    for (; t.paces[1].state != STAGE_THREADS_WATCH; frames++) run_frame(&m, &t, (uint32_t)(16 << frames % 4));
    assert_int_in_range(frames, 64, 66);
    assert_int_equal(t.paces[1].now, 2);
}

static void one_thread_stays_one(void **state) {
    (void)state;
    struct machine m = machine_of(1);
    struct stage_threads t;
    m.others = 3;
    stage_threads_init(&t, 1);
    run(&m, &t, 1, 100 * SECOND);
    assert_int_equal(t.paces[0].now, 1);
    assert_false(stage_threads_frame(&t, m.now, 0, 10, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_quiet_machine_computes_with_all_threads),
                                       cmocka_unit_test(beside_another_program_fewer_threads_are_faster),
                                       cmocka_unit_test(a_short_answer_beside_other_programs),
                                       cmocka_unit_test(a_free_core_is_taken_at_once),
                                       cmocka_unit_test(busy_from_the_start),
                                       cmocka_unit_test(each_program_costs_a_thread_of_many),
                                       cmocka_unit_test(waiting_threads_may_still_be_the_best),
                                       cmocka_unit_test(noise_does_not_move_it),
                                       cmocka_unit_test(prompts_choose_for_themselves),
                                       cmocka_unit_test(a_trial_ends_without_a_result),
                                       cmocka_unit_test(one_thread_stays_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
