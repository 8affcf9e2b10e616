/* SPDX-License-Identifier: MIT
 * What derive.c, derive_marks.c and derive_form.c share. */
#ifndef CARAVAN_CHAT_DERIVE_PRIV_H
#define CARAVAN_CHAT_DERIVE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "chat/toolcall.h"

/* The calls that are rendered: DERIVE_NAME, then DERIVE_OTHER, with the arguments probe_key ("probe-value") and probe_more (7). */
#define DERIVE_NAME  "probe_name"
#define DERIVE_OTHER "probe_other"

/* A piece of the rendered text. */
struct piece {
    const char *p;
    size_t n;
};

/* The form of one call, as pieces of the rendered text. A piece of length 0 is not written. */
struct derive_form {
    struct piece core;              /* the call between the marks that open and close it */
    struct piece name_end, name_key, arguments_key;
    struct piece key_open, key_close, value_open, value_close, type_open, type_end;
    struct piece assign, arguments_end, quote;
    bool name_is_key, value_lines;
};

/* Finds the form of the first call of this name in the text. False: it has none of the forms that struct toolcall_format can express. */
bool chat_derive_form(struct piece text, const char *name, struct derive_form *ret);
/* Makes the format of the calls in the rendered texts; two may be NULL. NULL: no form fits. The caller owns it: toolcall_format_free. */
struct toolcall_format *chat_derive_marks(const char *one, const char *two);

/* derive_trim: the piece without blanks at its ends. derive_from_sign: its part from the first character on that may begin a mark. */
struct piece derive_trim(struct piece piece);
struct piece derive_from_sign(struct piece piece);
/* The longest common end, or beginning, of two pieces, as a piece of a. */
struct piece derive_common_end(struct piece a, struct piece b);
struct piece derive_common_start(struct piece a, struct piece b);
struct piece derive_between(const char *from, const char *to);
bool derive_equal(struct piece a, const char *b);

#endif
