/* SPDX-License-Identifier: MIT
 * Log lines on standard error: "2026-11-29 12:00:01.234 info  ring: link to stage 1 open". One write(2) a line, so lines of several
 * processes never mix; level from option/environment (CARAVAN_LOG=error|warn|info|debug). Any thread. A library function
 * that returns an error does not log it as well. */
#ifndef CARAVAN_BASE_LOG_H
#define CARAVAN_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_level_parse(const char *name, enum log_level *ret_level);
/* A word in every line of this process, e.g. "stage 1" (copied, at most 31 bytes). */
void log_set_name(const char *name);
void log_write(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* For lines that foreign peers can cause as often as they like: at most one a second is written, and the next one says how many were
 * left out. One limit for each kind of line; begin with {0}. Not for several threads at once. */
struct log_limit {
    uint64_t second; /* of the last line */
    unsigned left_out;
};
void log_warn_limited(struct log_limit *limit, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_write(LOG_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_write(LOG_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_write(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) \
    do { \
        if (log_get_level() >= LOG_DEBUG) log_write(LOG_DEBUG, area, __VA_ARGS__); \
    } while (0)

#endif
