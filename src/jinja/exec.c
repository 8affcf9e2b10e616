/* SPDX-License-Identifier: MIT
 * Statements: writing text and setting variables. */
#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/show_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/eval_priv.h"

/* ---- assignment ---- */

static bool unpack(struct jinja_run *r, const struct jinja_node *target, struct jinja_value v) {
    struct jinja_iter *it;
    struct jinja_value item;
    bool more;
    if (!jinja_iterable(v)) return jinja_fail(r, "cannot unpack non-iterable %s object", jinja_type_name(v));
    if (!jinja_iter_new(r, v, &it)) return false;
    for (uint32_t i = 0; i < target->list.n; i++) {
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (!more) return jinja_fail(r, "not enough values to unpack (expected %u, got %u)", target->list.n, i);
        if (!jinja_assign(r, target->list.list[i], item)) return false;
    }
    if (!jinja_iter_next(r, it, &item, &more)) return false;
    return !more || jinja_fail(r, "too many values to unpack (expected %u)", target->list.n);
}

static bool assign_in_namespace(struct jinja_run *r, const struct jinja_node *target, struct jinja_value v) {
    struct jinja_value of = jinja_scope_get(r, target->ns.of);
    if (of.type != JINJA_NAMESPACE) return jinja_fail(r, "cannot assign attribute on non-namespace object");
    return jinja_dict_set(r, of.dict, jinja_of_str(r->t->symbols[target->ns.name].text), v);
}

bool jinja_assign(struct jinja_run *r, const struct jinja_node *target, struct jinja_value v) {
    switch (target->kind) {
    case JINJA_NAME: return jinja_scope_set(r, target->name, v);
    case JINJA_NS_ATTR: return assign_in_namespace(r, target, v);
    case JINJA_MAKE_TUPLE: return unpack(r, target, v);
    default: return jinja_fail(r, "this cannot be assigned to");
    }
}

/* ---- the text of a body ---- */

/* Runs a body in a scope of its own; its text becomes *ret. */
static enum jinja_flow capture(struct jinja_run *r, const struct jinja_nodes *body, struct jinja_value *ret) {
    struct jinja_scope *outer = r->scope;
    struct jinja_out *out = r->out, own = {0};
    if ((r->scope = jinja_scope_new(r, outer)) == NULL) {
        r->scope = outer;
        return JINJA_STOP;
    }
    r->out = &own;
    enum jinja_flow flow = jinja_exec(r, body);
    r->scope = outer;
    r->out = out;
    return flow != JINJA_STOP && !jinja_out_take(r, &own, ret) ? JINJA_STOP : flow;
}

/* Applies a block's filters to its text, innermost first. */
static bool filter_text(struct jinja_run *r, const struct jinja_node *filter, struct jinja_value text, struct jinja_value *ret) {
    struct jinja_args_room room;
    struct jinja_args args;
    struct jinja_value self = text;
    if (filter == NULL) {
        *ret = text;
        return true;
    }
    if (filter->apply.row == NULL) return jinja_fail(r, "no filter named '%.*s'", (int)filter->apply.name->len, filter->apply.name->data);
    if (!jinja_enter(r)) return false;
    bool ok = filter_text(r, filter->apply.of, text, &self) && jinja_eval_args(r, filter->apply.args, &room, &args) &&
              jinja_apply(r, filter->apply.row, self, &args, ret);
    jinja_leave(r);
    return ok;
}

static enum jinja_flow exec_set_block(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_value text;
    enum jinja_flow flow = capture(r, &n->set.body, &text);
    if (flow != JINJA_NEXT) return flow;
    return filter_text(r, n->set.value, text, &text) && jinja_assign(r, n->set.target, text) ? JINJA_NEXT : JINJA_STOP;
}

static enum jinja_flow exec_filter_block(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_value text;
    enum jinja_flow flow = capture(r, &n->with.body, &text);
    if (flow != JINJA_NEXT) return flow;
    return filter_text(r, n->with.filter, text, &text) && jinja_show(r, r->out, text) ? JINJA_NEXT : JINJA_STOP;
}

/* ---- loops ---- */

