/* SPDX-License-Identifier: MIT
 * Which of several ways between two machines is used: what was measured decides, and small differences change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/path.h"

static struct plan_link way(double mbit, double ms) { return (struct plan_link){.throughput = mbit * 1e6 / 8, .rtt_s = ms / 1e3}; }

static uint32_t choose(struct plan_link a, struct plan_link b, uint32_t used) { return path_choose((struct plan_link[]){a, b}, 2, used); }

static void the_faster_one_is_used_whichever_stood_first(void **state) {
    (void)state;
    assert_int_equal(choose(way(4, 1), way(1000, 1), 0), 1);
    assert_int_equal(choose(way(4, 1), way(1000, 1), 1), 1);
    assert_int_equal(choose(way(1000, 3), way(100, 0.2), 1), 0); /* throughput comes first */
}

static void of_two_that_carry_as_much_the_nearer_one(void **state) {
    (void)state;
    assert_int_equal(choose(way(900, 20), way(1000, 1), 0), 1);
    assert_int_equal(choose(way(1000, 1), way(900, 20), 0), 0);
    assert_int_equal(choose(way(1000, 0.1), way(1000, 0.25), 1), 1); /* noise */
}

static void small_differences_and_guesses_change_nothing(void **state) {
    (void)state;
    assert_int_equal(choose(way(1000, 1), way(1400, 1), 0), 0);
    assert_int_equal(choose(way(0, 1), way(1000, 1), 0), 0); /* the first one has not been measured */
    assert_int_equal(choose(way(4, 1), way(0, 0.1), 0), 0);
    struct plan_link three[] = {way(4, 1), way(100, 1), way(1000, 1)};
    assert_int_equal(path_choose(three, 3, 0), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_faster_one_is_used_whichever_stood_first),
                                       cmocka_unit_test(of_two_that_carry_as_much_the_nearer_one),
                                       cmocka_unit_test(small_differences_and_guesses_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
