/* SPDX-License-Identifier: MIT
 * Errors: one code from one table (tables/errors.def), and the details in a small struct that the caller owns.
 *
 * A fallible function returns err_code (ERR_OK is 0). If it can say more than the code, its last argument is a `struct err *`, which may
 * be NULL. Outputs are named ret_x and are untouched on failure. Library code fills in the struct and returns; only main and the
 * outermost callers print it. A struct err is not shared between threads: each belongs to one caller. */
#ifndef CARAVAN_BASE_ERR_H
#define CARAVAN_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

typedef enum err_code {
#define ERR(name, text, http, exit) ERR_##name,
#include "../../tables/errors.def"
#undef ERR
    ERR_COUNT
} err_code;

/* text: what failed, the subject in quotes, the cause. hint: what to do about it, may be empty. */
struct err {
    err_code code;
    char text[400];
    char hint[240];
};

/* Fills *e (if not NULL) with code and a formatted text, clears the hint, and returns code. */
err_code err_set(struct err *e, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set, with ": <strerror(errnum)>" appended. */
err_code err_set_errno(struct err *e, err_code code, int errnum, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Sets the hint of an error that is set already. Does nothing if e is NULL. */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<prefix>: " before the text of an error that is set already. Does nothing if e is NULL. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_name(err_code code);  /* "NO_ROOM" */
const char *err_text(err_code code);  /* "does not fit" */
int err_http_status(err_code code);
int err_exit_code(err_code code);
/* The code with this name. ERR_INTERNAL for an unknown name, which may come from a newer peer. */
err_code err_from_name(const char *name);

/* How an error is encoded in every message that carries one: {"error": name, "text", "hint"} (base/field.h). */
struct field_set;
const struct field_set *err_fields(void);

#endif
