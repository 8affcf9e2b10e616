/* SPDX-License-Identifier: MIT
 * Which replica gets a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "routing/router.h"

#define SECOND  1000000u
#define NOMINAL (256 * 20000u) /* a request without a prompt, before any answer has shown a pace */
static const struct router_target three[] = {{"a", 4, false, 1}, {"b", 4, false, 1}, {"c", 4, false, 1}};

static size_t pick(struct router *r, clock_us now, const struct router_request *prefix) {
    size_t at = 99;
    struct err e = {0};
    assert_int_equal(router_pick(r, now, three, ARRAY_LEN(three), prefix, &at, &e), ERR_OK);
    return at;
}

static size_t send(struct router *r, clock_us now, const struct router_request *prefix) {
    size_t at = pick(r, now, prefix);
    router_begin(r, now, three[at].instance, prefix);
    return at;
}

static void least_work_wins_and_equals_take_turns(void **state) {
    (void)state;
    struct router *r = router_create();
    unsigned got[3] = {0};
    for (int i = 0; i < 9; i++) got[send(r, SECOND, NULL)]++;
    assert_true(got[0] == 3 && got[1] == 3 && got[2] == 3);
    router_end(r, SECOND, "b", NOMINAL, false);
    assert_int_equal(send(r, SECOND, NULL), 1);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) router_end(r, SECOND, three[i].instance, NOMINAL, false);
    got[0] = got[1] = got[2] = 0;
    for (int i = 0; i < 9; i++) { /* one at a time: whose turn is longest ago */
        size_t at = send(r, SECOND, NULL);
        router_end(r, SECOND, three[at].instance, NOMINAL, false);
        got[at]++;
    }
    assert_true(got[0] == 3 && got[1] == 3 && got[2] == 3);
    router_report(r, SECOND, "a", 3, SECOND); /* requests from other gateways count as well */
    router_report(r, SECOND, "c", 2, SECOND);
    assert_int_equal(pick(r, SECOND, NULL), 1);
    router_free(r);
}

/* A session stays where it was, also when its prompts begin otherwise, unless that replica is clearly busier. */
static void a_session_stays(void **state) {
    (void)state;
    struct router *r = router_create();
    struct router_request one = {.session = 77, .max_answer = -1}, other = {.session = 78, .max_answer = -1};
    send(r, SECOND, NULL);
    size_t at = send(r, SECOND, &one);
    router_end(r, SECOND, three[at].instance, NOMINAL, false);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send(r, SECOND, &one), at);
        assert_int_not_equal(send(r, SECOND, &other), at);
        router_end(r, SECOND, three[at].instance, NOMINAL, false);
    }
    router_free(r);
}

/* Speed is not measured: unfinished requests keep others away from a slow replica. */
static void a_slow_replica_gets_less(void **state) {
    (void)state;
    struct router *r = router_create();
    unsigned got[3] = {0};
    unsigned open_a = 0;
    for (int i = 0; i < 300; i++) {
        size_t at = send(r, SECOND, NULL);
        got[at]++;
        if (at != 0) router_end(r, SECOND, three[at].instance, NOMINAL, false); /* a ends one in ten */
        else if (++open_a, i % 10 == 0 && open_a > 0) {
            router_end(r, SECOND, "a", NOMINAL, false);
            open_a--;
        }
    }
    assert_true(got[0] < 40 && got[1] > 100 && got[2] > 100);
    router_free(r);
}

static void an_idle_one_on_this_machine_is_taken(void **state) {
    (void)state;
    static const struct router_target pair[] = {{"there", 4, false, 1}, {"here", 4, true, 1}};
    struct router *r = router_create();
    struct router_request p;
    struct err e = {0};
    char text[2 * ROUTER_BLOCK];
    size_t at;
    memset(text, 'x', sizeof(text));
    router_request_make(text, sizeof(text), -1, &p);
    for (int i = 0; i < 3; i++) { /* not in turns; and the other one has seen the prompt */
        router_begin(r, SECOND, "there", &p);
        router_end(r, SECOND, "there", NOMINAL, false);
        assert_int_equal(router_pick(r, SECOND, pair, 2, &p, &at, &e), ERR_OK);
        assert_int_equal(at, 1);
    }
    router_begin(r, SECOND, "here", NULL);
    assert_int_equal(router_pick(r, SECOND, pair, 2, NULL, &at, &e), ERR_OK);
    assert_int_equal(at, 0); /* it has work, and the other one has none */
    router_begin(r, SECOND, "there", NULL);
    assert_int_equal(router_pick(r, SECOND, pair, 2, NULL, &at, &e), ERR_OK);
    assert_int_equal(at, 1); /* both have as much */
    router_end(r, SECOND, "here", NOMINAL, true);
    assert_int_equal(router_pick(r, SECOND, pair, 2, NULL, &at, &e), ERR_OK);
    assert_int_equal(at, 0); /* it has failed */
    router_free(r);
}