static bool peek(struct jinja_run *r, struct jinja_loop *l, bool *ret_more) {
    if (l->after.type != JINJA_MISSING) {
        *ret_more = true;
        return true;
    }
    return jinja_iter_next(r, l->iter, &l->after, ret_more);
}

static bool loop_next(struct jinja_run *r, struct jinja_loop *l, bool *ret_more) {
    struct jinja_value v = l->after;
    if (v.type != JINJA_MISSING) {
        l->after = jinja_missing();
        *ret_more = true;
    } else if (!jinja_iter_next(r, l->iter, &v, ret_more)) {
        return false;
    }
    if (!*ret_more) return true;
    l->index0++; /* from SIZE_MAX to 0 */
    l->before = l->current;
    l->current = v;
    return true;
}

/* The number of rounds in all. If it is unknown, the rest is read ahead. */
static bool loop_length(struct jinja_run *r, struct jinja_loop *l, size_t *ret) {
    struct jinja_value rest = {.type = JINJA_ITER, .iter = l->iter};
    if (!l->has_length && !jinja_has_length(l->source, &l->length)) {
        if (!jinja_to_list(r, rest, JINJA_LIST, &rest) || !jinja_iter_new(r, rest, &l->iter)) return false;
        l->length = l->index0 + 1 + rest.list->n + (l->after.type != JINJA_MISSING);
    }
    l->has_length = true;
    *ret = l->length;
    return true;
}

bool jinja_loop_attr(struct jinja_run *r, struct jinja_loop *l, const struct jinja_str *name, struct jinja_value *ret) {
    static const char *const names[] = {"index",     "index0",   "first",    "last",  "length", "revindex",
                                        "revindex0", "previtem", "nextitem", "depth", "depth0"};
    size_t which = 0, length = 0;
    bool more;
    *ret = jinja_missing();
    while (which < sizeof(names) / sizeof(*names) && !jinja_str_is(name, names[which], __builtin_strlen(names[which]))) which++;
    if (which >= 4 && which <= 6 && !loop_length(r, l, &length)) return false;
    if ((which == 3 || which == 8) && !peek(r, l, &more)) return false;
    switch (which) {
    case 0: *ret = jinja_int((int64_t)l->index0 + 1); break;
    case 1: *ret = jinja_int((int64_t)l->index0); break;
    case 2: *ret = jinja_bool(l->index0 == 0); break;
    case 3: *ret = jinja_bool(!more); break;
    case 4: *ret = jinja_int((int64_t)length); break;
    case 5: *ret = jinja_int((int64_t)(length - l->index0)); break;
    case 6: *ret = jinja_int((int64_t)(length - l->index0) - 1); break;
    case 7: *ret = l->index0 > 0 ? l->before : jinja_undefined("there is no previous item"); break;
    case 8: *ret = more ? l->after : jinja_undefined("there is no next item"); break;
    case 9: *ret = jinja_int((int64_t)l->depth0 + 1); break;
    case 10: *ret = jinja_int((int64_t)l->depth0); break;
    default: break;
    }
    return true;
}

/* The next item for which the loop's "if" is true. */
static bool next_passing(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    const struct jinja_loop *l = it->own;
    struct jinja_scope *scope = r->scope;
    for (;;) {
        struct jinja_value item, test;
        if (!jinja_iter_next(r, it->of.iter, &item, ret_more)) return false;
        if (!*ret_more) return true;
        if ((r->scope = jinja_scope_new(r, l->outer)) == NULL) {
            r->scope = scope;
            return false;
        }
        bool ok = jinja_assign(r, l->n->loop.target, item) && jinja_eval(r, l->n->loop.test, &test);
        r->scope = scope;
        if (!ok) return false;
        if (!jinja_truth(test)) continue;
        if (l->n->loop.target->kind == JINJA_MAKE_TUPLE)
            return jinja_to_list(r, item, JINJA_TUPLE, ret); /* the parts become one value again */
        *ret = item;
        return true;
    }
}

