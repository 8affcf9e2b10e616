/* SPDX-License-Identifier: MIT
 * Evaluating expressions, attributes and calls (eval.c, call.c). */
#ifndef CARAVAN_JINJA_EVAL_PRIV_H
#define CARAVAN_JINJA_EVAL_PRIV_H

#include "jinja/number_priv.h"

struct jinja_args;

bool jinja_eval(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret);
bool jinja_binary(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b, struct jinja_value *ret);
/* x[key], x.name, and attr(), which looks at attributes only. */
bool jinja_get_item(struct jinja_run *r, struct jinja_value of, struct jinja_value key, struct jinja_value *ret);
bool jinja_get_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret);
/* false: there is no such attribute. That is no failure, unless r->end is set. */
bool jinja_find_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret);
bool jinja_call(struct jinja_run *r, struct jinja_value callee, const struct jinja_args *args, struct jinja_value *ret);

#endif