static void who_knows_the_beginning_is_taken(void **state) {
    (void)state;
    struct router *r = router_create();
    char text[3 * ROUTER_BLOCK + 10], other[3 * ROUTER_BLOCK + 10];
    struct router_request p, longer, unknown, brief;
    memset(text, 'x', sizeof(text));
    memset(other, 'y', sizeof(other));
    router_request_make(text, 2 * ROUTER_BLOCK + 3, -1, &p);
    router_request_make(text, sizeof(text), -1, &longer);
    router_request_make(other, sizeof(other), -1, &unknown);
    router_request_make(text, ROUTER_BLOCK - 1, -1, &brief);
    assert_int_equal(p.n, 2);
    assert_int_equal(longer.n, 3);
    assert_int_equal(brief.n, 0);
    size_t home = send(r, SECOND, &p);
    router_end(r, SECOND, three[home].instance, NOMINAL, false);
    for (int i = 0; i < 6; i++) { /* it isn't its turn, and it is taken */
        assert_int_equal(send(r, SECOND, &longer), home);
        router_end(r, SECOND, three[home].instance, NOMINAL, false);
    }
    assert_int_not_equal(pick(r, SECOND, &unknown), home);
    router_free(r);
}

/* Each block of the prompt takes 6.4 s, and an answer 1 s: the beginning is worth 19.2 s of waiting, and not more. */
static void what_is_cached_is_weighed_against_the_wait(void **state) {
    (void)state;
    static const struct router_target wide[] = {{"a", 100, false, 1}, {"b", 100, false, 1}};
    struct router *r = router_create();
    struct router_request p;
    struct err e = {0};
    char text[4 * ROUTER_BLOCK];
    size_t at;
    memset(text, 'x', sizeof(text));
    router_request_make(text, sizeof(text), -1, &p);
    for (size_t i = 0; i < 2; i++) router_learn(r, SECOND, wide[i].instance, 10, SECOND, 10, SECOND);
    clock_us first = router_begin(r, SECOND, "a", &p);
    assert_true(first == (256 / 10 + 1) * SECOND + SECOND * 6 / 10);
    router_end(r, SECOND, "a", first, false);
    unsigned waiting = 0;
    for (;; waiting++) { /* each such request is predicted to take a second: all of its prompt is cached */
        assert_int_equal(router_pick(r, SECOND, wide, 2, &p, &at, &e), ERR_OK);
        if (at != 0) break;
        assert_true(router_begin(r, SECOND, "a", &p) == SECOND);
    }
    assert_int_in_range(waiting, 23, 28);
    router_free(r);
}

static void a_fast_replica_gets_more(void **state) {
    (void)state;
    static const struct router_target pair[] = {{"slow", 100, true, 1}, {"fast", 100, false, 1}};
    struct router *r = router_create();
    struct err e = {0};
    unsigned got[2] = {0};
    router_learn(r, SECOND, "slow", 10, SECOND, 10, 3 * SECOND);
    router_learn(r, SECOND, "fast", 10, SECOND / 3, 10, SECOND);
    for (int i = 0; i < 40; i++) {
        size_t at;
        assert_int_equal(router_pick(r, SECOND, pair, 2, NULL, &at, &e), ERR_OK);
        router_begin(r, SECOND, pair[at].instance, NULL);
        got[at]++;
    }
    assert_int_in_range(got[1], 28, 32); /* three times as fast */
    router_free(r);
}

/* One long request outweighs several short ones; and places share the work. */
static void work_is_counted_not_requests(void **state) {
    (void)state;
    static const struct router_target pair[] = {{"a", 100, false, 1}, {"b", 100, false, 1}},
                                      wide[] = {{"a", 100, false, 8}, {"b", 100, false, 1}};
    struct router *r = router_create();
    const struct router_request lengthy = {.tokens = 1000, .max_answer = 1000}, brief = {.tokens = 10, .max_answer = 2};
    struct err e = {0};
    size_t at;
    for (size_t i = 0; i < 2; i++) router_learn(r, SECOND, pair[i].instance, 1000, SECOND, 1000, SECOND);
    clock_us cost = router_begin(r, SECOND, "a", &lengthy);
    assert_true(cost == 2 * SECOND);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(router_pick(r, SECOND, pair, 2, &brief, &at, &e), ERR_OK);
        assert_int_equal(at, 1);
        router_begin(r, SECOND, "b", &brief);
    }
    for (int i = 0; i < 5; i++) router_begin(r, SECOND, "b", &brief); /* 0.3 s; a has 2 s for eight places */
    assert_int_equal(router_pick(r, SECOND, wide, 2, &brief, &at, &e), ERR_OK);
    assert_int_equal(at, 0);
    router_end(r, SECOND, "a", cost, false);
    assert_int_equal(router_pick(r, SECOND, pair, 2, &brief, &at, &e), ERR_OK);
    assert_int_equal(at, 0);
    router_free(r);
}

