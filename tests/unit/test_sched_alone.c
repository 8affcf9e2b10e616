/* SPDX-License-Identifier: MIT
 * Requests that may have crashed a process: nothing else is in flight beside them, so a second crash leaves no doubt; the others go on in
 * turn; and after a few tokens they are like any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/sched_table.h"

enum { N_SEQ = 4, PROMPT = 20, LENGTH = 14 };

static struct table *four_of_three_stages(void) {
    struct sched_config c = small_config(3);
    c.n_seq = N_SEQ;
    c.n_ctx_seq = 64;
    c.n_ctx = 64 * N_SEQ;
    c.n_queue = 8;
    return table_create(&c);
}

static void submit_alone(struct table *t, uint64_t id, size_t n_prompt, bool alone) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.alone = alone;
    r.ignore_eos = true;
    r.max_tokens = LENGTH;
    r.tokens = mem_calloc(n_prompt, sizeof(*r.tokens));
    r.n_tokens = n_prompt;
    for (size_t i = 0; i < n_prompt; i++) r.tokens[i] = (int32_t)(1 + (id * 7 + i) % 50);
    struct err e = {0};
    if (sched_submit(t->s, t->now, &r, &e) != ERR_OK) fail_msg("%s", e.text);
    request_done(&r);
    pull(t);
}

static size_t count_tokens(const struct table *t, uint64_t id) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_events; i++) n += t->events[i].id == id && t->events[i].kind == REQUEST_TOKEN;
    return n;
}

static bool has_ended(const struct table *t, uint64_t id) {
    for (size_t i = 0; i < t->n_events; i++)
        if (t->events[i].id == id && t->events[i].kind == REQUEST_DONE) return true;
    return false;
}

/* Is exactly this request in flight? */
static bool flies_alone(const struct table *t, uint64_t id) {
    uint64_t ids[N_SEQ];
    return sched_in_flight(t->s, ids) == 1 && ids[0] == id;
}

static bool flies(const struct table *t, uint64_t id) {
    uint64_t ids[N_SEQ];
    size_t n = sched_in_flight(t->s, ids);
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

static void answer_next(struct table *t) {
    t->now += 1000;
    answer(t, 50, 0);
}

static void it_is_alone_and_the_others_go_on(void **state) {
    (void)state;
    struct table *t = four_of_three_stages();
    submit_alone(t, 1, 6, false);
    submit_alone(t, 2, 6, false);
    while (count_tokens(t, 1) < 2 || count_tokens(t, 2) < 2) answer_next(t);
    submit_alone(t, 3, PROMPT, true);
    size_t before = count_tokens(t, 1) + count_tokens(t, 2);
    while (t->n_frames - t->n_answered > 1) answer_next(t); /* the frames that were in flight when it came */
    while (count_tokens(t, 3) < REQUEST_ALONE_TOKENS - 1) {
        assert_int_equal(t->n_frames - t->n_answered, 1);
        if (flies(t, 3)) assert_true(flies_alone(t, 3));
        answer_next(t);
    }
    assert_true(count_tokens(t, 1) + count_tokens(t, 2) >= before + 8); /* a frame of theirs for each of its own */
    bool together = false;
    while (!has_ended(t, 1) || !has_ended(t, 2) || !has_ended(t, 3)) { /* now it is like any other */
        together = together || (flies(t, 3) && !flies_alone(t, 3));
        answer_next(t);
    }
    assert_true(together);
    for (uint64_t id = 1; id <= 3; id++) assert_int_equal(count_tokens(t, id), LENGTH);
    table_free(t);
}

/* One after another, though the second prompt begins as the first does. */
static void several_take_turns(void **state) {
    (void)state;
    struct table *t = four_of_three_stages();
    for (uint64_t id = 1; id <= 3; id++) submit_alone(t, 50 * id, PROMPT, id != 2); /* the prompts are the same */
    while (!has_ended(t, 50) || !has_ended(t, 100) || !has_ended(t, 150)) {
        bool first = count_tokens(t, 50) < REQUEST_ALONE_TOKENS, third = count_tokens(t, 150) < REQUEST_ALONE_TOKENS;
        if (first && flies(t, 50)) assert_true(flies_alone(t, 50));
        if (third && flies(t, 150)) assert_true(flies_alone(t, 150));
        if (first) assert_false(flies(t, 150));
        answer_next(t);
    }
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

static void one_that_goes_away_leaves_the_others_free(void **state) {
    (void)state;
    struct table *t = four_of_three_stages();
    submit_alone(t, 3, PROMPT, true);
    submit_alone(t, 1, 6, false);
    submit_alone(t, 2, 6, false);
    assert_true(flies_alone(t, 3));
    sched_cancel(t->s, t->now, 3);
    pull(t);
    while (!has_ended(t, 1) || !has_ended(t, 2)) answer_next(t);
    assert_true(has_ended(t, 3));
    answer_all(t);
    assert_true(sched_idle(t->s));
    table_free(t);
}

static void after_a_crash_only_what_was_in_flight_is_suspect(void **state) {
    (void)state;
    struct table *t = four_of_three_stages();
    struct err crash, lost;
    err_set(&crash, ERR_CRASH, "it crashed");
    err_set(&lost, ERR_UNAVAILABLE, "the ring is gone");
    submit_alone(t, 3, PROMPT, true);
    submit_alone(t, 1, 6, false); /* admitted, and nothing of it has gone out */
    assert_true(flies_alone(t, 3));
    sched_fail_flight(t->s, t->now, &crash);
    sched_fail_all(t->s, t->now, &lost);
    pull(t);
    for (size_t i = 0; i < t->n_events; i++)
        if (t->events[i].kind == REQUEST_FAILED)
            assert_int_equal(t->events[i].err.code, t->events[i].id == 3 ? ERR_CRASH : ERR_UNAVAILABLE);
    assert_int_equal(last_event(t)->kind, REQUEST_FAILED);
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_alone_and_the_others_go_on),
        cmocka_unit_test(several_take_turns),
        cmocka_unit_test(one_that_goes_away_leaves_the_others_free),
        cmocka_unit_test(after_a_crash_only_what_was_in_flight_is_suspect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
