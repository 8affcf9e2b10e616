/* SPDX-License-Identifier: MIT
 * The conditions that the schemas of a set have on a value, merged into one shape (schema_shape.c). */
#ifndef CARAVAN_GRAMMAR_SCHEMA_SHAPE_PRIV_H
#define CARAVAN_GRAMMAR_SCHEMA_SHAPE_PRIV_H

#include "grammar/schema_priv.h"

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

/* The conditions on a value, merged over a set. */
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

/* Refuses or leaves out the keywords of this schema that can't be expressed. */
err_code schema_shape_admit(struct schema *s, yyjson_val *v);
/* May the set have conditions on properties that it doesn't declare? */
bool schema_shape_opens(const struct schema_set *set);
/* Removes the schemas without conditions of their own; the schemas that they refer to are in the set. */
void schema_shape_prune(struct schema_set *set);
err_code schema_shape_make(struct schema *s, const struct schema_set *set, struct schema_shape *ret);
void schema_shape_done(struct schema_shape *shape);
/* Is it certain that no value fits both? */
bool schema_shape_disjoint(const struct schema_shape *a, const struct schema_shape *b);
unsigned schema_shape_type_of(yyjson_val *value);
/* Has the set a keyword for values of these types, and which? */
bool schema_shape_speaks_of(const struct schema_set *set, unsigned types, const char **ret_keyword);

/* Exact decimals (schema_number.c). ERR_LIMIT when the number has too many digits. */
bool schema_shape_decimal(yyjson_val *number, struct schema_decimal *ret);
int schema_shape_decimal_compare(const struct schema_decimal *a, const struct schema_decimal *b);

#endif
