/* SPDX-License-Identifier: MIT
 * What the files of the schema compiler share.
 *
 * A value has to fit several schemas at once (allOf, $ref beside other keywords, a property named twice): what is compiled is therefore a
 * set of schemas. A set is flattened ($ref and allOf followed), anyOf and oneOf become one rule for each branch, and what is left of
 * keywords is merged into one shape, from which the rule's text is written. Equal sets share one rule, which is how recursion ends. */
#ifndef CARAVAN_GRAMMAR_SCHEMA_PRIV_H
#define CARAVAN_GRAMMAR_SCHEMA_PRIV_H

#include <stdint.h>

#include "grammar/gbnf.h"
#include "grammar/regex.h"
#include "grammar/schema.h"

enum {
    SCHEMA_MAX_SET = 48,        /* schemas that one value has to fit */
    SCHEMA_MAX_RULES = 1500,    /* rules for sets */
    SCHEMA_MAX_EXTRA = 9000,    /* further rules: lists of properties, names, texts of which several things are asked */
    SCHEMA_MAX_DEPTH = 100,     /* of rules being compiled inside one another */
    SCHEMA_MAX_WORK = 600000,   /* schemas looked at, values compared; and, by the time they take: */
    SCHEMA_WORK_RULE = 40,      /* a further rule */
    SCHEMA_WORK_TEXT = 4,       /* so many bytes of grammar are 1 */
    SCHEMA_WORK_KEYS = 16,      /* so many keys passed over in search of one are 1 */
    SCHEMA_MAX_PROPERTIES = 512,
    SCHEMA_MAX_TEXTS = 8,       /* patterns of one value; and formats */
    SCHEMA_MAX_STEP = 300,      /* states that multiples of a number may need */
    SCHEMA_NEVER = -1           /* instead of a rule: nothing fits */
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
    bool never;                 /* one of them is `false` */
    bool circular;              /* one of them is there already, with a branch chosen */
};

/* The magnitude of a bound, exact: whole.frac, at most 18 digits each, no zeros at the end of frac. */
struct schema_decimal {
    bool negative;
    uint64_t whole;
    char frac[24];
};

struct schema_bound {
    bool set, exclusive;
    struct schema_decimal at;
};

/* What is asked of a value, merged over a set. */
struct schema_shape {
    unsigned types;
    bool listed;                            /* enum or const: only these values */
    yyjson_val **values;                    /* owned */
    size_t n_values;
    struct schema_bound low, high;
    uint64_t min_length, max_length;        /* UINT64_MAX: no maximum */
    uint64_t min_items, max_items;
    uint64_t min_properties, max_properties;
    yyjson_val *patterns[SCHEMA_MAX_TEXTS], *formats[SCHEMA_MAX_TEXTS], *steps[SCHEMA_MAX_TEXTS]; /* steps: multipleOf */
    size_t n_patterns, n_formats, n_steps;
};

struct schema_rule {
    struct schema_set set;                  /* flattened and sorted */
    int *needs;                             /* owned: rules that each alternative needs, each list ended by -1 */
    size_t n_needs, cap_needs;
    bool complete, never, used_early, productive;
    bool branches;                          /* its alternatives are other rules and nothing else */
    bool visiting, visited;                 /* by the search for circles */
};

struct schema {
    yyjson_val *root;
    bool closed;
    bool loose;                             /* what can't be expressed is left out */
    bool partial;                           /* something was left out */
    bool simple;                            /* of texts only one thing is asked */
    size_t max_depth;                       /* below it a value is only of the right type */
    struct buf text;
    struct schema_rule *rules;              /* owned */
    size_t n_rules, cap_rules, n_extra, depth;
    uint64_t work, max_work;
    struct err *e;
};

/* ---- schema.c ---- */

