/* SPDX-License-Identifier: MIT
 * The headers of W3C's trace context: read, refused, written, passed on; and which traces are recorded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "trace/context.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static void what_is_read_is_written(void **state) {
    (void)state;
    struct trace_context c;
    char text[TRACE_PARENT_SIZE];
    assert_true(trace_context_read("00-" TRACE "-" SPAN "-01", &c));
    assert_true(c.sampled && c.trace[0] == 0x0a && c.trace[15] == 0x9c && c.span[0] == 0xb7 && c.span[7] == 0x31);
    trace_context_write(&c, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-01");
    assert_true(trace_context_read("00-" TRACE "-" SPAN "-02", &c)); /* the flag of random ids */
    assert_false(c.sampled);
    trace_context_write(&c, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-00");
    assert_true(trace_context_read("cc-" TRACE "-" SPAN "-03-what-comes-one-day", &c)); /* a later version */
    assert_true(c.sampled);
    assert_true(trace_context_read("cc-" TRACE "-" SPAN "-01", &c));
}

static void nonsense_is_refused(void **state) {
    (void)state;
    static const char *const odd[] = {"",
                                      "00",
                                      "00-" TRACE "-" SPAN,
                                      "00-" TRACE "-" SPAN "-0",
                                      "00-" TRACE "-" SPAN "-01-more",
                                      "00-" TRACE "-" SPAN "-01 ",
                                      "ff-" TRACE "-" SPAN "-01",
                                      "cc-" TRACE "-" SPAN "-01.more",
                                      "0x-" TRACE "-" SPAN "-01",
                                      "00-00000000000000000000000000000000-" SPAN "-01",
                                      "00-" TRACE "-0000000000000000-01",
                                      "00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
                                      "00-" TRACE "_" SPAN "-01",
                                      "00-" TRACE "-" SPAN "_01",
                                      "00_" TRACE "-" SPAN "-01",
                                      "00-" TRACE "-b7ad6b716920333g-01",
                                      "00-" TRACE "-" SPAN "-0g"};
    struct trace_context c = {.sampled = true, .span = {7}};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        assert_false(trace_context_read(odd[i], &c));
        assert_true(c.sampled && c.span[0] == 7);
    }
    assert_false(trace_context_read(NULL, &c));
}

static void a_state_is_passed_on_if_it_fits(void **state) {
    (void)state;
    char ret[TRACE_STATE_SIZE], longest[TRACE_STATE_SIZE + 1];
    trace_context_state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", ret);
    assert_string_equal(ret, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    trace_context_state(NULL, ret);
    assert_string_equal(ret, "");
    trace_context_state("a=\x01", ret);
    assert_string_equal(ret, "");
    memset(longest, 'a', sizeof(longest));
    longest[TRACE_STATE_SIZE - 1] = '\0';
    trace_context_state(longest, ret);
    assert_string_equal(ret, longest);
    longest[TRACE_STATE_SIZE - 1] = 'a';
    longest[TRACE_STATE_SIZE] = '\0';
    trace_context_state(longest, ret);
    assert_string_equal(ret, "");
}

/* The share of traces is the ratio, and a trace that a low ratio takes is taken by each higher one. */
static void the_ratio_decides_by_the_random_bits(void **state) {
    (void)state;
    static const double ratios[] = {0, 0.01, 0.25, 0.5, 1};
    uint32_t taken[ARRAY_LEN(ratios)] = {0};
    for (uint32_t i = 0; i < 10000; i++) {
        uint8_t trace[16] = {0};
        trace[9] = (uint8_t)(i * 256 / 10000);
        trace[10] = (uint8_t)(i * 65536 / 10000);
        bool before = false;
        for (size_t k = 0; k < ARRAY_LEN(ratios); k++) {
            bool now = trace_context_draw(trace, ratios[k]);
            assert_true(now || !before);
            before = now;
            taken[k] += now;
        }
    }
    assert_int_equal(taken[0], 0);
    assert_int_equal(taken[4], 10000);
    assert_uint_in_range(taken[1], 90, 110);
    assert_uint_in_range(taken[2], 2450, 2550);
    assert_uint_in_range(taken[3], 4950, 5050);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_read_is_written), cmocka_unit_test(nonsense_is_refused),
                                       cmocka_unit_test(a_state_is_passed_on_if_it_fits),
                                       cmocka_unit_test(the_ratio_decides_by_the_random_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
