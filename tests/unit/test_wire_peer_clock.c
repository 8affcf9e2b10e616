/* SPDX-License-Identifier: MIT
 * Clocks of two machines drift apart for hours, on a virtual clock with seeded delays: the distance that is known stays right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/peer_clock.h"

enum { SECOND = 1000000, HOUR = 3600 };

struct pair {
    int32_t ppm;          /* their clock gains so much */
    int64_t ahead;        /* at the start */
    uint32_t busy_most;   /* their end answers up to so much later than the question arrives, which its clock readings don't show */
    uint64_t dice;
};

static uint64_t roll(struct pair *p, uint64_t below) {
    p->dice = p->dice * 6364136223846793005u + 1442695040888963407u;
    return (p->dice >> 33) % below;
}

static clock_us theirs(const struct pair *p, clock_us ours) {
    return (clock_us)((int64_t)ours + p->ahead + (int64_t)(ours / 1000000) * p->ppm);
}

static clock_us ask(struct pair *p, struct peer_clock *c, clock_us now) {
    clock_us there = 60 + roll(p, 40), back = 60 + roll(p, 40), held = roll(p, 3000), lies = p->busy_most ? roll(p, p->busy_most) : 0;
    clock_us arrives = now + there + lies, leaves = arrives + held, comes = leaves + back;
    peer_clock_asked(c, now);
    peer_clock_answered(c, now, theirs(p, arrives), theirs(p, leaves), comes);
    return comes;
}

static int64_t error_of(const struct pair *p, const struct peer_clock *c, clock_us now) {
    clock_us sent = now - 5000000;
    return (int64_t)peer_clock_hop_us(c, theirs(p, sent), now) - 5000000;
}

static void drifting_clocks_stay_known(void **state) {
    (void)state;
    static const struct pair pairs[] = {
        {.ppm = 50, .ahead = 7000000000},                    /* a machine that has run for longer */
        {.ppm = -50, .ahead = -7000},
        {.ppm = 100, .ahead = 0, .busy_most = 30000},        /* it computes, and reads when it is done */
        {.ppm = -100, .ahead = 3600000000, .busy_most = 200000},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct pair p = pairs[i];
        struct peer_clock c = {0};
        clock_us now = (clock_us)8 * HOUR * SECOND;
        int64_t worst = 0;
        p.dice = 77 + i;
        for (int k = 0; k < 5; k++) now = ask(&p, &c, now);
        for (uint32_t s = 0; s < 2 * HOUR; s++) {
            now += SECOND;
            assert_true(peer_clock_is_due(&c, now));
            int64_t off = error_of(&p, &c, now);
            worst = llabs(off) > worst ? llabs(off) : worst;
            now = ask(&p, &c, now);
        }
        if (worst > (p.busy_most ? 20000 : 300)) fail_msg("pair %zu: a hop was %lld us off", i, (long long)worst);
    }
}

/* The error of a single measurement after hours: the reason for asking again. */
static void a_clock_that_is_not_asked_again_is_wrong(void **state) {
    (void)state;
    struct pair p = {.ppm = 50, .dice = 1};
    struct peer_clock c = {0};
    clock_us now = ask(&p, &c, SECOND);
    assert_true(llabs(error_of(&p, &c, now + 6 * SECOND)) < 1000);
    assert_true(llabs(error_of(&p, &c, now + (clock_us)HOUR * SECOND)) > 170000);
}

static void odd_answers_are_ignored(void **state) {
    (void)state;
    struct peer_clock c = {0};
    peer_clock_answered(&c, 5, 6, 7, 8); /* to no question */
    assert_int_equal(c.answers, 0);
    peer_clock_asked(&c, 1000);
    assert_false(peer_clock_is_due(&c, 9 * SECOND)); /* one question at a time */
    peer_clock_answered(&c, 999, 6, 7, 2000);
    assert_int_equal(c.answers, 0);
    peer_clock_answered(&c, 1000, 500, 400, 2000); /* it left before it came */
    assert_int_equal(c.answers, 1);
    assert_true(c.measured_at == 0);
    assert_true(peer_clock_is_due(&c, 9 * SECOND));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(drifting_clocks_stay_known),
                                       cmocka_unit_test(a_clock_that_is_not_asked_again_is_wrong),
                                       cmocka_unit_test(odd_answers_are_ignored)};
    return cmocka_run_group_tests_name("peer_clock", tests, NULL, NULL);
}