/* May it be left out, what a grammar can't say? Notes that it was. If not, sets the error, as schema_fail. */
err_code schema_leave_out(struct schema *s, yyjson_val *v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Sets the error, with the place of v in the schema before it; returns the code. */
err_code schema_fail(struct schema *s, err_code code, yyjson_val *v, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* ERR_LIMIT when the work done passes the limit. */
err_code schema_work(struct schema *s, uint64_t steps);
/* Adds a schema and what it refers to to a flattened set. */
err_code schema_add(struct schema *s, struct schema_set *set, yyjson_val *v);
/* The rule for a flattened set, or SCHEMA_NEVER. */
err_code schema_compile(struct schema *s, struct schema_set *set, int *ret_rule);
/* Notes that the alternative of `rule` that is being written contains this rule; ends the alternative's list. */
void schema_need(struct schema *s, int rule, int needed);
void schema_alternative_end(struct schema *s, int rule);
/* A number for one more rule (named "x<number>"). */
err_code schema_extra(struct schema *s, unsigned *ret);

/* ---- schema_shape.c ---- */

/* Refuses, or leaves out, what can't be expressed in this one schema. */
err_code schema_admit(struct schema *s, yyjson_val *v);
/* May the set ask for properties that it doesn't declare? */
bool schema_opens(const struct schema_set *set);
/* Takes out the schemas that ask nothing themselves: those they refer to are in the set. */
void schema_prune(struct schema_set *set);
err_code schema_shape_make(struct schema *s, const struct schema_set *set, struct schema_shape *ret);
void schema_shape_done(struct schema_shape *shape);
/* Whether it is certain that no value fits both. */
bool schema_shapes_disjoint(const struct schema_shape *a, const struct schema_shape *b);
unsigned schema_type_of(yyjson_val *value);
/* Whether a keyword of the set is about values of these types, and which. */
bool schema_speaks_of(const struct schema_set *set, unsigned types, const char **ret_keyword);

/* ---- schema_write.c: appends to out what is right of ::= ---- */

/* *ret_any false: nothing fits. */
err_code schema_write_shape(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any);
/* Only the types of a shape. */
void schema_write_types(struct schema *s, int rule, const struct schema_shape *shape, struct buf *out, bool *ret_any);
/* A JSON value as a literal of the grammar. */
void schema_write_value(struct buf *out, yyjson_val *value);
/* A JSON string with this text as a literal. */
void schema_write_name(struct buf *out, const char *text, size_t len);
/* The same without the quotation marks. */
void schema_write_inside(struct buf *out, const char *text, size_t len);
/* The rules that all grammars share. */
void schema_write_generic(struct buf *out);

/* ---- schema_object.c ---- */

err_code schema_write_object(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);
err_code schema_write_array(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any);

struct schema_property {
    const char *name;
    size_t len;
    bool required;
    int rule;               /* SCHEMA_NEVER: must not be there */
};

struct schema_properties {
    struct schema_property *list; /* owned */
    size_t n;
    int additional;         /* rule of the others' values; SCHEMA_NEVER: there are none, but for those that match a pattern */
};

/* ---- schema_names.c ---- */

/* Adds the schemas of v's patternProperties that a declared name matches. */
err_code schema_add_matching(struct schema *s, yyjson_val *v, const struct schema_property *name, struct schema_set *ret,
                             bool *ret_matched);
/* Appends name, colon and value of a property that is not declared, as one element; nothing: there are none. */
err_code schema_write_others(struct schema *s, const struct schema_set *set, const struct schema_properties *p, struct buf *out);

/* ---- schema_number.c ---- */

/* ERR_LIMIT when the number has too many digits. */
bool schema_decimal_from(yyjson_val *number, struct schema_decimal *ret);
int schema_decimal_compare(const struct schema_decimal *a, const struct schema_decimal *b);
err_code schema_write_number(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);

/* ---- schema_string.c ---- */

err_code schema_write_string(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);
/* What is asked of a text, by a set that is about texts; the quotation marks are not part of it. */
err_code schema_string_parts(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct regex_parts *parts);
/* Rules for what fits all parts, as product_write does; shared: rules of theirs besides the generic ones. */
err_code schema_product(struct schema *s, const struct regex_part *parts, size_t n, const char *shared, unsigned number, bool *ret_any);

#endif
