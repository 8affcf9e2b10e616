/* SPDX-License-Identifier: MIT
 * What the files of the checker share: check.c has the schemas, check_scalar.c numbers and texts, check_place.c references. */
#ifndef CARAVAN_GRAMMAR_CHECK_PRIV_H
#define CARAVAN_GRAMMAR_CHECK_PRIV_H

#include <stdint.h>

#include "grammar/check.h"

enum { CHECK_MAX_STEPS = 400000, CHECK_MAX_NESTING = 200, CHECK_MAX_PATTERNS = 256 };

struct compiled_pattern;

struct check {
    yyjson_val *root;
    bool has_ids;                  /* schemas inside have ids of their own: "#" may mean one of them */
    struct buf path;               /* of the value that is looked at, as a JSON pointer */
    struct buf *why;               /* of the first failure that counts; NULL: nobody asks */
    int quiet;                     /* > 0: what fails here need not fail in the end */
    int depth;
    uint32_t steps;
    struct compiled_pattern *patterns[CHECK_MAX_PATTERNS]; /* compiled */
    size_t n_patterns;
};

/* Sets the reason, unless there is one or nobody needs it; returns the verdict. */
enum check_verdict check_say(struct check *c, enum check_verdict verdict, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* False when the work is more than it may be. */
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
/* The schema that a reference in `from` means; NULL: it isn't in the document. */
yyjson_val *check_resolve(struct check *c, yyjson_val *from, const char *ref);

#endif
