/* SPDX-License-Identifier: MIT
 * One rendering: its limits, its error, its output, and the functions that the parts of the evaluator call of one another. */
#ifndef CARAVAN_JINJA_RUN_PRIV_H
#define CARAVAN_JINJA_RUN_PRIV_H

#include "jinja/heap.h"
#include "jinja/jinja.h"
#include "jinja/value_priv.h"

struct jinja_node;
struct jinja_scope;

/* Text that is being written; it lives in the run's heap. */
struct jinja_out {
    struct jinja_tail *tail;
};

struct jinja_run {
    struct jinja_template *t;
    struct jinja_heap *heap;
    uint64_t steps;              /* that are left */
    struct jinja_limits limits;
    uint32_t depth, line;        /* the current depth and line */
    int64_t now;
    enum jinja_end end;
    struct err *e;               /* never NULL */
    struct jinja_value *globals; /* the template's variables, by number of name; MISSING: not set */
    struct jinja_scope *scope;   /* NULL: outside of all loops and macros */
    struct jinja_out *out;       /* the output of statements */
};

/* ---- limits and errors ---- */

/* Sets the error, which names the line; returns false. */
bool jinja_fail(struct jinja_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool jinja_fail_memory(struct jinja_run *r);
/* Sets the error to the template's own words, for raise_exception. */
bool jinja_raise(struct jinja_run *r, const struct jinja_str *text);
/* The error for the use of an undefined value: "'x' is undefined". */
bool jinja_fail_undefined(struct jinja_run *r, struct jinja_value v);
/* jinja_spend counts n steps, jinja_spend_bytes the steps for a text of n bytes. false: none are left. */
bool jinja_spend(struct jinja_run *r, uint64_t n);
bool jinja_spend_bytes(struct jinja_run *r, size_t n);
bool jinja_enter(struct jinja_run *r); /* one level deeper; call jinja_leave on the way out */
static inline void jinja_leave(struct jinja_run *r) { r->depth--; }
/* NULL past the limit, with the error set. */
void *jinja_alloc(struct jinja_run *r, size_t size);

/* ---- writing text ---- */

bool jinja_out_write(struct jinja_run *r, struct jinja_out *o, const char *data, size_t len);
bool jinja_out_byte(struct jinja_run *r, struct jinja_out *o, char c);
bool jinja_out_char(struct jinja_run *r, struct jinja_out *o, uint32_t c);
bool jinja_out_fill(struct jinja_run *r, struct jinja_out *o, uint32_t c, size_t times);
bool jinja_out_printf(struct jinja_run *r, struct jinja_out *o, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool jinja_out_take(struct jinja_run *r, struct jinja_out *o, struct jinja_value *ret);

/* As Python's str(), repr(), json.dumps(). */
bool jinja_show(struct jinja_run *r, struct jinja_out *o, struct jinja_value v);
bool jinja_show_repr(struct jinja_run *r, struct jinja_out *o, struct jinja_value v);
struct jinja_json {
    bool ascii, sorted;
    const char *indent;        /* NULL: all on one line */
    size_t indent_len;
    const char *comma, *colon; /* separators */
    size_t comma_len, colon_len;
};
bool jinja_macro_show(struct jinja_run *r, struct jinja_out *o, const struct jinja_macro *m);
bool jinja_show_json(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_json *options);
/* str(v) as a value of its own; text is returned as it is. */
bool jinja_to_str(struct jinja_run *r, struct jinja_value v, const struct jinja_str **ret);

/* ---- numbers (number.c) ---- */

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

/* ---- iterating (iter.c) ---- */

struct jinja_args;
struct jinja_iter;
/* Fails if the value is not iterable. */
bool jinja_iter_new(struct jinja_run *r, struct jinja_value v, struct jinja_iter **ret);
/* *ret_more false: the end; *ret is then untouched. */
bool jinja_iter_next(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more);
bool jinja_iterable(struct jinja_value v);
/* A new list (or tuple) of the items of v. */
bool jinja_to_list(struct jinja_run *r, struct jinja_value v, enum jinja_type type, struct jinja_value *ret);

/* ---- evaluation (eval.c, call.c, exec.c) ---- */

bool jinja_eval(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret);
bool jinja_binary(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b, struct jinja_value *ret);
/* x[key], x.name, and attr(), which looks at attributes only. */
bool jinja_get_item(struct jinja_run *r, struct jinja_value of, struct jinja_value key, struct jinja_value *ret);
bool jinja_get_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret);
/* false: there is no such attribute. That is no failure, unless r->end is set. */
bool jinja_find_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret);
bool jinja_call(struct jinja_run *r, struct jinja_value callee, const struct jinja_args *args, struct jinja_value *ret);

#endif
