/* SPDX-License-Identifier: MIT
 * The line of progress: its text while the rate is not known, in the middle, and at the end. */
#include "terminal/bar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void expect(uint64_t done, uint64_t total, double rate, const char *wanted) {
    struct bar b = {.what = "the whole model", .unit = "positions"};
    struct buf out;
    buf_init(&out, 1024);
    bar_put(&b, done, total, rate, &out);
    assert_string_equal(buf_cstr(&out), wanted);
    buf_done(&out);
}

static void test_text(void **state) {
    (void)state;
    expect(0, 80, 0, "the whole model [....................]   0 %  0 of 80 positions");
    expect(40, 80, 12.34, "the whole model [##########..........]  50 %  40 of 80 positions  12.3 a second  3.2 s left");
    expect(80, 80, 12.34, "the whole model [####################] 100 %  80 of 80 positions");
    expect(0, 0, 0, "the whole model [....................]   0 %  0 of 0 positions");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
