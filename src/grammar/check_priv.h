/* SPDX-License-Identifier: MIT
 * The checker's state, for check.c (schemas), check_scalar.c (numbers and texts) and check_place.c (references). */
#ifndef CARAVAN_GRAMMAR_CHECK_PRIV_H
#define CARAVAN_GRAMMAR_CHECK_PRIV_H

#include <stdint.h>

#include "grammar/check.h"

enum { CHECK_MAX_STEPS = 400000, CHECK_MAX_NESTING = 200, CHECK_MAX_PATTERNS = 256 };

struct compiled_pattern;

struct check {
    yyjson_val *root;
    bool has_ids;                  /* subschemas have ids of their own: "#" may refer to one of them */
    struct buf path;               /* of the current value, as a JSON pointer */
    struct buf *why;               /* gets the first failure that counts; NULL: not needed */
    int quiet;                     /* > 0: a failure here may not count in the end */
    int depth;
    uint32_t steps;
    struct compiled_pattern *patterns[CHECK_MAX_PATTERNS]; /* compiled */
    size_t n_patterns;
};

/* Sets the reason, unless there is one already or it isn't needed; returns the verdict. */
enum check_verdict check_say(struct check *c, enum check_verdict verdict, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Counts work; false when it exceeds the limit. */
bool check_work(struct check *c, size_t steps);

/* ---- check_scalar.c ---- */

enum check_verdict check_number(struct check *c, yyjson_val *schema, yyjson_val *value);
enum check_verdict check_string(struct check *c, yyjson_val *schema, yyjson_val *value);
/* Does the text match the regular expression? */
enum check_verdict check_matches(struct check *c, const char *pattern, size_t pattern_len, const char *text, size_t len);
void check_patterns_done(struct check *c);

/* ---- check_place.c ---- */

/* Has a schema inside an id? */
bool check_has_ids(yyjson_val *schema, int depth);
/* The schema to which a reference in `from` refers; NULL: it isn't in the document. */
yyjson_val *check_resolve(struct check *c, yyjson_val *from, const char *ref);

#endif
