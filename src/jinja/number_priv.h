/* SPDX-License-Identifier: MIT
 * Python's numbers (number.c). */
#ifndef CARAVAN_JINJA_NUMBER_PRIV_H
#define CARAVAN_JINJA_NUMBER_PRIV_H

#include "jinja/run_priv.h"

enum jinja_op { JINJA_ADD, JINJA_SUB, JINJA_MUL, JINJA_DIV, JINJA_FLOORDIV, JINJA_MOD, JINJA_POW };
/* Computes with two numbers (jinja_is_number). */
bool jinja_number_op(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b, struct jinja_value *ret);
bool jinja_number_negate(struct jinja_run *r, struct jinja_value v, struct jinja_value *ret);
/* As jinja_order. */
int jinja_number_order(struct jinja_value a, struct jinja_value b);
double jinja_number_double(struct jinja_value v);
enum { JINJA_NUMBER_TEXT = 400 };
/* Python's repr of a float, with a final NUL. Returns its length. */
size_t jinja_number_text(double f, char ret[JINJA_NUMBER_TEXT]);
/* An integer from digits (underscores between them are allowed), with a sign and, for base 0, 16 and so on, a prefix. false: it is not
 * an integer, or *failed. */
bool jinja_number_parse_int(struct jinja_run *r, const char *text, size_t len, int base, struct jinja_value *ret);
bool jinja_number_parse_float(const char *text, size_t len, double *ret);
/* int(f): fails for infinities and NaN. */
bool jinja_number_truncate(struct jinja_run *r, double f, struct jinja_value *ret);

#endif
