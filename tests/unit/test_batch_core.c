/* SPDX-License-Identifier: MIT
 * The core of batches on a virtual clock: places, order, fairness, retries, absence, expiry, cancel; and random runs with failures and
 * restarts, in which every line must get exactly one result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "batch/core.h"

#define SECOND ((clock_us)1000000)
#define DAY    (86400 * SECOND)

static uint32_t four(void *user, const char *model) {
    (void)user;
    (void)model;
    return 4;
}

static uint32_t one(void *user, const char *model) {
    (void)user;
    (void)model;
    return 1;
}

static struct batch *begin(struct batch_core *c, const char *owner, const char *model, uint32_t n) {
    struct batch *b = batch_core_add(c, owner, DAY, NULL);
    batch_begin(b, model, n, NULL);
    return b;
}

static int64_t next(struct batch_core *c, clock_us now, batch_places_fn places, struct batch **ret) {
    struct batch *b;
    uint32_t line;
    if (!batch_core_next(c, now, places, NULL, ret != NULL ? ret : &b, &line)) return -1;
    return line;
}

static void a_model_has_as_many_lines_in_flight_as_places(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *a = begin(c, "a", "m", 10), *other = begin(c, "a", "n", 10), *got;
    for (int i = 0; i < 8; i++) assert_true(next(c, 1, four, &got) >= 0);
    assert_int_equal(next(c, 1, four, NULL), -1);
    assert_int_equal(batch_counts(a).running, 4);
    assert_int_equal(batch_counts(other).running, 4);
    assert_int_equal(batch_answered(a, 2, 2, 200, 0), BATCH_KEEP);
    assert_int_equal(next(c, 2, four, &got), 4); /* in the order of the lines */
    assert_ptr_equal(got, a);
    batch_core_free(c);
}

static void owners_share_and_the_older_batch_goes_first(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *a = begin(c, "a", "m", 100), *b = begin(c, "a", "m", 100), *z = begin(c, "z", "m", 100), *got;
    for (int i = 0; i < 4; i++) next(c, 1, four, &got);
    assert_int_equal(batch_counts(a).running, 2);
    assert_int_equal(batch_counts(b).running, 0);
    assert_int_equal(batch_counts(z).running, 2);
    batch_core_free(c);
}

static void a_busy_model_is_asked_again_later(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", 10);
    for (int i = 0; i < 4; i++) assert_int_equal(next(c, 1, four, NULL), i);
    assert_int_equal(batch_answered(b, 1, SECOND, 503, 7), BATCH_AGAIN);
    assert_int_equal(batch_answered(b, 0, SECOND, 429, 3), BATCH_AGAIN); /* of the same moment: no longer pause */
    assert_int_equal(batch_answered(b, 2, SECOND, 200, 0), BATCH_KEEP);
    assert_int_equal(next(c, 2 * SECOND, four, NULL), -1);
    assert_int_equal(batch_waits_until(b, 2 * SECOND), 8 * SECOND);
    assert_int_equal(batch_core_wake(c, 2 * SECOND), 8 * SECOND);
    assert_int_equal(next(c, 8 * SECOND, four, NULL), 0); /* first what was begun first */
    assert_int_equal(next(c, 8 * SECOND, four, NULL), 1);
    assert_int_equal(next(c, 8 * SECOND, four, NULL), 4);
    assert_int_equal(batch_waits_until(b, 8 * SECOND), 0);
    batch_core_free(c);
}

static void pauses_grow_to_a_minute_and_are_forgotten(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", 10);
    clock_us now = SECOND, last = 0;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(next(c, now, one, NULL), 0);
        assert_int_equal(batch_answered(b, 0, now, 503, 0), BATCH_AGAIN);
        clock_us pause = batch_waits_until(b, now) - now;
        assert_true(pause >= last && pause <= BATCH_WAIT_MAX_US);
        last = pause;
        now += pause;
    }
    assert_int_equal(last, BATCH_WAIT_MAX_US);
    assert_int_equal(next(c, now, one, NULL), 0);
    assert_int_equal(batch_answered(b, 0, now, 200, 0), BATCH_KEEP);
    assert_int_equal(next(c, now, one, NULL), 1);
    batch_answered(b, 1, now, 503, 0);
    assert_int_equal(batch_waits_until(b, now), now + BATCH_WAIT_US);
    batch_core_free(c);
}

