/* SPDX-License-Identifier: MIT
 * Philox4x32-10 against the known answers that its authors publish (Random123, kat_vectors), and the uniform numbers made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/philox.h"

static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t got[4];
        engine_philox(rows[i].counter, rows[i].key, got);
        assert_memory_equal(got, rows[i].want, sizeof(got));
    }
}

static void uniform_is_uniform(void **state) {
    (void)state;
    enum { N = 100000, BINS = 20 };
    uint32_t count[BINS] = {0};
    for (int32_t pos = 0; pos < N; pos++) {
        double u = engine_uniform(42, pos, 0);
        assert_true(u >= 0 && u < 1);
        count[(int)(u * BINS)]++;
    }
    double chi2 = 0;
    for (int i = 0; i < BINS; i++) chi2 += ((double)count[i] - N / BINS) * ((double)count[i] - N / BINS) / (N / BINS);
    assert_true(chi2 < 43.8); /* 19 degrees of freedom, 0.1 % */
}

static void every_argument_counts(void **state) {
    (void)state;
    double u = engine_uniform(1, 2, 3);
    assert_true(u == engine_uniform(1, 2, 3));
    assert_true(u != engine_uniform(2, 2, 3));
    assert_true(u != engine_uniform(UINT64_C(1) << 40 | 1, 2, 3));
    assert_true(u != engine_uniform(1, 3, 3));
    assert_true(u != engine_uniform(1, 2, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(every_argument_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
