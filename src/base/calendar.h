/* SPDX-License-Identifier: MIT
 * Days and months of the calendar, UTC, for quotas, caps and counts. Times are seconds since 1970. Pure, any thread. */
#ifndef CARAVAN_BASE_CALENDAR_H
#define CARAVAN_BASE_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALENDAR_DAY_S = 86400, CALENDAR_TEXT = 11 };

int64_t calendar_day(int64_t now);         /* days since 1970 */
int64_t calendar_month(int64_t now);       /* twelve times the year, and the month from 0 */
int64_t calendar_next_day(int64_t now);    /* when the next day begins */
int64_t calendar_next_month(int64_t now);  /* when the next month begins */
int64_t calendar_month_begin(int64_t now); /* when this month began */
/* A day as "2026-11-29" (ISO 8601), and back; false: it is no such text, or no day of the calendar. */
void calendar_day_text(int64_t day, char ret[CALENDAR_TEXT]);
bool calendar_day_parse(const char *text, int64_t *ret_day);

#endif
