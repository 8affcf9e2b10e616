/* SPDX-License-Identifier: MIT
 * The queue of a model on a virtual clock: order, fairness, bound, prediction; and the pace from which predictions are made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/pace.h"
#include "routing/queue.h"

#define SECOND 1000000u

static struct queue_entry entry(const char *key, int32_t priority, uint64_t tokens, clock_us cost) {
    return (struct queue_entry){.key = key, .priority = priority, .tokens = tokens, .cost = cost, .places = 1};
}

static void enter(struct queue *q, clock_us now, struct queue_entry *e) { assert_int_equal(queue_enter(q, now, e, NULL, NULL), ERR_OK); }

static void priority_goes_first_then_age(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry e[5] = {entry("k", 0, 10, 0), entry("k", -100, 10, 0), entry("k", 0, 10, 0), entry("k", 5, 10, 0),
                               entry("k", 0, 10, 0)};
    static const int order[] = {3, 0, 2, 4, 1};
    queue_set_room(q, 1, 16);
    for (int i = 0; i < 5; i++) enter(q, 0, &e[i]);
    for (int i = 0; i < 5; i++) {
        struct queue_entry *next = queue_next(q, 0);
        assert_ptr_equal(next, &e[order[i]]);
        assert_null(queue_next(q, 0)); /* the one place is taken */
        queue_leave(q, next);
    }
    assert_int_equal(queue_waiting(q) + queue_running(q), 0);
    queue_free(q);
}

/* A key with fifty requests doesn't keep a key with two from its turn, and tokens count, not requests. */
static void keys_share_by_tokens(void **state) {
    (void)state;
    enum { MANY = 50 };
    struct queue *q = queue_create();
    struct queue_entry many[MANY], big[MANY];
    uint64_t used[2] = {0};
    queue_set_room(q, 1, 1000);
    for (int i = 0; i < MANY; i++) {
        many[i] = entry("many", 0, 500, 0);
        enter(q, 0, &many[i]);
    }
    for (int i = 0; i < MANY; i++) {
        big[i] = entry("big", 0, 3000, 0);
        enter(q, 0, &big[i]);
    }
    while (used[0] < (uint64_t)MANY * 500) { /* until all requests of "many" are done */
        struct queue_entry *next = queue_next(q, 0);
        used[strcmp(next->key, "big") == 0] += next->tokens;
        uint64_t more = used[0] > used[1] ? used[0] - used[1] : used[1] - used[0];
        assert_true(more <= 2 * QUEUE_QUANTUM + 3000);
        queue_leave(q, next);
    }
    for (struct queue_entry *next; (next = queue_next(q, 0)) != NULL;) queue_leave(q, next);
    queue_free(q);
}

/* Two keys ask the same, as predicted; one of them uses ten times as much in truth, and so it gets as many fewer places. */
static void keys_are_charged_with_what_they_used(void **state) {
    (void)state;
    enum { EACH = 400, LONG = 5000, SHORT = 500 };
    struct queue *q = queue_create();
    struct queue_entry all[2 * EACH];
    uint64_t used[2] = {0};
    queue_set_room(q, 1, 2 * EACH);
    for (int i = 0; i < 2 * EACH; i++) {
        all[i] = entry(i % 2 == 0 ? "long" : "short", 0, 1000, 0);
        enter(q, 0, &all[i]);
    }
    for (int i = 0; i < EACH; i++) { /* neither key runs out of requests */
        struct queue_entry *next = queue_next(q, 0);
        bool is_short = strcmp(next->key, "short") == 0;
        used[is_short] += is_short ? SHORT : LONG;
        queue_charge(q, next, is_short ? SHORT : LONG);
        queue_leave(q, next);
    }
    uint64_t more = used[0] > used[1] ? used[0] - used[1] : used[1] - used[0];
    assert_true(more <= 2 * QUEUE_QUANTUM + LONG);
    for (struct queue_entry *next; (next = queue_next(q, 0)) != NULL;) queue_leave(q, next);
    queue_free(q);
}

/* A key that owes keeps its debt while others wait, though it has no request itself; and nobody owes anything once nobody waits. */
static void debts_last_while_others_wait(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry greedy[2] = {entry("greedy", 0, 10, 0), entry("greedy", 0, 10, 0)}, other[8];
    queue_set_room(q, 1, 16);
    for (int round = 0; round < 2; round++) {
        enter(q, 0, &greedy[0]);
        assert_ptr_equal(queue_next(q, 0), &greedy[0]);
        for (int i = 0; i < 8 && round == 0; i++) {
            other[i] = entry("other", 0, QUEUE_QUANTUM, 0);
            enter(q, 0, &other[i]);
        }
        queue_charge(q, &greedy[0], 6 * QUEUE_QUANTUM);
        queue_leave(q, &greedy[0]);
        enter(q, 0, &greedy[1]);
        int before = 0; /* requests of the other key that go first */
        struct queue_entry *next;
        while ((next = queue_next(q, 0)) != &greedy[1]) {
            before++;
            queue_leave(q, next);
        }
        assert_int_in_range(before, round == 0 ? 5 : 0, round == 0 ? 8 : 0);
        queue_leave(q, &greedy[1]);
        while ((next = queue_next(q, 0)) != NULL) queue_leave(q, next);
    }
    queue_free(q);
}

