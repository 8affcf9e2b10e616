/* SPDX-License-Identifier: MIT
 * Errors: the table's texts, and filling in struct err. See err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const struct {
    const char *name;
    const char *text;
    int http;
    int exit;
} rows[] = {
#define ERR(name, text, http, exit) {#name, text, http, exit},
#include "../../tables/errors.def"
#undef ERR
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == ERR_COUNT, "one row for each error");

static size_t row_of(err_code code) { return (unsigned)code < ERR_COUNT ? (size_t)code : (size_t)ERR_INTERNAL; }

/* A text that was cut to fit must not end within a character: it may go into JSON. */
static void drop_half_character(char *text) {
    size_t len = strlen(text);
    text[len - str_utf8_incomplete(text, len)] = '\0';
}

static void fill(struct err *e, err_code code, const char *fmt, va_list args) {
    e->code = code;
    e->hint[0] = e->field[0] = '\0';
    e->retry_s = 0;
    vsnprintf(e->text, sizeof(e->text), fmt, args);
    drop_half_character(e->text);
}

err_code err_set(struct err *e, err_code code, const char *fmt, ...) {
    if (!e) return code;
    va_list args;
    va_start(args, fmt);
    fill(e, code, fmt, args);
    va_end(args);
    return code;
}

err_code err_set_errno(struct err *e, err_code code, int errnum, const char *fmt, ...) {
    if (!e) return code;
    va_list args;
    va_start(args, fmt);
    fill(e, code, fmt, args);
    va_end(args);
    char why[128];
    if (strerror_r(errnum, why, sizeof(why)) != 0) snprintf(why, sizeof(why), "error %d", errnum);
    size_t len = strlen(e->text);
    snprintf(e->text + len, sizeof(e->text) - len, ": %s", why);
    return code;
}

static void put_field(struct err *e, const char *field) {
    snprintf(e->field, sizeof(e->field), "%s", field);
    drop_half_character(e->field);
}

void err_in_field(struct err *e, const char *field) {
    if (!e) return;
    err_prefix(e, "field \"%s\"", field);
    put_field(e, field);
}

err_code err_set_field(struct err *e, err_code code, const char *field, const char *fmt, ...) {
    if (!e) return code;
    va_list args;
    va_start(args, fmt);
    fill(e, code, fmt, args);
    va_end(args);
    err_in_field(e, field);
    return code;
}

void err_in_object(struct err *e, const char *outer) {
    char front[sizeof(e->field) + 16], rest[sizeof(e->text)];
    if (!e || e->field[0] == '\0') return;
    int len = snprintf(front, sizeof(front), "field \"%s\": ", e->field);
    bool has_front = strncmp(e->text, front, (size_t)len) == 0;
    struct err_place place = err_place("%s.%s", outer, e->field);
    snprintf(rest, sizeof(rest), "%s", e->text + (has_front ? len : 0));
    memcpy(e->text, rest, sizeof(rest));
    err_in_field(e, place.text);
}

struct err_place err_place(const char *fmt, ...) {
    struct err_place place;
    va_list args;
    va_start(args, fmt);
    vsnprintf(place.text, sizeof(place.text), fmt, args);
    va_end(args);
    drop_half_character(place.text);
    return place;
}

void err_retry(struct err *e, int64_t seconds) {
    enum { MONTH = 31 * 86400 };
    if (e) e->retry_s = seconds < 1 ? 1 : seconds > MONTH ? MONTH : (uint32_t)seconds;
}

void err_hint(struct err *e, const char *fmt, ...) {
    if (!e) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->hint, sizeof(e->hint), fmt, args);
    va_end(args);
    drop_half_character(e->hint);
}

void err_prefix(struct err *e, const char *fmt, ...) {
    if (!e) return;
    char old[sizeof(e->text)];
    memcpy(old, e->text, sizeof(old));
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(e->text, sizeof(e->text), fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(e->text)) snprintf(e->text + len, sizeof(e->text) - (size_t)len, ": %s", old);
    drop_half_character(e->text);
}

const char *err_name(err_code code) { return rows[row_of(code)].name; }

const char *err_text(err_code code) { return rows[row_of(code)].text; }

int err_http_status(err_code code) { return rows[row_of(code)].http; }

int err_exit_code(err_code code) { return rows[row_of(code)].exit; }

err_code err_from_name(const char *name) {
    for (int i = 0; name && i < ERR_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0) return (err_code)i;
    return ERR_INTERNAL;
}
