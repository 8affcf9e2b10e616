/* SPDX-License-Identifier: MIT
 * Values as text, with Python's rules (show.c, and call.c for macros). */
#ifndef CARAVAN_JINJA_SHOW_PRIV_H
#define CARAVAN_JINJA_SHOW_PRIV_H

#include "jinja/run_priv.h"

/* As Python's str(), repr(), json.dumps(). */
bool jinja_show(struct jinja_run *r, struct jinja_out *o, struct jinja_value v);
bool jinja_show_repr(struct jinja_run *r, struct jinja_out *o, struct jinja_value v);
struct jinja_json {
    bool ascii, sorted;
    const char *indent;        /* NULL: all on one line */
    size_t indent_len;
    const char *comma, *colon; /* separators */
    size_t comma_len, colon_len;
};
bool jinja_macro_show(struct jinja_run *r, struct jinja_out *o, const struct jinja_macro *m);
bool jinja_show_json(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_json *options);
/* str(v) as a value of its own; text is returned as it is. */
bool jinja_to_str(struct jinja_run *r, struct jinja_value v, const struct jinja_str **ret);

#endif
