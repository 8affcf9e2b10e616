/* SPDX-License-Identifier: MIT
 * Two coordinators of one model, in every combination of states: they never both give up the model, and a model that can be asked stays
 * so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/rival.h"

static struct rival made(uint64_t node, unsigned bits) {
    return (struct rival){
        .node = node, .ready = bits & 1, .pinned = bits & 2, .failed = bits & 4, .stuck = bits & 8 && !(bits & 1), .asked = bits >> 4};
}

static void every_combination(void **state) {
    (void)state;
    for (unsigned a = 0; a < 48; a++)
        for (unsigned b = 0; b < 48; b++) {
            struct rival x = made(3, a), y = made(7, b), x_told = x, y_told = y;
            x_told.stuck = y_told.stuck = false;
            bool x_goes = rival_yields(&x, &y_told), y_goes = rival_yields(&y, &x_told);
            if (x_goes && y_goes) fail_msg("both let go: %u %u", a, b);
            if (x_goes && x.ready && !y.ready) fail_msg("one that is ready lets go for one that is not: %u %u", a, b);
            if (y_goes && y.ready && !x.ready) fail_msg("one that is ready lets go for one that is not: %u %u", a, b);
            bool twice = !x.failed && !y.failed && x.ready && y.ready && !(x.pinned && y.pinned);
            if (twice && !x_goes && !y_goes) fail_msg("both stay: %u %u", a, b);
        }
}

static void who_stays(void **state) {
    (void)state;
    struct rival small = {.node = 3, .ready = true}, great = {.node = 7, .ready = true};
    assert_true(rival_yields(&great, &small));
    assert_false(rival_yields(&small, &great));
    great.pinned = true; /* the machine that was given it by name, back after its model had been taken over */
    assert_true(rival_yields(&small, &great));
    assert_false(rival_yields(&great, &small));
    great.ready = false; /* while it loads, the other goes on */
    assert_false(rival_yields(&small, &great));
    assert_false(rival_yields(&great, &small));
    great.stuck = true;  /* the other has the room: it may as well keep the model */
    assert_true(rival_yields(&great, &small));
    great = (struct rival){.node = 7, .ready = true};
    small.ready = false; /* not yet loaded here, and it need not be */
    assert_true(rival_yields(&small, &great));
    great.failed = true;
    assert_false(rival_yields(&small, &great));
}

/* The wish of the user counts, and the last one more than an earlier one. */
static void who_was_asked_for(void **state) {
    (void)state;
    struct rival asked = {.node = 7, .ready = true, .asked = 100}, by_request = {.node = 3, .ready = true};
    assert_true(rival_yields(&by_request, &asked));
    assert_false(rival_yields(&asked, &by_request));
    by_request.asked = 99;
    assert_true(rival_yields(&by_request, &asked));
    assert_false(rival_yields(&asked, &by_request));
    asked.ready = false; /* the other one answers until this one can */
    assert_false(rival_yields(&by_request, &asked));
    assert_false(rival_yields(&asked, &by_request));
    asked.stuck = true;
    assert_true(rival_yields(&asked, &by_request));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_combination), cmocka_unit_test(who_stays),
                                       cmocka_unit_test(who_was_asked_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
