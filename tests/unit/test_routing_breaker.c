/* SPDX-License-Identifier: MIT
 * Classes of failures, and the breaker that hears of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "routing/breaker.h"
#include "routing/failure.h"

#define SECOND 1000000u

static void a_clients_fault_is_no_places_fault(void **state) {
    (void)state;
    for (int status = 200; status < 600; status++) {
        const struct failure *f = failure_of_status(status);
        bool clients = f->id == FAILURE_CLIENT;
        assert_true(!clients || (!f->counts && !f->moves));
        assert_true(!clients || (status >= 400 && status < 500));
        if (status >= 500 && status != 529) assert_true(f->counts && f->moves && f->reason == ROUTING_FAILED);
    }
    static const int clients[] = {400, 405, 406, 411, 413, 415, 422};
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) assert_int_equal(failure_of_status(clients[i])->id, FAILURE_CLIENT);
    assert_int_equal(failure_of_status(200)->id, FAILURE_NONE);
    assert_int_equal(failure_of_status(302)->id, FAILURE_BROKEN);
    assert_int_equal(failure_of_status(401)->id, FAILURE_BROKEN);
    assert_int_equal(failure_of_status(404)->reason, ROUTING_ABSENT);
    assert_int_equal(failure_of_status(429)->id, FAILURE_LIMITED);
    assert_int_equal(failure_of_status(529)->id, FAILURE_LIMITED);
    assert_int_equal(failure_of_error(ERR_INVALID)->id, FAILURE_CLIENT);
    assert_int_equal(failure_of_error(ERR_CANCELLED)->id, FAILURE_CLIENT);
    assert_int_equal(failure_of_error(ERR_BUSY)->reason, ROUTING_FULL);
    assert_int_equal(failure_of_error(ERR_NO_MODEL)->reason, ROUTING_ABSENT);
    assert_true(failure_of_error(ERR_TIMEOUT)->counts);
    assert_string_equal(failure_of_error(ERR_OK)->name, "none");
    assert_int_equal(failure_of_error((err_code)9999)->id, FAILURE_BROKEN); /* of a newer peer */
}

static void it_opens_and_is_probed_by_one(void **state) {
    (void)state;
    struct breaker b;
    clock_us now = 10 * SECOND;
    breaker_init(&b, 3);
    for (int i = 0; i < 2; i++) {
        breaker_begin(&b);
        breaker_failed(&b, now);
        assert_int_equal(breaker_state(&b, now), BREAKER_CLOSED);
    }
    breaker_begin(&b);
    breaker_begin(&b);
    breaker_failed(&b, now);
    assert_int_equal(breaker_state(&b, now), BREAKER_OPEN);
    assert_false(breaker_allows(&b, now + SECOND / 2 - 1));
    now += SECOND / 2;
    assert_int_equal(breaker_state(&b, now), BREAKER_HALF_OPEN);
    assert_false(breaker_allows(&b, now)); /* one of the earlier requests still runs */
    breaker_left(&b);
    assert_true(breaker_allows(&b, now));
    breaker_begin(&b);
    assert_false(breaker_allows(&b, now));
    breaker_failed(&b, now); /* the probe fails: it waits twice as long */
    assert_false(breaker_allows(&b, now + SECOND - 1));
    now += SECOND;
    breaker_begin(&b);
    breaker_worked(&b);
    assert_int_equal(breaker_state(&b, now), BREAKER_CLOSED);
    assert_true(breaker_allows(&b, now));
}

static void pauses_grow_to_their_bound(void **state) {
    (void)state;
    struct breaker b;
    breaker_init(&b, 1);
    clock_us now = SECOND, last = 0;
    for (int i = 0; i < 20; i++) {
        breaker_begin(&b);
        breaker_failed(&b, now);
        clock_us pause = b.until - now;
        assert_true(pause >= last && pause <= 30 * SECOND);
        last = pause;
        now = b.until;
    }
    assert_true(last == 30 * SECOND);
}

static void it_rests_as_long_as_it_was_asked_to(void **state) {
    (void)state;
    struct breaker b;
    breaker_init(&b, 3);
    breaker_rest(&b, SECOND, 7 * SECOND);
    breaker_rest(&b, SECOND, 2 * SECOND); /* a shorter word doesn't shorten it */
    assert_int_equal(breaker_state(&b, 8 * SECOND - 1), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 8 * SECOND), BREAKER_CLOSED);
    breaker_rest(&b, 0, UINT64_MAX);
    assert_true(b.until == (clock_us)86400 * SECOND);
    breaker_left(&b); /* nothing is there: it stays at none */
    assert_int_equal(b.running, 0);
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half-open");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clients_fault_is_no_places_fault),
        cmocka_unit_test(it_opens_and_is_probed_by_one),
        cmocka_unit_test(pauses_grow_to_their_bound),
        cmocka_unit_test(it_rests_as_long_as_it_was_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