static void a_full_queue_refuses_and_says_until_when(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry e[4] = {entry("", 0, 10, 9 * SECOND), entry("", 0, 10, 4 * SECOND), entry("", 0, 10, SECOND),
                               entry("", 0, 10, SECOND)};
    clock_us retry = 0;
    struct err err = {0};
    queue_set_room(q, 2, 1);
    for (int i = 0; i < 2; i++) {
        enter(q, 0, &e[i]);
        assert_ptr_equal(queue_next(q, 0), &e[i]);
    }
    enter(q, 0, &e[2]);
    assert_int_equal(queue_enter(q, SECOND, &e[3], &retry, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "2 requests run and 1 wait"));
    assert_true(retry == 3 * SECOND); /* the second one runs a second of its four already */
    assert_int_equal(e[3].state, QUEUE_OUT);
    queue_leave(q, &e[3]); /* it is out: nothing happens */
    queue_leave(q, &e[2]);
    enter(q, SECOND, &e[3]);
    for (int i = 0; i < 4; i++) queue_leave(q, &e[i]);
    queue_free(q);
}

static void with_a_bound_of_none_free_places_are_given_all_the_same(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry e[2] = {entry("", 0, 10, 0), entry("", 0, 10, 0)};
    queue_set_room(q, 1, 0);
    enter(q, 0, &e[0]);
    assert_ptr_equal(queue_next(q, 0), &e[0]);
    assert_int_equal(queue_enter(q, 0, &e[1], NULL, NULL), ERR_BUSY);
    queue_leave(q, &e[0]);
    queue_free(q);
}

/* An entry of several places may take more than are left, else it would never run on a small model. */
static void wide_entries_get_their_turn(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry wide = entry("", 0, 10, 0), other = entry("", 0, 10, 0);
    wide.places = 8;
    queue_set_room(q, 4, 16);
    enter(q, 0, &wide);
    enter(q, 0, &other);
    assert_ptr_equal(queue_next(q, 0), &wide);
    assert_int_equal(queue_running(q), 8);
    assert_null(queue_next(q, 0));
    queue_leave(q, &wide);
    assert_ptr_equal(queue_next(q, 0), &other);
    queue_leave(q, &other);
    queue_free(q);
}

static void the_wait_is_predicted(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry running = entry("a", 0, 10, 10 * SECOND), behind = entry("a", 0, 10, 6 * SECOND),
                       low = entry("a", -1, 10, 100 * SECOND);
    struct queue_entry mine = entry("b", 0, 10, 2 * SECOND), same = entry("a", 0, 10, 2 * SECOND);
    queue_set_room(q, 1, 16);
    assert_true(queue_wait(q, 0, &mine) == 0);
    enter(q, 0, &running);
    queue_next(q, 0);
    enter(q, 0, &behind);
    enter(q, 0, &low);
    assert_true(queue_wait(q, 4 * SECOND, &same) == (6 + 6) * SECOND); /* 6 s of the running one, then one of its key */
    assert_true(queue_wait(q, 4 * SECOND, &mine) == (6 + 2) * SECOND); /* takes turns with the other key */
    queue_set_room(q, 2, 16);
    assert_true(queue_wait(q, 4 * SECOND, &same) == 6 * SECOND);
    queue_leave(q, &running);
    queue_leave(q, &behind);
    queue_leave(q, &low);
    queue_free(q);
}

