/* SPDX-License-Identifier: MIT
 * Nodes that are left out of plans for a while: after two failures of their own in a row, until some time has passed or a load has
 * worked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/barred.h"

static struct plan_node node_of(uint64_t id) {
    struct plan_node n = {.id = id};
    snprintf(n.name, sizeof(n.name), "n%u", (unsigned)id);
    return n;
}

static void fails(struct barred *b, clock_us now, uint64_t id, err_code code, const char *text) {
    const struct plan_node n = node_of(id);
    struct err why;
    err_set(&why, code, "%s", text);
    barred_failed(b, now, &n, &why);
}

static void two_failures_in_a_row_bar_a_node_for_a_while(void **state) {
    (void)state;
    struct barred b = {0};
    fails(&b, 100, 7, ERR_IO, "the disk is full");
    assert_null(barred_find(&b, 100, 7));
    fails(&b, 200, 7, ERR_IO, "the disk is still full\nand more");
    const struct barred_node *x = barred_find(&b, 200, 7);
    assert_non_null(x);
    assert_string_equal(x->name, "n7");
    assert_string_equal(x->why, "the disk is still full"); /* one line for people */
    assert_null(barred_find(&b, 200, 8));
    assert_non_null(barred_find(&b, 199 + BARRED_US, 7));
    assert_null(barred_find(&b, 200 + BARRED_US, 7));
    fails(&b, 300 + BARRED_US, 7, ERR_IO, "full"); /* it was not better */
    assert_non_null(barred_find(&b, 300 + BARRED_US, 7));
}

static void a_load_that_works_ends_it(void **state) {
    (void)state;
    struct barred b = {0};
    fails(&b, 100, 7, ERR_MEMORY, "x");
    fails(&b, 100, 8, ERR_MEMORY, "x");
    barred_worked(&b, 7);
    fails(&b, 200, 7, ERR_MEMORY, "x"); /* the first one since */
    fails(&b, 200, 8, ERR_MEMORY, "x");
    assert_null(barred_find(&b, 200, 7));
    assert_non_null(barred_find(&b, 200, 8));
    barred_worked(&b, 8);
    assert_null(barred_find(&b, 200, 8));
}

static void trouble_that_passes_does_not_count(void **state) {
    (void)state;
    static const err_code passes[] = {ERR_NETWORK, ERR_TIMEOUT, ERR_CLOSED,    ERR_PROTOCOL,
                                      ERR_STALE,   ERR_BUSY,    ERR_CANCELLED, ERR_UNAVAILABLE};
    struct barred b = {0};
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++)
        for (int k = 0; k < 3; k++) fails(&b, 100, 7, passes[i], "x");
    assert_null(barred_find(&b, 100, 7));
    fails(&b, 100, 7, ERR_ENGINE, "x");
    fails(&b, 100, 7, ERR_NETWORK, "x"); /* nor does it end the row */
    fails(&b, 100, 7, ERR_ENGINE, "x");
    assert_non_null(barred_find(&b, 100, 7));
}

static void the_node_that_failed_longest_ago_makes_room(void **state) {
    (void)state;
    struct barred b = {0};
    for (uint64_t id = 1; id <= BARRED_MAX; id++) {
        fails(&b, 100, id, ERR_IO, "x");
        fails(&b, 100, id, ERR_IO, "x");
    }
    fails(&b, 100, 1, ERR_IO, "x"); /* now 2 is the oldest */
    fails(&b, 100, 99, ERR_IO, "x");
    assert_int_equal(b.n, BARRED_MAX);
    assert_null(barred_find(&b, 100, 2));
    assert_non_null(barred_find(&b, 100, 1));
    assert_non_null(barred_find(&b, 100, 3));
}

static void plans_use_the_others_in_their_order(void **state) {
    (void)state;
    struct barred b = {0};
    const struct plan_node nodes[] = {node_of(1), node_of(2), node_of(3)};
    struct plan_node use[3];
    fails(&b, 100, 2, ERR_IO, "x");
    assert_int_equal(barred_pick(&b, 100, nodes, 3, use), 3);
    fails(&b, 100, 2, ERR_IO, "x");
    assert_int_equal(barred_pick(&b, 100, nodes, 3, use), 2);
    assert_true(use[0].id == 1 && use[1].id == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_failures_in_a_row_bar_a_node_for_a_while), cmocka_unit_test(a_load_that_works_ends_it),
        cmocka_unit_test(trouble_that_passes_does_not_count),           cmocka_unit_test(the_node_that_failed_longest_ago_makes_room),
        cmocka_unit_test(plans_use_the_others_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
