/* SPDX-License-Identifier: MIT
 * Questions about values, with Python's answers: truth, equality, order, membership, length, the type's name. Nothing is changed. Functions
 * that take a run fail with the error set there; outputs are then untouched. */
#ifndef CARAVAN_JINJA_COMPARE_PRIV_H
#define CARAVAN_JINJA_COMPARE_PRIV_H

#include "jinja/value_priv.h"

bool jinja_truth(struct jinja_value v);
bool jinja_equal(struct jinja_run *r, struct jinja_value a, struct jinja_value b, bool *ret);
/* *ret: below 0, 0, above 0; 2 if they have no order (a NaN). Fails if Python doesn't order such values. */
bool jinja_order(struct jinja_run *r, struct jinja_value a, struct jinja_value b, const char *op, int *ret);
bool jinja_same(struct jinja_value a, struct jinja_value b); /* Python's "is" */
bool jinja_contains(struct jinja_run *r, struct jinja_value in, struct jinja_value what, bool *ret);
/* Fails if the value has no length. */
bool jinja_length(struct jinja_run *r, struct jinja_value v, size_t *ret);
bool jinja_has_length(struct jinja_value v, size_t *ret);
const char *jinja_type_name(struct jinja_value v); /* "str", "dict" */
struct jinja_value jinja_range_item(const struct jinja_range *range, size_t i);

#endif
