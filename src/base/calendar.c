/* SPDX-License-Identifier: MIT
 * See calendar.h. */
#include "base/calendar.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct tm broken_down(int64_t now) {
    time_t t = (time_t)now;
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    return tm;
}

int64_t calendar_day(int64_t now) { return now / CALENDAR_DAY_S - (now % CALENDAR_DAY_S < 0); }

int64_t calendar_month(int64_t now) {
    struct tm tm = broken_down(now);
    return (tm.tm_year + 1900) * INT64_C(12) + tm.tm_mon;
}

int64_t calendar_next_day(int64_t now) { return (calendar_day(now) + 1) * CALENDAR_DAY_S; }

int64_t calendar_month_begin(int64_t now) { return (calendar_day(now) - (broken_down(now).tm_mday - 1)) * CALENDAR_DAY_S; }

int64_t calendar_next_month(int64_t now) {
    enum { LONGEST = 31 };
    return calendar_month_begin(calendar_month_begin(now) + INT64_C(86400) * LONGEST);
}

void calendar_day_text(int64_t day, char ret[CALENDAR_TEXT]) {
    struct tm tm = broken_down(day * CALENDAR_DAY_S);
    char text[64];
    snprintf(text, sizeof(text), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    memcpy(ret, text, CALENDAR_TEXT - 1);
    ret[CALENDAR_TEXT - 1] = '\0';
}

/* The number that n digits are; -1: they are no digits. */
static int digits(const char *text, size_t n) {
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = 10 * value + (text[i] - '0');
    }
    return value;
}

bool calendar_day_parse(const char *text, int64_t *ret_day) {
    char again[CALENDAR_TEXT];
    if (strlen(text) != CALENDAR_TEXT - 1 || text[4] != '-' || text[7] != '-') return false;
    int year = digits(text, 4), month = digits(text + 5, 2), date = digits(text + 8, 2);
    if (year < 1970 || month < 1 || month > 12 || date < 1) return false;
    int64_t at = INT64_C(365) * (year - 1970) * CALENDAR_DAY_S; /* in that year, or late in the one before */
    while (calendar_month(at) < INT64_C(12) * year) at = calendar_next_month(at);
    at = calendar_month_begin(at);
    while (calendar_month(at) < INT64_C(12) * year + month - 1) at = calendar_next_month(at);
    while (calendar_month(at) > INT64_C(12) * year + month - 1) at = calendar_month_begin(at - 1);
    *ret_day = calendar_day(at) + date - 1;
    calendar_day_text(*ret_day, again);
    return strcmp(again, text) == 0;
}