static void one_that_fails_is_left_alone_longer_each_time(void **state) {
    (void)state;
    struct router *r = router_create();
    clock_us now = SECOND, pauses[3];
    for (int i = 0; i < 3; i++) {
        router_begin(r, now, "a", NULL);
        router_end(r, now, "a", NOMINAL, true); /* at once: it has the least work always */
        clock_us from = now;
        router_report(r, now, "b", 3, now);
        router_report(r, now, "c", 3, now);
        while (pick(r, now, NULL) == 0 ? false : now < from + 60 * SECOND) now += 10000;
        pauses[i] = now - from;
    }
    assert_true(pauses[0] > 0 && pauses[1] >= 2 * pauses[0] - 20000 && pauses[2] >= 2 * pauses[1] - 20000);
    assert_int_equal(send(r, now, NULL), 0);     /* one request tries it again */
    assert_int_not_equal(pick(r, now, NULL), 0); /* one only */
    router_end(r, now, "a", NOMINAL, false);
    assert_int_equal(send(r, now, NULL), 0);
    assert_int_equal(pick(r, now, NULL), 0); /* as any other one now */
    router_free(r);
}

static void where_all_have_failed_the_first_to_be_free_is_tried(void **state) {
    (void)state;
    struct router *r = router_create();
    for (size_t i = 0; i < 3; i++) {
        router_begin(r, SECOND + i, three[2 - i].instance, NULL);
        router_end(r, SECOND + i, three[2 - i].instance, NOMINAL, true);
    }
    assert_int_equal(pick(r, SECOND + 10, NULL), 2);
    router_free(r);
}

static void full_ones_get_nothing_and_all_full_is_said(void **state) {
    (void)state;
    struct router *r = router_create();
    size_t at = 99;
    struct err e = {0};
    for (int i = 0; i < 12; i++) send(r, SECOND, NULL);
    assert_int_equal(router_pick(r, SECOND, three, 3, NULL, &at, &e), ERR_BUSY);
    assert_int_equal(at, 99);
    router_end(r, SECOND, "c", NOMINAL, false);
    assert_int_equal(pick(r, SECOND, NULL), 2);
    router_free(r);
}

static bool keep_b(void *user, const char *instance) {
    (void)user;
    return strcmp(instance, "b") == 0;
}

static void what_is_gone_is_forgotten_and_its_times_are_kept_till_then(void **state) {
    (void)state;
    struct router *r = router_create();
    router_begin(r, 5 * SECOND, "a", NULL);
    router_report(r, 6 * SECOND, "b", 2, 4 * SECOND);
    router_report(r, 6 * SECOND, "c", 7, 6 * SECOND);
    assert_int_equal(router_used(r, 9 * SECOND, "a"), 5 * SECOND);
    router_sweep(r, keep_b, NULL);
    assert_int_equal(router_load(r, 9 * SECOND, "c"), 0);
    assert_int_equal(router_load(r, 9 * SECOND, "b"), 2);
    assert_int_equal(router_load(r, 9 * SECOND, "a"), 1); /* a request from here runs there */
    router_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(least_work_wins_and_equals_take_turns),
                                       cmocka_unit_test(a_session_stays),
                                       cmocka_unit_test(a_slow_replica_gets_less),
                                       cmocka_unit_test(an_idle_one_on_this_machine_is_taken),
                                       cmocka_unit_test(who_knows_the_beginning_is_taken),
                                       cmocka_unit_test(what_is_cached_is_weighed_against_the_wait),
                                       cmocka_unit_test(a_fast_replica_gets_more),
                                       cmocka_unit_test(work_is_counted_not_requests),
                                       cmocka_unit_test(one_that_fails_is_left_alone_longer_each_time),
                                       cmocka_unit_test(where_all_have_failed_the_first_to_be_free_is_tried),
                                       cmocka_unit_test(full_ones_get_nothing_and_all_full_is_said),
                                       cmocka_unit_test(what_is_gone_is_forgotten_and_its_times_are_kept_till_then)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
