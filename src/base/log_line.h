/* SPDX-License-Identifier: MIT
 * One log line as a value, and its two forms: text for people ("2026-11-29 12:00:01.234 info  stage 1 ring: link open"), and a JSON object
 * for programs. Both are one line of valid UTF-8, whatever bytes the parts hold; what doesn't fit is cut at the end of the message.
 * No memory is allocated for writing, since lines are also written when there is none. Pure, any thread. base/log.h writes lines. */
#ifndef CARAVAN_BASE_LOG_LINE_H
#define CARAVAN_BASE_LOG_LINE_H

#include "base/json.h"
#include "base/log.h"

enum { LOG_LINE_TEXT = 2048, LOG_LINE_JSON = 6144, LOG_LINE_FIELDS = 16 };

struct log_line {
    const char *time;          /* RFC 3339, local, with milliseconds and the zone: "2026-11-29T12:00:01.234+01:00" */
    const char *level;
    const char *node;          /* the node's name; this and what follows may be "" */
    const char *process;       /* "stage 1" */
    const char *area;          /* the part of the program */
    const char *request;       /* x-request-id */
    const char *trace, *span;  /* of OpenTelemetry: 32 and 16 hexadecimal digits */
    const char *message;
    const struct log_field *fields;
    size_t n_fields;
};

/* Both end with a newline and a NUL, and return the length without the NUL. */
size_t log_line_text(const struct log_line *l, char ret[LOG_LINE_TEXT + 1]);
size_t log_line_json(const struct log_line *l, char ret[LOG_LINE_JSON + 1]);
/* Reads an object that log_line_json has written. The line's texts point into the object, its fields into `fields`. false: it is another
 * object. */
bool log_line_read(yyjson_val *root, struct log_line *ret, struct log_field fields[LOG_LINE_FIELDS]);

#endif