static bool loop_start(struct jinja_run *r, struct jinja_loop *l, const struct jinja_node *n, struct jinja_value in) {
    *l = (struct jinja_loop){.n = n, .outer = r->scope, .source = in, .index0 = SIZE_MAX};
    if (!jinja_iter_new(r, in, &l->iter)) return false;
    if (n->loop.test == NULL) return true;
    struct jinja_iter *passing = jinja_alloc(r, sizeof(*passing));
    if (passing == NULL) return false;
    *passing = (struct jinja_iter){.next = next_passing, .of = {.type = JINJA_ITER, .iter = l->iter}, .own = l};
    l->iter = passing;
    l->source = jinja_missing();
    return true;
}

/* Runs the rounds; *ret_none: no round reached its end. */
static enum jinja_flow loop_rounds(struct jinja_run *r, struct jinja_loop *l, uint32_t loop_name, bool *ret_none) {
    enum jinja_flow flow = JINJA_NEXT;
    struct jinja_scope *scope = NULL;
    bool more;
    *ret_none = true;
    while (flow != JINJA_LEAVE && flow != JINJA_STOP) {
        if (!loop_next(r, l, &more)) return JINJA_STOP;
        if (!more) return JINJA_NEXT;
        if (scope == NULL || scope->kept) scope = jinja_scope_new(r, l->outer);
        if (scope == NULL) return JINJA_STOP;
        scope->n = 0;
        r->scope = scope;
        struct jinja_value self = {.type = JINJA_LOOP, .loop = l};
        bool ok = (!l->n->uses_loop || jinja_scope_set(r, loop_name, self)) && jinja_assign(r, l->n->loop.target, l->current);
        flow = ok ? jinja_exec(r, &l->n->loop.body) : JINJA_STOP;
        if (flow == JINJA_NEXT) *ret_none = false;
        r->scope = l->outer;
    }
    return flow == JINJA_STOP ? JINJA_STOP : JINJA_NEXT;
}

static enum jinja_flow run_loop(struct jinja_run *r, const struct jinja_node *n, struct jinja_value in, size_t depth0) {
    struct jinja_loop here, *l = n->uses_loop || n->loop.test != NULL ? jinja_alloc(r, sizeof(*l)) : &here;
    bool none;
    if (l == NULL || !loop_start(r, l, n, in)) return JINJA_STOP;
    l->depth0 = depth0;
    enum jinja_flow flow = loop_rounds(r, l, r->t->loop_name, &none);
    if (flow == JINJA_STOP || !none) return flow;
    return jinja_exec(r, &n->loop.otherwise);
}

bool jinja_loop_call(struct jinja_run *r, const struct jinja_loop *l, struct jinja_value in, struct jinja_value *ret) {
    struct jinja_scope *scope = r->scope;
    struct jinja_out *out = r->out, own = {0};
    if (!l->n->recursive) return jinja_fail(r, "the loop must have the 'recursive' marker to be called recursively");
    if (!jinja_enter(r)) return false;
    r->scope = l->outer;
    r->out = &own;
    bool ok = run_loop(r, l->n, in, l->depth0 + 1) != JINJA_STOP && jinja_out_take(r, &own, ret);
    r->scope = scope;
    r->out = out;
    jinja_leave(r);
    return ok;
}

static enum jinja_flow exec_for(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_value in;
    if (!jinja_eval(r, n->loop.in, &in)) return JINJA_STOP;
    return run_loop(r, n, in, 0);
}

/* ---- the others ---- */

static enum jinja_flow exec_if(struct jinja_run *r, const struct jinja_node *n) {
    for (uint32_t i = 0; i < n->branch.tests.n; i++) {
        struct jinja_value test;
        if (!jinja_eval(r, n->branch.tests.list[i], &test)) return JINJA_STOP;
        if (jinja_truth(test)) return jinja_exec(r, &n->branch.bodies[i]);
    }
    return jinja_exec(r, &n->branch.otherwise);
}

static enum jinja_flow exec_in_scope(struct jinja_run *r, const struct jinja_nodes *body, struct jinja_scope *scope) {
    struct jinja_scope *outer = r->scope;
    if (scope == NULL) return JINJA_STOP;
    r->scope = scope;
    enum jinja_flow flow = jinja_exec(r, body);
    r->scope = outer;
    return flow;
}

