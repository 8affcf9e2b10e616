/* SPDX-License-Identifier: MIT
 * Iterating over values (iter.c). */
#ifndef CARAVAN_JINJA_ITER_PRIV_H
#define CARAVAN_JINJA_ITER_PRIV_H

#include "jinja/run_priv.h"

struct jinja_iter;
/* Fails if the value is not iterable. */
bool jinja_iter_new(struct jinja_run *r, struct jinja_value v, struct jinja_iter **ret);
/* *ret_more false: the end; *ret is then untouched. */
bool jinja_iter_next(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more);
bool jinja_iterable(struct jinja_value v);
/* A new list (or tuple) of the items of v. */
bool jinja_to_list(struct jinja_run *r, struct jinja_value v, enum jinja_type type, struct jinja_value *ret);

#endif
