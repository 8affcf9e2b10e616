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
#include "grammar/schema.h"

enum {
    SCHEMA_MAX_SET = 48,        /* schemas that one value has to fit */
    SCHEMA_MAX_RULES = 1500,    /* rules for sets */
    SCHEMA_MAX_EXTRA = 2400,    /* further rules: lists of properties, names */
    SCHEMA_MAX_DEPTH = 100,     /* of rules being compiled inside one another */
    SCHEMA_MAX_WORK = 600000,   /* schemas looked at, values compared; and, by the time they take: */
    SCHEMA_WORK_RULE = 40,      /* a further rule */
    SCHEMA_WORK_TEXT = 4,       /* so many bytes of grammar are 1 */
    SCHEMA_WORK_KEYS = 16,      /* so many keys passed over in search of one are 1 */
    SCHEMA_MAX_PROPERTIES = 512,
    SCHEMA_MAX_REPEAT = 1999,   /* libllama refuses where the count times the rules inside reaches 2000 */
    SCHEMA_PIECE = 1000,        /* of a long string */
    SCHEMA_MAX_LENGTH = 10000,  /* minLength, maxLength */
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
    yyjson_val *pattern, *format;           /* strings of the schema, NULL: none */
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
    struct buf text;
    struct schema_rule *rules;              /* owned */
    size_t n_rules, cap_rules, n_extra, depth;
    uint64_t work, max_work;
    struct err *e;
};

/* ---- schema.c ---- */

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

/* Refuses what can't be expressed in this one schema. */
err_code schema_check(struct schema *s, yyjson_val *v);
/* Takes out the schemas that ask nothing themselves: those they refer to are in the set. */
void schema_prune(struct schema_set *set);
err_code schema_shape_make(struct schema *s, const struct schema_set *set, struct schema_shape *ret);
void schema_shape_done(struct schema_shape *shape);
/* Whether it is certain that no value fits both. */
bool schema_shapes_disjoint(const struct schema_shape *a, const struct schema_shape *b);
unsigned schema_type_of(yyjson_val *value);
bool schema_values_equal(yyjson_val *a, yyjson_val *b);
/* Whether a keyword of the set is about values of these types, and which. */
bool schema_speaks_of(const struct schema_set *set, unsigned types, const char **ret_keyword);

/* ---- schema_write.c: appends to out what is right of ::= ---- */

/* *ret_any false: nothing fits. */
err_code schema_write_shape(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any);
/* A JSON value as a literal of the grammar. */
void schema_write_value(struct buf *out, yyjson_val *value);
/* A JSON string with this text as a literal. */
void schema_write_name(struct buf *out, const char *text, size_t len);
/* The rules that all grammars share. */
void schema_write_generic(struct buf *out);

/* ---- schema_object.c ---- */

err_code schema_write_object(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);
err_code schema_write_array(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any);

/* ---- schema_number.c ---- */

/* ERR_LIMIT when the number has too many digits. */
bool schema_decimal_from(yyjson_val *number, struct schema_decimal *ret);
int schema_decimal_compare(const struct schema_decimal *a, const struct schema_decimal *b);
/* false: no number is between the bounds. */
bool schema_write_number(bool whole, const struct schema_bound *low, const struct schema_bound *high, struct buf *out);

/* ---- schema_regex.c, schema_charset.c ---- */

struct schema_charset {
    struct {
        uint32_t first, last;
    } range[256];
    size_t n;
    bool full;                  /* too many ranges */
};
void schema_charset_add(struct schema_charset *set, uint32_t first, uint32_t last);
void schema_charset_sort(struct schema_charset *set);       /* in order, joined; call before the next two */
void schema_charset_invert(struct schema_charset *set);
/* One character of a JSON string out of the set, as one element; false: the set is empty. */
bool schema_charset_write(const struct schema_charset *set, struct buf *out);

/* The inside of a JSON string that matches (ECMA-262, as JSON Schema asks: anywhere, unless anchored), and how many characters it may have.
 * *ret_why is set where it can't be expressed. */
struct schema_lengths {
    uint64_t min, max;
};
err_code schema_write_regex(struct schema *s, const char *pattern, size_t len, struct buf *out, struct schema_lengths *ret,
                            const char **ret_why);
/* The regular expression of a format; NULL: not known. "": nothing is asked of the text. */
const char *schema_format_regex(const char *name);

#endif
