/* SPDX-License-Identifier: MIT
 * One rendering: its limits, its error, and the text that it writes. */
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

#endif
