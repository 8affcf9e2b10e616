/* SPDX-License-Identifier: MIT
 * Regular expressions as GBNF: the regular part of ECMA-262, as JSON Schema demands, so they match anywhere unless anchored. Pure, any
 * thread. */
#ifndef CARAVAN_GRAMMAR_REGEX_H
#define CARAVAN_GRAMMAR_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { REGEX_MAX_PARTS = 12 };

/* A condition on a text: it must fit the grammar, or must not. */
struct regex_part {
    char *text;         /* an element in GBNF, for the inside of a JSON string, with the rules "char" and "ctl"; owned */
    bool negated;
    uint64_t min, max;  /* numbers of characters */
};

/* All conditions on a text. */
struct regex_parts {
    struct regex_part list[REGEX_MAX_PARTS];
    size_t n;
};

struct regex_lengths {
    uint64_t min, max;
};

/* Adds the parts of a regular expression. ERR_UNSUPPORTED, ERR_INVALID (it isn't one), ERR_LIMIT: *ret_why is set to a literal; nothing
 * is added. */
err_code regex_read(const char *pattern, size_t len, struct regex_parts *parts, const char **ret_why);
/* Appends a grammar (it starts with "root") of the texts that fit the regular expression as a whole, outside of JSON. Errors as
 * regex_read. */
err_code regex_to_gbnf(const char *pattern, size_t len, struct buf *out, struct err *e);
void regex_parts_done(struct regex_parts *parts);
/* Appends the rules "char" and "ctl". */
void regex_write_rules(struct buf *out);

#endif
