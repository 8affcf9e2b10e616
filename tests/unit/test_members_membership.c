/* SPDX-License-Identifier: MIT
 * What a membership keeps is bounded, however many nodes a member invents; records of linked nodes come first. (What nodes believe of each
 * other: tests/sim/test_sim_membership.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "members/membership.h"

enum { BIG = 1 << 20, NODES = 200 };

static size_t kept(const struct membership *m) {
    size_t bytes = 0;
    const struct member *k;
    for (size_t i = 0; (k = membership_get(m, i)) != NULL; i++) bytes += k->record_len;
    return bytes;
}

static void invented_nodes_take_bounded_memory(void **state) {
    (void)state;
    struct membership *m = membership_create(1, 1, 1);
    uint8_t *record = mem_zalloc(BIG);
    for (uint64_t id = 100; id < 100 + NODES; id++) membership_record(m, 1000, id, 1, 1, record, BIG);
    assert_int_equal(kept(m), MEMBERSHIP_BYTES);
    membership_link_up(m, 2000, 2, 1);
    membership_record(m, 2000, 2, 1, 1, record, BIG);
    assert_int_equal(membership_find(m, 2)->record_len, BIG); /* an invented one went for it */
    assert_int_equal(kept(m), MEMBERSHIP_BYTES);
    membership_record(m, 3000, 2, 1, 2, record, BIG / 2); /* its next record takes the place of this one */
    assert_int_equal(membership_find(m, 2)->version, 2);
    assert_int_equal(kept(m), MEMBERSHIP_BYTES - BIG / 2);
    free(record);
    membership_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(invented_nodes_take_bounded_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
