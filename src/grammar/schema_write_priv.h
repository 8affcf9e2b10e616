/* SPDX-License-Identifier: MIT
 * Writing the rule of a shape: each function appends the right side of ::=, or a part of it, to out. */
#ifndef CARAVAN_GRAMMAR_SCHEMA_WRITE_PRIV_H
#define CARAVAN_GRAMMAR_SCHEMA_WRITE_PRIV_H

#include "grammar/schema_shape_priv.h"

/* *ret_any false: no value fits. */
err_code schema_write_shape(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any);
/* Writes a shape by its types alone. */
void schema_write_types(struct schema *s, int rule, const struct schema_shape *shape, struct buf *out, bool *ret_any);
/* A JSON value as a literal of the grammar. */
void schema_write_value(struct buf *out, yyjson_val *value);
/* A JSON string with this text, as a literal. */
void schema_write_name(struct buf *out, const char *text, size_t len);
/* As schema_write_name, without the quotation marks. */
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
    int rule;               /* SCHEMA_NEVER: the property must not be there */
};

struct schema_properties {
    struct schema_property *list; /* owned */
    size_t n;
    int additional;         /* the rule of other properties' values; SCHEMA_NEVER: none may be there, except those that match a pattern */
};

/* ---- schema_names.c ---- */

/* Adds the schemas of v's patternProperties that a declared name matches. */
err_code schema_write_matching_schemas(struct schema *s, yyjson_val *v, const struct schema_property *name, struct schema_set *ret,
                                       bool *ret_matched);
/* Appends name, colon and value of an undeclared property, as one element; nothing if none are allowed. */
err_code schema_write_others(struct schema *s, const struct schema_set *set, const struct schema_properties *p, struct buf *out);

/* ---- schema_number.c ---- */

err_code schema_write_number(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);

/* ---- schema_string.c ---- */

err_code schema_write_string(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any);
/* The conditions on a text, from a set that is about texts; without the quotation marks. */
err_code schema_write_string_parts(struct schema *s, const struct schema_set *set, const struct schema_shape *shape,
                                   struct regex_parts *parts);
/* Writes rules for the texts that fit all parts, like product_write; shared: rules that the parts use besides the generic ones. */
err_code schema_write_product(struct schema *s, const struct regex_part *parts, size_t n, const char *shared, unsigned number,
                              bool *ret_any);

#endif
