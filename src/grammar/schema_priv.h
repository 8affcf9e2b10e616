/* SPDX-License-Identifier: MIT
 * The inside of the schema compiler, for schema*.c.
 *
 * A value must fit several schemas at once (allOf, $ref beside other keywords, a property named twice), so the compiler works on sets of
 * schemas. It flattens a set ($ref and allOf followed), makes one rule for each branch of anyOf and oneOf, and merges the remaining
 * keywords into one shape, from which it writes the rule's text. Equal sets share one rule, which is how recursion ends. */
#ifndef CARAVAN_GRAMMAR_SCHEMA_PRIV_H
#define CARAVAN_GRAMMAR_SCHEMA_PRIV_H

#include <stdint.h>

#include "grammar/gbnf.h"
#include "grammar/regex.h"
#include "grammar/schema.h"

enum {
    SCHEMA_MAX_SET = 48,        /* schemas that one value must fit */
    SCHEMA_MAX_RULES = 1500,    /* rules for sets */
    SCHEMA_MAX_EXTRA = 9000,    /* further rules: lists of properties, names, texts with several conditions */
    SCHEMA_MAX_DEPTH = 100,     /* of rules being compiled inside one another */
    SCHEMA_MAX_WORK = 600000,   /* schemas read and values compared; and, in proportion to their time: */
    SCHEMA_WORK_RULE = 40,      /* a further rule */
    SCHEMA_WORK_TEXT = 4,       /* this many bytes of grammar count as 1 */
    SCHEMA_WORK_KEYS = 16,      /* this many keys compared in search of one count as 1 */
    SCHEMA_MAX_PROPERTIES = 512,
    SCHEMA_MAX_TEXTS = 8,       /* patterns of one value; and formats */
    SCHEMA_MAX_STEP = 300,      /* states that multiples of a number may need */
    SCHEMA_NEVER = -1           /* instead of a rule: no value fits */
};

enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_WHOLE = 4,           /* numbers without decimals */
    SCHEMA_DECIMAL = 8,         /* the other numbers */
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_NUMBER = SCHEMA_WHOLE | SCHEMA_DECIMAL,
    SCHEMA_ANY = 127
};

enum { SCHEMA_DID_ANY_OF = 1, SCHEMA_DID_ONE_OF = 2 };

struct schema_item {
    yyjson_val *v;              /* an object */
    unsigned done;              /* which of its alternatives have been chosen */
};

struct schema_set {
    struct schema_item items[SCHEMA_MAX_SET];
    size_t n;
    bool never;                 /* one of the schemas is `false` */
    bool circular;              /* one of the schemas is in the set already, with a branch chosen */
};

struct schema_rule {
    struct schema_set set;                  /* flattened and sorted */
    int *needs;                             /* owned: the rules that each alternative needs, each list ended by -1 */
    size_t n_needs, cap_needs;
    bool complete, never, used_early, productive;
    bool branches;                          /* its alternatives are other rules only */
    bool visiting, visited;                 /* by the search for circles */
};

struct schema {
    yyjson_val *root;
    bool closed;
    bool loose;                             /* conditions that can't be expressed are left out */
    bool partial;                           /* something was left out */
    bool simple;                            /* only one condition on each text */
    size_t max_depth;                       /* a value below this depth only has the right type */
    struct buf text;
    struct schema_rule *rules;              /* owned */
    size_t n_rules, cap_rules, n_extra, depth;
    uint64_t work, max_work;
    struct err *e;
};

/* May a condition that no grammar can say be left out? Then notes that. If not, sets the error as schema_fail does. */
err_code schema_leave_out(struct schema *s, yyjson_val *v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Sets the error, which begins with the place of v in the schema; returns the code. */
err_code schema_fail(struct schema *s, err_code code, yyjson_val *v, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* ERR_LIMIT when the work done passes the limit. */
err_code schema_work(struct schema *s, uint64_t steps);
/* Adds a schema, and the schemas that it refers to, to a flattened set. */
err_code schema_add(struct schema *s, struct schema_set *set, yyjson_val *v);
/* The rule for a flattened set, or SCHEMA_NEVER. */
err_code schema_compile(struct schema *s, struct schema_set *set, int *ret_rule);
/* Notes that the alternative of `rule` that is being written contains the rule `needed`; schema_alternative_end ends the list. */
void schema_need(struct schema *s, int rule, int needed);
void schema_alternative_end(struct schema *s, int rule);
/* A number for one more rule (named "x<number>"). */
err_code schema_extra(struct schema *s, unsigned *ret);

#endif
