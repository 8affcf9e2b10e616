/* SPDX-License-Identifier: MIT
 * Predictions beside published speeds: the table of errors is what plans say now, and the errors stay within bounds on the rows that the
 * hardware's figures were not tuned on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "paper/published.h"

struct compared {
    enum published_class class;
    bool moe, judge;
    double decode, prefill;
};
static struct compared *all;
static size_t n_all;

static int compare_all(void **state) {
    (void)state;
    n_all = published_count();
    all = mem_calloc(n_all, sizeof(*all));
    for (size_t i = 0; i < n_all; i++) {
        struct published_row r = published_at(i);
        double decode, prefill;
        char family[64];
        snprintf(family, sizeof(family), "%.*s", (int)(strrchr(r.hardware, '-') - r.hardware), r.hardware);
        if (!published_class_of(family, &all[i].class) || !published_predict(&r, &decode, &prefill, &all[i].moe))
            fail_msg("%s on %s cannot be planned", r.model, r.hardware);
        all[i].judge = r.judge;
        all[i].decode = r.decode > 0 ? decode / r.decode : 0;
        all[i].prefill = r.prefill > 0 ? prefill / r.prefill : 0;
    }
    return 0;
}

static int free_all(void **state) {
    (void)state;
    free(all);
    return 0;
}

static struct published_error spread(int class, int moe, bool prefill, bool judge) {
    double *q = mem_calloc(n_all, sizeof(*q));
    uint32_t n = 0;
    for (size_t i = 0; i < n_all; i++) {
        double value = prefill ? all[i].prefill : all[i].decode;
        if (all[i].judge == judge && value > 0 && (class == PUBLISHED_ANY || (int)all[i].class == class) && (moe < 0 || all[i].moe == moe))
            q[n++] = value;
    }
    struct published_error e = published_spread(q, n);
    free(q);
    return e;
}

static void the_table_of_errors_is_what_plans_say(void **state) {
    (void)state;
    for (int class = 0; class < PUBLISHED_CLASSES; class++)
        for (int moe = 0; moe < 2; moe++)
            for (int prefill = 0; prefill < 2; prefill++) {
                struct published_error is = spread(class, moe, prefill, true), table = published_error_of(class, moe, prefill);
                if (is.n == 0) is = spread(class, moe, prefill, false);
                if (is.n != table.n || is.p10 - table.p10 > 0.006 || table.p10 - is.p10 > 0.006 || is.median - table.median > 0.006 ||
                    table.median - is.median > 0.006 || is.p90 - table.p90 > 0.006 || table.p90 - is.p90 > 0.006)
                    fail_msg(
                        "class %d, moe %d, prefill %d: %u %.3f %.3f %.3f, the table has %u %.3f %.3f %.3f (plan_error --table writes it)",
                        class, moe, prefill, is.n, is.p10, is.median, is.p90, table.n, table.p10, table.median, table.p90);
            }
}

static void predictions_are_near_what_was_kept_for_judging(void **state) {
    (void)state;
    struct published_error decode = spread(PUBLISHED_ANY, -1, false, true), dense = spread(PUBLISHED_ANY, 0, true, true),
                           moe = spread(PUBLISHED_ANY, 1, true, true);
    assert_true(decode.n > 110 && decode.p10 > 0.845 && decode.median > 0.97 && decode.median < 1.03 && decode.p90 < 1.2);
    assert_true(dense.n > 10 && dense.p10 > 0.7 && dense.median > 0.9 && dense.median < 1.1 && dense.p90 < 1.4);
    assert_true(moe.p10 > 0.7 && moe.median > 0.9 && moe.median < 1.1 && moe.p90 < 1.4);
}

static void a_spread_is_of_the_sorted_values(void **state) {
    (void)state;
    double q[] = {1.5, 0.5, 1.0};
    struct published_error e = published_spread(q, 3);
    assert_true(e.n == 3 && e.median == 1.0 && e.p10 > 0.59 && e.p10 < 0.61 && e.p90 > 1.39 && e.p90 < 1.41);
    assert_int_equal(published_spread(q, 0).n, 0);
}

/* A Mac's GPU is Apple's, and RAM is a processor's, whatever the words of the row; of Intel's cards nothing is published. */
static void each_family_has_its_class(void **state) {
    (void)state;
    enum published_class c = PUBLISHED_ANY;
    for (size_t i = 0; i < hardware_count(); i++) {
        struct hardware_row h = hardware_at(i);
        bool known = published_class_of(h.family, &c);
        assert_true(known != (h.maker == HARDWARE_BY_INTEL));
        if (h.kind == HARDWARE_MAC) assert_int_equal(c, PUBLISHED_APPLE);
        if (h.kind == HARDWARE_RAM) assert_int_equal(c, PUBLISHED_CPU);
        if (known && h.kind == HARDWARE_CARD) assert_true(c == PUBLISHED_NVIDIA || c == PUBLISHED_AMD);
    }
    assert_true(published_class_of("framework-desktop", &c) && c == PUBLISHED_AMD);
    assert_false(published_class_of("mine", &c));
}

/* The half of a source that was added follows from its name alone. */
static void nobody_chooses_the_half_of_a_source(void **state) {
    (void)state;
    size_t found = 0;
    for (size_t i = 0; i < published_count(); i++) {
        struct published_row r = published_at(i);
        if (strcmp(r.source, "ggml-org/llama.cpp, pull request 16894") != 0 && strcmp(r.source, "ggml-org/llama.cpp, issue 4716") != 0)
            continue;
        assert_int_equal(r.judge, str_hash(r.source) % 2 == 1);
        found++;
    }
    assert_int_equal(found, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_errors_is_what_plans_say), cmocka_unit_test(predictions_are_near_what_was_kept_for_judging),
        cmocka_unit_test(a_spread_is_of_the_sorted_values),      cmocka_unit_test(each_family_has_its_class),
        cmocka_unit_test(nobody_chooses_the_half_of_a_source),
    };
    return cmocka_run_group_tests(tests, compare_all, free_all);
}
