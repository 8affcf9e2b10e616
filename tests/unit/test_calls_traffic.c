/* SPDX-License-Identifier: MIT
 * What nodes say of their ring links: the last word counts, and nodes that are gone are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calls/traffic.h"

static bool keep(void *user, uint64_t node) { return node == *(uint64_t *)user; }

static void the_last_word_counts(void **state) {
    (void)state;
    const struct ask_link first[] = {{.instance = "a", .stage = 0, .sent = 10}, {.instance = "a", .stage = 1, .sent = 20}};
    const struct ask_link later = {.instance = "a", .stage = 1, .sent = 30};
    uint64_t stays = 2;
    struct traffic *t = traffic_create();
    traffic_hear(t, 1, NULL, 0);
    assert_null(traffic_find(t, 1, "a", 0));
    traffic_hear(t, 1, first, 2);
    traffic_hear(t, 2, &later, 1);
    assert_int_equal(traffic_find(t, 1, "a", 0)->sent, 10);
    assert_int_equal(traffic_find(t, 1, "a", 1)->sent, 20);
    assert_int_equal(traffic_find(t, 2, "a", 1)->sent, 30);
    assert_null(traffic_find(t, 1, "b", 0));
    assert_null(traffic_find(t, 3, "a", 0));
    traffic_hear(t, 1, &later, 1);
    assert_null(traffic_find(t, 1, "a", 0));
    assert_int_equal(traffic_find(t, 1, "a", 1)->sent, 30);
    traffic_sweep(t, keep, &stays);
    assert_null(traffic_find(t, 1, "a", 1));
    assert_int_equal(traffic_find(t, 2, "a", 1)->sent, 30);
    traffic_hear(t, 2, NULL, 0);
    assert_null(traffic_find(t, 2, "a", 1));
    traffic_free(t);
    traffic_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_word_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
