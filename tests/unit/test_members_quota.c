/* SPDX-License-Identifier: MIT
 * The share of the loop's time that a control link may take: one that floods is slowed down, many that flood share half of the time, and
 * one that does not flood is never stopped. On a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "members/quota.h"

enum { FLOODS = 40, SECOND = 1000000 };

struct link {
    struct quota quota;
    clock_us until; /* it rests */
    clock_us took, longest;
};

/* One loop: in each round every link that is not resting and has something to send is read once, which takes `cost` of time. */
static clock_us run(struct quota_pool *pool, struct link *floods, size_t n, clock_us cost, struct link *calm, clock_us length) {
    clock_us now = SECOND, end = now + length, calm_at = now;
    *pool = (struct quota_pool){0};
    for (size_t i = 0; i < n; i++) quota_init(&floods[i].quota, pool);
    quota_init(&calm->quota, pool);
    while (now < end) {
        for (size_t i = 0; i < n; i++) {
            struct link *l = &floods[i];
            if (now < l->until) continue;
            now += cost;
            l->took += cost;
            clock_us pause = quota_spend(&l->quota, now, cost);
            l->until = now + pause;
            if (pause > l->longest) l->longest = pause;
        }
        if (now >= calm_at) { /* a tenth of a millisecond in each ten */
            now += 100;
            calm->longest += quota_spend(&calm->quota, now, 100);
            calm_at += 10000;
        }
        now += 50;
    }
    clock_us took = 0;
    for (size_t i = 0; i < n; i++) {
        took += floods[i].took;
        quota_done(&floods[i].quota);
    }
    quota_done(&calm->quota);
    assert_int_equal(pool->n_heavy, 0);
    return took;
}

static void one_flood_gets_a_quarter(void **state) {
    (void)state;
    struct quota_pool pool;
    struct link flood = {0}, calm = {0};
    clock_us took = run(&pool, &flood, 1, 2000, &calm, 60 * SECOND);
    assert_true(took > 13 * SECOND && took < 17 * SECOND);
    assert_int_equal(calm.longest, 0);
}

static void many_floods_share_a_half(void **state) {
    (void)state;
    struct quota_pool pool;
    struct link floods[FLOODS] = {0}, calm = {0};
    clock_us took = run(&pool, floods, FLOODS, 2000, &calm, 300 * SECOND);
    assert_true(took > 130 * SECOND && took < 170 * SECOND);
    for (size_t i = 0; i < FLOODS; i++) {
        assert_true(floods[i].took > took / FLOODS / 2 && floods[i].took < 2 * took / FLOODS);
        assert_true(floods[i].longest <= QUOTA_PAUSE_US);
    }
    assert_int_equal(calm.longest, 0);
}

static void a_burst_is_free_and_a_long_one_is_paid_for(void **state) {
    (void)state;
    struct quota_pool pool = {0};
    struct quota q;
    quota_init(&q, &pool);
    assert_int_equal(quota_spend(&q, SECOND, SECOND / 5), 0);
    assert_int_equal(quota_spend(&q, SECOND, SECOND / 10), 3 * SECOND / 10);
    assert_int_equal(quota_spend(&q, 20 * SECOND, SECOND / 5), 0); /* long ago */
    assert_int_equal(quota_spend(&q, 21 * SECOND, 60 * SECOND), QUOTA_PAUSE_US);
    quota_done(&q);
}

static void in_one_turn_a_link_has_so_many_frames(void **state) {
    (void)state;
    struct quota_pool pool = {0};
    struct quota flood, calm;
    unsigned handled = 0;
    quota_init(&flood, &pool);
    quota_init(&calm, &pool);
    for (int turn = 0; turn < 3; turn++) {
        for (; quota_has_turn(&flood); handled++) quota_frame(&flood);
        assert_true(quota_has_turn(&calm)); /* whatever the flood has had */
        quota_frame(&calm);
        assert_int_equal(handled, (turn + 1) * QUOTA_TURN_FRAMES);
        quota_turn(&flood);
        quota_turn(&calm);
    }
    assert_int_equal(pool.most, QUOTA_TURN_FRAMES);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_one_turn_a_link_has_so_many_frames), cmocka_unit_test(one_flood_gets_a_quarter),
                                       cmocka_unit_test(many_floods_share_a_half),
                                       cmocka_unit_test(a_burst_is_free_and_a_long_one_is_paid_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
