/* SPDX-License-Identifier: MIT
 * Does a JSON value fit a JSON schema? For the conditions that a grammar can't express, after the model has written the value. Drafts 4
 * to 2020-12, as far as they agree; `format` is checked if it is known. References must stay inside the document. Pure, any thread;
 * bounded in time and depth. */
#ifndef CARAVAN_GRAMMAR_CHECK_H
#define CARAVAN_GRAMMAR_CHECK_H

#include "base/buf.h"
#include "base/json.h"

enum check_verdict {
    CHECK_FITS,
    CHECK_FAILS,
    CHECK_UNKNOWN, /* it can't be judged here: another document, a regular expression with back references, or too much work */
};

/* why (cleared first; may be NULL) gets the reason of FAILS and UNKNOWN, for people and models: `at "/age": -1 is below 0`. */
enum check_verdict check_value(yyjson_val *schema, yyjson_val *value, struct buf *why);

/* As check_value, for a schema inside the document `root`, to which its references refer. */
enum check_verdict check_value_in(yyjson_val *root, yyjson_val *schema, yyjson_val *value, struct buf *why);

/* Does a text match a regular expression? */
enum check_verdict check_pattern(const char *pattern, size_t pattern_len, const char *text, size_t len);

/* Are two JSON values equal? 1 and 1.0 are, and objects whose members have another order. */
bool check_equal(yyjson_val *a, yyjson_val *b);

#endif
