/* SPDX-License-Identifier: MIT
 * Variables while a template runs, and the objects that keep them: macros and loops. */
#ifndef CARAVAN_JINJA_SCOPE_PRIV_H
#define CARAVAN_JINJA_SCOPE_PRIV_H

#include "jinja/node_priv.h"

struct jinja_binding {
    uint32_t name;
    struct jinja_value value;
};

/* The variables of one round of a loop, one call of a macro or one "with". They are visible only inside it. */
struct jinja_scope {
    struct jinja_scope *up; /* NULL: the template's own variables come next */
    uint32_t n, cap;
    bool kept;              /* a macro refers to it, so the next round must not reuse it */
    struct jinja_binding *list, first[4];
};

struct jinja_macro {
    const struct jinja_node *def;
    struct jinja_scope *scope; /* where it was defined */
};

struct jinja_bound {
    struct jinja_value self;
    const struct jinja_builtin *row;
};

struct jinja_loop {
    const struct jinja_node *n;
    struct jinja_scope *outer;
    struct jinja_value source;  /* the iterated value; MISSING: with a filter, so its length is unknown */
    struct jinja_iter *iter;
    size_t index0, length, depth0;
    bool has_length;
    struct jinja_value after;   /* the next item, if it has been read; MISSING: it hasn't */
    struct jinja_value current, before, changed;
};

struct jinja_cycler {
    struct jinja_value items; /* a tuple */
    size_t at;
};

struct jinja_joiner {
    struct jinja_value text;
    bool used;
};

struct jinja_iter {
    bool (*next)(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more);
    struct jinja_value of;
    size_t at;
    void *own; /* private data of its creator */
};

struct jinja_scope *jinja_scope_new(struct jinja_run *r, struct jinja_scope *up);
/* MISSING: there is no such variable. */
struct jinja_value jinja_scope_get(const struct jinja_run *r, uint32_t name);
bool jinja_scope_set(struct jinja_run *r, uint32_t name, struct jinja_value v);
/* A macro keeps the current scope. */
bool jinja_macro_new(struct jinja_run *r, const struct jinja_node *def, struct jinja_value *ret);
bool jinja_macro_call(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *args, struct jinja_value *ret);

/* Arguments are evaluated into this, or into the heap if there are more. */
enum { JINJA_ARGS_ROOM = 4 };
struct jinja_args_room {
    struct jinja_value list[JINJA_ARGS_ROOM], values[JINJA_ARGS_ROOM];
    const struct jinja_str *names[JINJA_ARGS_ROOM];
};
bool jinja_eval_args(struct jinja_run *r, const struct jinja_call_args *from, struct jinja_args_room *room, struct jinja_args *ret);

bool jinja_assign(struct jinja_run *r, const struct jinja_node *target, struct jinja_value v);

enum jinja_flow { JINJA_NEXT, JINJA_LEAVE, JINJA_AGAIN, JINJA_STOP }; /* go on; break; continue; failed */
enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_nodes *body);
/* Calls a loop from within itself with another value; returns its text. */
bool jinja_loop_call(struct jinja_run *r, const struct jinja_loop *l, struct jinja_value in, struct jinja_value *ret);
/* loop.index and so on; *ret MISSING: no such attribute. */
bool jinja_loop_attr(struct jinja_run *r, struct jinja_loop *l, const struct jinja_str *name, struct jinja_value *ret);

#endif