static void what_broke_is_tried_three_times_and_others_go_on(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", 3);
    clock_us now = SECOND;
    assert_int_equal(next(c, now, one, NULL), 0);
    assert_int_equal(batch_answered(b, 0, now, 500, 0), BATCH_AGAIN);
    assert_int_equal(next(c, now, one, NULL), 1); /* meanwhile */
    assert_int_equal(batch_answered(b, 1, now, 200, 0), BATCH_KEEP);
    for (int tries = 2; tries <= BATCH_TRIES; tries++) {
        now += 60 * SECOND;
        assert_int_equal(next(c, now, one, NULL), 0);
        assert_int_equal(batch_answered(b, 0, now, 500, 0), tries < BATCH_TRIES ? BATCH_AGAIN : BATCH_KEEP_FAILED);
    }
    assert_int_equal(batch_counts(b).failed, 1);
    batch_core_free(c);
}

static void a_lost_model_is_waited_for_ten_minutes(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", 2);
    clock_us now = SECOND;
    enum batch_verdict v;
    for (;;) {
        assert_int_equal(next(c, now, one, NULL), 0);
        v = batch_answered(b, 0, now, 404, 0);
        if (v != BATCH_AGAIN) break;
        now = batch_core_wake(c, now);
    }
    assert_int_equal(v, BATCH_KEEP_FAILED);
    assert_true(now >= BATCH_ABSENT_US && now <= BATCH_ABSENT_US + 2 * (clock_us)BATCH_WAIT_MAX_US);
    assert_int_equal(next(c, now, one, NULL), 1); /* the others fail at once */
    assert_int_equal(batch_answered(b, 1, now, 404, 0), BATCH_KEEP_FAILED);
    batch_core_free(c);
}

static void other_refusals_are_results(void **state) {
    (void)state;
    static const int statuses[] = {400, 401, 403, 413, 422, 429 /* without a time: it can't ever fit */, 499, 501};
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", ARRAY_LEN(statuses));
    for (uint32_t i = 0; i < ARRAY_LEN(statuses); i++) {
        assert_int_equal(next(c, 1, one, NULL), i);
        assert_int_equal(batch_answered(b, i, 1, statuses[i], 0), BATCH_KEEP_FAILED);
    }
    bool expired = true;
    assert_ptr_equal(batch_core_finished(c, 1, &expired), b);
    assert_false(expired);
    batch_core_free(c);
}

static void time_and_cancel_end_a_batch(void **state) {
    (void)state;
    struct batch_core *c = batch_core_create();
    struct batch *b = begin(c, "a", "m", 5);
    bool expired = false;
    assert_int_equal(next(c, DAY - 1, one, NULL), 0);
    assert_null(batch_core_finished(c, DAY - 1, &expired));
    assert_int_equal(batch_core_wake(c, DAY - 1), DAY);
    assert_int_equal(batch_answered(b, 0, DAY - 1, 200, 0), BATCH_KEEP);
    assert_int_equal(next(c, DAY, one, NULL), -1);
    assert_ptr_equal(batch_core_finished(c, DAY, &expired), b);
    assert_true(expired);
    batch_set_state(b, BATCH_FINALIZING);
    assert_null(batch_core_finished(c, DAY, &expired));
    batch_set_state(b, BATCH_EXPIRED);
    assert_true(batch_state_is_end(batch_state(b)));

    struct batch *d = batch_core_add(c, "a", 2 * DAY, NULL);
    batch_begin(d, "m", 5, (const uint8_t *)"\1\0\2\0\0");
    assert_int_equal(batch_counts(d).completed, 1);
    assert_int_equal(batch_counts(d).failed, 1);
    assert_int_equal(next(c, DAY, four, NULL), 1); /* what has its result isn't asked */
    assert_int_equal(next(c, DAY, four, NULL), 3);
    batch_set_state(d, BATCH_CANCELLING);
    assert_int_equal(batch_answered(d, 1, DAY, 200, 0), BATCH_DROP);
    batch_gave_up(d, 3);
    assert_int_equal(batch_counts(d).running, 0);
    assert_int_equal(next(c, DAY, four, NULL), -1);
    assert_true(batch_line_is_done(d, 0) && !batch_line_is_done(d, 1));
    batch_set_state(d, BATCH_CANCELLED);
    batch_core_remove(c, b);
    assert_int_equal(batch_core_count(c), 1);
    assert_ptr_equal(batch_core_at(c, 0), d);
    batch_core_free(c);
}