/* Those for which nobody waits go last, whoever's they are, and take no room and no time from the others. */
static void the_background_is_in_nobodys_way(void **state) {
    (void)state;
    struct queue *q = queue_create();
    struct queue_entry running = entry("a", 0, 10, 4 * SECOND), back[3], front[2] = {entry("a", -100, 10, 0), entry("b", -100, 10, 0)};
    queue_set_room(q, 1, 2);
    enter(q, 0, &running);
    queue_next(q, 0);
    for (int i = 0; i < 3; i++) back[i] = entry("c", QUEUE_BACKGROUND, 10, SECOND);
    for (int i = 0; i < 2; i++) enter(q, 0, &back[i]);
    assert_int_equal(queue_enter(q, 0, &back[2], NULL, NULL), ERR_BUSY);
    assert_true(queue_wait(q, 0, &front[0]) == 4 * SECOND);
    for (int i = 0; i < 2; i++) enter(q, 0, &front[i]);
    queue_leave(q, &running);
    assert_ptr_equal(queue_next(q, 0), &front[0]);
    queue_leave(q, &front[0]);
    assert_ptr_equal(queue_next(q, 0), &front[1]);
    queue_leave(q, &front[1]);
    assert_true(queue_wait(q, 0, &front[0]) == 0);
    assert_ptr_equal(queue_next(q, 0), &back[0]);
    assert_true(queue_wait(q, 0, &front[0]) == 0); /* it runs beside those */
    enter(q, 0, &front[0]);
    assert_ptr_equal(queue_next(q, 0), &front[0]);
    enter(q, 0, &front[1]);
    assert_null(queue_next(q, 0)); /* its own kind waits for it */
    queue_leave(q, &back[0]);
    assert_null(queue_next(q, 0));
    queue_leave(q, &front[0]);
    assert_ptr_equal(queue_next(q, 0), &front[1]);
    assert_null(queue_next(q, 0)); /* and so does the other one */
    queue_leave(q, &front[1]);
    assert_ptr_equal(queue_next(q, 0), &back[1]);
    queue_leave(q, &back[1]);
    assert_int_equal(queue_running(q), 0);
    queue_free(q);
}

/* Random schedules against rules that always hold. */
static void no_entry_is_lost(void **state) {
    (void)state;
    enum { N = 64, STEPS = 20000 };
    static struct queue_entry e[N];
    static const char *const keys[] = {"a", "b", "c"};
    struct queue *q = queue_create();
    unsigned seed = 7, n_in = 0, served = 0;
    queue_set_room(q, 3, 40);
    memset(e, 0, sizeof(e));
    for (clock_us now = 1; now < STEPS; now++) {
        struct queue_entry *x = &e[(seed = seed * 1103515245u + 12345) >> 16 & (N - 1)];
        if (x->state != QUEUE_OUT) {
            queue_leave(q, x);
            n_in--;
        } else {
            *x = entry(keys[seed >> 8 & 1 ? 0 : 1 + (seed >> 9 & 1)], (int)(seed >> 12 & 1), 1 + (seed >> 10 & 4095), 1 + (seed & 1023));
            n_in += queue_enter(q, now, x, NULL, NULL) == ERR_OK;
        }
        for (const struct queue_entry *next; (next = queue_next(q, now)) != NULL;) served++;
        assert_true(queue_running(q) <= 3 && queue_waiting(q) <= 40);
        assert_true(queue_waiting(q) == 0 || queue_running(q) == 3);
        assert_int_equal(queue_waiting(q) + queue_running(q), n_in);
    }
    assert_true(served > STEPS / 100);
    for (int i = 0; i < N; i++) queue_leave(q, &e[i]);
    queue_free(q);
}

static void pace_follows_what_is_measured(void **state) {
    (void)state;
    struct pace p = {0};
    assert_false(pace_known(&p));
    assert_true(pace_request(&p, 1000, 100) == 0);
    assert_int_equal(pace_answer(&p, -1), 256);
    assert_int_equal(pace_answer(&p, 5), 5);
    pace_learn(&p, 1000, SECOND, 100, 2 * SECOND);
    assert_true(pace_prompt(&p, 500) == SECOND / 2);
    assert_true(pace_request(&p, 500, 50) == SECOND / 2 + SECOND);
    assert_int_equal(pace_answer(&p, -1), 100);
    pace_learn(&p, 0, 5000, 100, 2 * SECOND); /* a prompt that was in the cache says nothing of prompts */
    assert_true(pace_prompt(&p, 500) == SECOND / 2);
    for (int i = 0; i < 60; i++) pace_learn(&p, 1000, 4 * SECOND, 10, SECOND);
    assert_int_in_range(pace_prompt(&p, 1000), 39 * SECOND / 10, 4 * SECOND);
    assert_int_in_range(pace_answer(&p, -1), 10, 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_goes_first_then_age),
        cmocka_unit_test(keys_share_by_tokens),
        cmocka_unit_test(keys_are_charged_with_what_they_used),
        cmocka_unit_test(debts_last_while_others_wait),
        cmocka_unit_test(a_full_queue_refuses_and_says_until_when),
        cmocka_unit_test(with_a_bound_of_none_free_places_are_given_all_the_same),
        cmocka_unit_test(wide_entries_get_their_turn),
        cmocka_unit_test(the_wait_is_predicted),
        cmocka_unit_test(the_background_is_in_nobodys_way),
        cmocka_unit_test(no_entry_is_lost),
        cmocka_unit_test(pace_follows_what_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
