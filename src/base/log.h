/* SPDX-License-Identifier: MIT
 * Log lines on standard error: "2026-11-29 12:00:01.234 info  ring: link to stage 1 open", or a JSON object a line (log_line.h). One
 * write(2) a line, so lines of several processes never mix; level from option/environment (CARAVAN_LOG=error|warn|info|debug). Any thread.
 * A library function that returns an error does not log it as well. */
#ifndef CARAVAN_BASE_LOG_H
#define CARAVAN_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_level_parse(const char *name, enum log_level *ret_level);
/* A word in every line of this process, e.g. "stage 1" (copied, at most 31 bytes). */
void log_set_name(const char *name);
/* The node's name, for lines in JSON (copied, at most 63 bytes). The name, the form, the level and the file are those of the processes that
 * this one starts, too (CARAVAN_LOG_NODE, _FORMAT, _LEVEL, _FILE). */
void log_set_node(const char *name);
void log_set_json(bool json);
/* Writes each line to this file too, always in JSON. A file that has grown past LOG_FILE_MAX
 * becomes PATH.1, and a new one begins. false: it cannot be opened; errno says why. */
enum { LOG_FILE_MAX = 8 << 20 };
bool log_to_file(const char *path);
void log_write(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Besides its message a line may have fields: in text " name=value" follows the message. */
struct log_field {
    const char *name, *text; /* text NULL: a number */
    int64_t number;
};
void log_write_fields(enum log_level level, const char *area, const struct log_field *fields, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The request that a thread works on: the thread's lines name it. */
enum { LOG_REQUEST_SIZE = 129, LOG_TRACE_SIZE = 56 };
struct log_request {
    char id[LOG_REQUEST_SIZE]; /* x-request-id; "": none */
    char trace[LOG_TRACE_SIZE]; /* W3C's traceparent, well-formed, or "" */
};
/* From here on the calling thread works on r, until log_leave gets back what it worked on before. r is copied. */
struct log_request log_enter(const struct log_request *r);
void log_leave(const struct log_request *before);

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