static void states_have_names(void **state) {
    (void)state;
    enum batch_state s;
    for (int i = 0; i < BATCH_STATES; i++) {
        assert_true(batch_state_of(batch_state_name((enum batch_state)i), &s));
        assert_int_equal(s, i);
    }
    assert_false(batch_state_of("asleep", &s));
}

/* ---- random runs ---- */

enum { LINES = 200, PLACES = 5 };

struct run {
    uint64_t seed;
    uint8_t kept[LINES]; /* what outlives a restart: 1 or 2, as for batch_begin */
    uint32_t times[LINES];
    int restarts;
};

static uint32_t draw(struct run *r, uint32_t n) {
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->seed >> 33) % n;
}

static uint32_t places_now(void *user, const char *model) {
    (void)model;
    return draw(user, 8) == 0 ? 1 : PLACES; /* copies come and go */
}

static int status_now(struct run *r) {
    static const int statuses[] = {503, 429, 404, 500, 400};
    return draw(r, 3) > 0 ? 200 : statuses[draw(r, ARRAY_LEN(statuses))];
}

/* One life of the node. true: the batch came to its end. */
static bool live(struct run *r, clock_us *now) {
    struct batch_core *c = batch_core_create();
    struct batch *b = batch_core_add(c, "a", DAY, NULL), *got;
    uint32_t flying[PLACES], n = 0, line;
    bool expired = false, ends = false;
    batch_begin(b, "m", LINES, r->kept);
    for (int step = 0; !ends && (r->restarts > 3 || step < 100); step++) {
        while (batch_core_next(c, *now, places_now, r, &got, &line)) {
            assert_true(n < PLACES);
            assert_int_equal(r->kept[line], 0);
            for (uint32_t i = 0; i < n; i++) assert_true(flying[i] != line);
            flying[n++] = line;
        }
        if (n > 0) {
            uint32_t at = draw(r, n);
            line = flying[at];
            flying[at] = flying[--n];
            enum batch_verdict v = batch_answered(b, line, *now, status_now(r), draw(r, 4));
            if (v == BATCH_KEEP || v == BATCH_KEEP_FAILED) {
                r->kept[line] = v == BATCH_KEEP ? 1 : 2;
                r->times[line]++;
            }
            *now += draw(r, 1000000);
        } else if (batch_core_wake(c, *now) > *now) {
            *now = batch_core_wake(c, *now);
        }
        ends = batch_core_finished(c, *now, &expired) != NULL;
    }
    assert_false(expired);
    r->restarts++;
    batch_core_free(c);
    return ends;
}

static void every_line_gets_one_result(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct run r = {.seed = seed};
        clock_us now = SECOND;
        while (!live(&r, &now)) {
        }
        for (int i = 0; i < LINES; i++)
            if (r.times[i] != 1) fail_msg("seed %llu: line %d has %u results", (unsigned long long)seed, i, r.times[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_has_as_many_lines_in_flight_as_places),
        cmocka_unit_test(owners_share_and_the_older_batch_goes_first),
        cmocka_unit_test(a_busy_model_is_asked_again_later),
        cmocka_unit_test(pauses_grow_to_a_minute_and_are_forgotten),
        cmocka_unit_test(what_broke_is_tried_three_times_and_others_go_on),
        cmocka_unit_test(a_lost_model_is_waited_for_ten_minutes),
        cmocka_unit_test(other_refusals_are_results),
        cmocka_unit_test(time_and_cancel_end_a_batch),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(every_line_gets_one_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
