/* SPDX-License-Identifier: MIT
 * The way of spans to a collector: they wait for others, leave together, come back while the collector is busy, and are dropped and counted
 * where there is no place, or where it will never take them. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "trace/batch.h"

enum { SECOND = 1000000 };

static struct trace_batch *b;
static struct buf body;

static int setup(void **state) {
    (void)state;
    b = trace_batch_create("<", ">");
    buf_init(&body, SIZE_MAX - 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    trace_batch_free(b);
    buf_done(&body);
    return 0;
}

static void add(clock_us now, const char *spans, size_t n) {
    struct buf text;
    buf_init(&text, 100);
    buf_append_str(&text, spans);
    trace_batch_add(b, now, &text, n);
    buf_done(&text);
}

/* What is sent now; "": nothing. */
static const char *sent(clock_us now) {
    buf_clear(&body);
    return trace_batch_next(b, now, &body) ? buf_cstr(&body) : "";
}

static void expect(uint64_t exported, uint64_t dropped, uint64_t failures, size_t waiting) {
    struct trace_batch_counts c;
    trace_batch_count(b, &c);
    assert_int_equal(c.exported, exported);
    assert_int_equal(c.dropped, dropped);
    assert_int_equal(c.failures, failures);
    assert_int_equal(c.waiting, waiting);
}

static void spans_leave_together(void **state) {
    (void)state;
    assert_true(trace_batch_due(b) == UINT64_MAX);
    assert_string_equal(sent(5 * SECOND), "");
    add(5 * SECOND, "a", 1);
    assert_true(trace_batch_due(b) == 6 * SECOND);
    assert_string_equal(sent(6 * SECOND - 1), "");
    add(6 * SECOND - 1, "b,c", 2);
    assert_string_equal(sent(6 * SECOND), "<a,b,c>");
    assert_true(trace_batch_due(b) == UINT64_MAX);
    add(6 * SECOND, "d", 1); /* while the others are on their way */
    assert_string_equal(sent(9 * SECOND), "");
    expect(0, 0, 0, 4);
    trace_batch_answer(b, 9 * SECOND, 200, 0);
    expect(3, 0, 0, 1);
    assert_string_equal(sent(9 * SECOND), "<d>");
    trace_batch_answer(b, 9 * SECOND, 202, 0);
    expect(4, 0, 0, 0);
    assert_true(trace_batch_due(b) == UINT64_MAX);
}

static void many_spans_need_not_wait(void **state) {
    (void)state;
    add(SECOND, "a", 300);
    add(SECOND, "b", 300);
    assert_string_equal(sent(SECOND), "<a>"); /* more than a request has room for: the second one follows */
    trace_batch_answer(b, SECOND, 200, 0);
    assert_string_equal(sent(SECOND), "");
    add(SECOND, "c", TRACE_BATCH_SPANS + 1); /* a trace stays together */
    assert_string_equal(sent(SECOND), "<b>");
    trace_batch_answer(b, SECOND, 200, 0);
    assert_string_equal(sent(SECOND), "<c>");
    trace_batch_answer(b, SECOND, 200, 0);
    trace_batch_hurry(b);
    add(SECOND, "d", 1);
    assert_string_equal(sent(SECOND), "<d>");
}

static void a_busy_collector_is_asked_again(void **state) {
    (void)state;
    static const int busy[] = {0, 429, 502, 503, 504};
    clock_us now = 10 * SECOND, wait = SECOND;
    add(now - SECOND, "a", 1);
    for (size_t i = 0; i < ARRAY_LEN(busy); i++) {
        assert_string_equal(sent(now), "<a>");
        trace_batch_answer(b, now, busy[i], 0);
        assert_true(trace_batch_due(b) == now + wait);
        assert_string_equal(sent(now + wait - 1), "");
        now += wait;
        wait *= 2;
    }
    expect(0, 0, ARRAY_LEN(busy), 1);
    assert_string_equal(sent(now), "<a>");
    trace_batch_answer(b, now, 429, 7); /* it says itself when */
    assert_true(trace_batch_due(b) == now + 7 * SECOND);
    now += 7 * SECOND;
    assert_string_equal(sent(now), "<a>");
    trace_batch_answer(b, now, 503, 1000000);
    assert_true(trace_batch_due(b) == now + (clock_us)TRACE_BATCH_LONGEST_WAIT_S * SECOND);
    now += (clock_us)TRACE_BATCH_LONGEST_WAIT_S * SECOND;
    assert_string_equal(sent(now), "<a>");
    trace_batch_answer(b, now, 0, 0);
    assert_true(trace_batch_due(b) == now + (clock_us)TRACE_BATCH_LAST_BACKOFF_MS * 1000); /* it waits no longer than that by itself */
    now += (clock_us)TRACE_BATCH_LAST_BACKOFF_MS * 1000;
    assert_string_equal(sent(now), "<a>");
    trace_batch_answer(b, now, 200, 0);
    add(now, "b", 1);
    assert_string_equal(sent(now + SECOND), "<b>");
    trace_batch_answer(b, now + SECOND, 0, 0);
    assert_true(trace_batch_due(b) == now + 2 * SECOND); /* the next failure begins anew */
}

static void a_refusal_is_final(void **state) {
    (void)state;
    static const int refusals[] = {400, 401, 404, 413, 500, 301};
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        add(0, "a,b", 2);
        assert_string_equal(sent(SECOND), "<a,b>");
        trace_batch_answer(b, SECOND, refusals[i], 0);
        expect(0, 2 * (i + 1), i + 1, 0);
    }
}

/* A collector that never answers costs memory up to a bound, and then nothing. */
static void the_queue_is_bounded(void **state) {
    (void)state;
    for (int i = 0; i < TRACE_BATCH_QUEUE / 8; i++) add(0, "a", 8);
    expect(0, 0, 0, TRACE_BATCH_QUEUE);
    add(0, "b", 1);
    expect(0, 1, 0, TRACE_BATCH_QUEUE);
    assert_int_equal(strlen(sent(0)), 2 * TRACE_BATCH_SPANS / 8 + 1);
    add(0, "b", 5); /* what is on its way counts, too */
    expect(0, 6, 0, TRACE_BATCH_QUEUE);
    trace_batch_answer(b, 0, 200, 0);
    add(0, "b", 5);
    expect(TRACE_BATCH_SPANS, 6, 0, TRACE_BATCH_QUEUE - TRACE_BATCH_SPANS + 5);
    trace_batch_drop(b, 3);
    expect(TRACE_BATCH_SPANS, 9, 0, TRACE_BATCH_QUEUE - TRACE_BATCH_SPANS + 5);
    struct buf large, failed;
    buf_init(&large, TRACE_BATCH_BYTES + 1);
    for (int i = 0; i < TRACE_BATCH_BYTES / 16; i++) buf_append(&large, "0123456789abcdef", 16);
    trace_batch_add(b, 0, &large, 1);
    expect(TRACE_BATCH_SPANS, 10, 0, TRACE_BATCH_QUEUE - TRACE_BATCH_SPANS + 5);
    buf_init(&failed, 1);
    buf_append_str(&failed, "too long");
    trace_batch_add(b, 0, &failed, 2); /* half a trace would be no JSON */
    expect(TRACE_BATCH_SPANS, 12, 0, TRACE_BATCH_QUEUE - TRACE_BATCH_SPANS + 5);
    buf_done(&large);
    buf_done(&failed);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(spans_leave_together), TEST(many_spans_need_not_wait), TEST(a_busy_collector_is_asked_again),
                                       TEST(a_refusal_is_final), TEST(the_queue_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
