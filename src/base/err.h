/* SPDX-License-Identifier: MIT
 * Errors: one code from one table (tables/errors.def), and the details in a small struct that the caller owns.
 *
 * A fallible function returns err_code (ERR_OK is 0). If it can say more than the code, its last argument is a `struct err *`, which may
 * be NULL. Outputs are named ret_x and are untouched on failure. Library code fills in the struct and returns; only main and the
 * outermost callers print it. A struct err is not shared between threads: each belongs to one caller. */
#ifndef CARAVAN_BASE_ERR_H
#define CARAVAN_BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

typedef enum err_code {
#define ERR(name, text, http, exit) ERR_##name,
#include "../../tables/errors.def"
#undef ERR
    ERR_COUNT
} err_code;

/* text: what failed, the subject in quotes, the cause. hint: what to do about it, may be empty. */
/* field: the field of a request or a message that it is about, by its path ("messages[2].role"), as the sender wrote it; mostly empty. */
enum { ERR_FIELD_SIZE = 128 };
struct err {
    err_code code;
    char text[400];
    char hint[240];
    char field[ERR_FIELD_SIZE];
    uint32_t retry_s; /* seconds after which another attempt makes sense; 0: not known */
};

/* Fills *e (if not NULL) with code and a formatted text, clears the hint and the field, and returns code. */
err_code err_set(struct err *e, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set, with ": <strerror(errnum)>" appended. */
err_code err_set_errno(struct err *e, err_code code, int errnum, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* As err_set, of a field: its name stands in e->field, and before the text, as `field "NAME": `. */
err_code err_set_field(struct err *e, err_code code, const char *field, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The error, which is set already, is about this field: it stands before the text, too. Does nothing if e is NULL. */
void err_in_field(struct err *e, const char *field);
/* The error's field is one of the object in the field `outer`: "top_k" becomes "options.top_k". Does nothing if the error has no field. */
void err_in_object(struct err *e, const char *outer);
/* A field's name that has to be formatted: err_place("messages[%zu]", i).text. */
struct err_place {
    char text[ERR_FIELD_SIZE];
};
struct err_place err_place(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Sets the hint of an error that is set already. Does nothing if e is NULL. */
void err_retry(struct err *e, int64_t seconds); /* sets retry_s, from 1 to a month; the rest as err_hint */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<prefix>: " before the text of an error that is set already. Does nothing if e is NULL. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_name(err_code code);  /* "NO_ROOM" */
const char *err_text(err_code code);  /* "does not fit" */
int err_http_status(err_code code);
int err_exit_code(err_code code);
/* The code with this name. ERR_INTERNAL for an unknown name, which may come from a newer peer. */
err_code err_from_name(const char *name);

/* How an error is encoded in every message that carries one: {"error": name, "text", "hint", "field"} (base/field.h). */
struct field_set;
const struct field_set *err_fields(void);

#endif
