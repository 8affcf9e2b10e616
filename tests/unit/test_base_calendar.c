/* SPDX-License-Identifier: MIT
 * Days and months: every day of two centuries, one after another, and texts that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/calendar.h"

enum { DAYS = 73049 /* 1970 to 2169 */ };

static bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static void every_day_is_counted(void **state) {
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 1970, month = 0, date = 1;
    int64_t month_began = 0;
    for (int64_t day = 0; day < DAYS; day++) {
        char text[CALENDAR_TEXT], want[48];
        int64_t noon = day * CALENDAR_DAY_S + CALENDAR_DAY_S / 2, back;
        int length = lengths[month] + (month == 1 && is_leap(year));
        if (date == 1) month_began = day * CALENDAR_DAY_S;
        snprintf(want, sizeof(want), "%04d-%02d-%02d", year, month + 1, date);
        calendar_day_text(day, text);
        assert_string_equal(text, want);
        assert_true(calendar_day_parse(text, &back));
        assert_int_equal(back, day);
        assert_int_equal(calendar_day(noon), day);
        assert_int_equal(calendar_month(noon), 12 * year + month);
        assert_int_equal(calendar_next_day(noon), (day + 1) * CALENDAR_DAY_S);
        assert_int_equal(calendar_month_begin(noon), month_began);
        assert_int_equal(calendar_next_month(noon), (day + length - date + 1) * CALENDAR_DAY_S);
        if (++date <= length) continue;
        date = 1;
        if (++month < 12) continue;
        month = 0;
        year++;
    }
}

static void seconds_at_the_border(void **state) {
    (void)state;
    assert_int_equal(calendar_day(86399), 0);
    assert_int_equal(calendar_day(86400), 1);
    assert_int_equal(calendar_next_day(86400), 172800);
    assert_int_equal(calendar_day(-1), -1);
}

static void texts_that_are_no_days(void **state) {
    (void)state;
    static const char *const bad[] = {"",           "2026-11-3",  "2026-13-01",  "2026-02-30", "2025-02-29", "2026-00-01",
                                      "2026-01-00", "1969-12-31", "2026-11-29 ", "26-11-2900", "2026/11/29", "2026-11-+1"};
    int64_t day;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) assert_false(calendar_day_parse(bad[i], &day));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_is_counted),
        cmocka_unit_test(seconds_at_the_border),
        cmocka_unit_test(texts_that_are_no_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