/* Evaluates the values outside; sets the targets inside. */
static enum jinja_flow exec_with(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_scope *outer = r->scope, *scope = jinja_scope_new(r, outer);
    for (uint32_t i = 0; scope != NULL && i < n->with.targets.n; i++) {
        struct jinja_value v;
        if (!jinja_eval(r, n->with.values.list[i], &v)) return JINJA_STOP;
        r->scope = scope;
        bool ok = jinja_assign(r, n->with.targets.list[i], v);
        r->scope = outer;
        if (!ok) return JINJA_STOP;
    }
    return exec_in_scope(r, &n->with.body, scope);
}

static bool exec_call_block(struct jinja_run *r, const struct jinja_node *n) {
    const struct jinja_node *call = n->def.call;
    const struct jinja_str *names[JINJA_ARGS_ROOM + 1];
    struct jinja_value callee, caller, text, values[JINJA_ARGS_ROOM + 1];
    struct jinja_args_room room;
    struct jinja_args args;
    if (!jinja_eval(r, call->call.of, &callee) || !jinja_eval_args(r, call->call.args, &room, &args)) return false;
    if (!jinja_macro_new(r, n, &caller)) return false;
    if (args.n_named > JINJA_ARGS_ROOM) return jinja_fail(r, "too many named arguments in a call block");
    for (size_t i = 0; i < args.n_named; i++) {
        names[i] = args.names[i];
        values[i] = args.values[i];
    }
    names[args.n_named] = r->t->symbols[n->def.name].text; /* "caller" */
    values[args.n_named] = caller;
    args.names = names;
    args.values = values;
    args.n_named++;
    return jinja_call(r, callee, &args, &text) && jinja_show(r, r->out, text);
}

static bool exec_print(struct jinja_run *r, const struct jinja_node *what) {
    struct jinja_value v;
    if (what->kind != JINJA_CONCAT) return jinja_eval(r, what, &v) && jinja_show(r, r->out, v);
    for (uint32_t i = 0; i < what->list.n; i++)
        if (!jinja_eval(r, what->list.list[i], &v) || !jinja_show(r, r->out, v)) return false;
    return true;
}

static bool exec_set(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_value v;
    return jinja_eval(r, n->set.value, &v) && jinja_assign(r, n->set.target, v);
}

static bool exec_def(struct jinja_run *r, const struct jinja_node *n) {
    struct jinja_value macro;
    return jinja_macro_new(r, n, &macro) && jinja_scope_set(r, n->def.name, macro);
}

static enum jinja_flow exec_one(struct jinja_run *r, const struct jinja_node *n) {
    bool ok;
    r->line = n->line;
    switch ((enum jinja_node_kind)n->kind) {
    case JINJA_IF: return exec_if(r, n);
    case JINJA_FOR: return exec_for(r, n);
    case JINJA_SET_BLOCK: return exec_set_block(r, n);
    case JINJA_FILTER_BLOCK: return exec_filter_block(r, n);
    case JINJA_WITH: return exec_with(r, n);
    case JINJA_SCOPE: return exec_in_scope(r, &n->def.body, jinja_scope_new(r, r->scope));
    case JINJA_BREAK: return JINJA_LEAVE;
    case JINJA_CONTINUE: return JINJA_AGAIN;
    case JINJA_TEXT: ok = jinja_out_write(r, r->out, n->constant.s->data, n->constant.s->len); break;
    case JINJA_PRINT: ok = exec_print(r, n->pair.a); break;
    case JINJA_SET: ok = exec_set(r, n); break;
    case JINJA_DEF: ok = exec_def(r, n); break;
    case JINJA_CALL_BLOCK: ok = exec_call_block(r, n); break;
    default: ok = jinja_fail(r, "an expression stands where a statement should"); break;
    }
    return ok ? JINJA_NEXT : JINJA_STOP;
}

enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_nodes *body) {
    if (body->n == 0) return JINJA_NEXT;
    if (!jinja_enter(r)) return JINJA_STOP;
    enum jinja_flow flow = JINJA_NEXT;
    for (uint32_t i = 0; i < body->n && flow == JINJA_NEXT; i++) flow = jinja_spend(r, 1) ? exec_one(r, body->list[i]) : JINJA_STOP;
    jinja_leave(r);
    return flow;
}
