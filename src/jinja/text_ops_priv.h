/* SPDX-License-Identifier: MIT
 * Operations on texts that filters, methods and operators share, with Python's rules: letters' case, replacing, cutting, joining,
 * formatting. Results are new texts of the run's heap. They fail with the error set in the run; outputs are then untouched. */
#ifndef CARAVAN_JINJA_TEXT_OPS_PRIV_H
#define CARAVAN_JINJA_TEXT_OPS_PRIV_H

#include "jinja/builtin_priv.h"

/* text % values, text.format(values), with Python's rules. */
bool jinja_format_percent(struct jinja_run *r, const struct jinja_str *format, struct jinja_value values, struct jinja_value *ret);
bool jinja_format_braces(struct jinja_run *r, const struct jinja_str *format, const struct jinja_args *args, struct jinja_value *ret);

bool jinja_text_upper(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret);
bool jinja_text_lower(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret);
bool jinja_text_replace(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *old, const struct jinja_str *with,
                        int64_t count, struct jinja_value *ret);
bool jinja_text_lines(struct jinja_run *r, const struct jinja_str *s, bool keep_ends, struct jinja_value *ret);
/* chars NULL: blanks. */
bool jinja_text_strip_chars(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *chars, bool left, bool right,
                            struct jinja_value *ret);
bool jinja_text_join(struct jinja_run *r, const struct jinja_str *between, struct jinja_value items, bool strict, struct jinja_value *ret);

#endif
