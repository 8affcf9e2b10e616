/* SPDX-License-Identifier: MIT
 * Calls: arguments, rows written in C, macros. */
#include <string.h>

#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/show_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/eval_priv.h"

/* ---- arguments ---- */

/* Adds the values of *x. */
static bool add_star(struct jinja_run *r, const struct jinja_node *star, struct jinja_args *a) {
    struct jinja_value more, all;
    if (!jinja_eval(r, star, &more) || !jinja_to_list(r, more, JINJA_LIST, &more)) return false;
    if (!jinja_list_new(r, JINJA_LIST, a->n + more.list->n, &all)) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jinja_list_add(r, all.list, a->list[i])) return false;
    for (size_t i = 0; i < more.list->n; i++)
        if (!jinja_list_add(r, all.list, more.list->items[i])) return false;
    a->list = all.list->items;
    a->n = all.list->n;
    return true;
}

/* Adds the values of **x. */
static bool add_star_star(struct jinja_run *r, const struct jinja_node *star_star, struct jinja_args *a) {
    struct jinja_value named, values;
    if (!jinja_eval(r, star_star, &named)) return false;
    if (named.type != JINJA_DICT) return jinja_fail(r, "argument after ** must be a mapping, not %s", jinja_type_name(named));
    size_t n = a->n_named + named.dict->n;
    const struct jinja_str **names = jinja_alloc(r, (n + 1) * sizeof(*names));
    if (names == NULL || !jinja_list_new(r, JINJA_LIST, n + 1, &values)) return false;
    for (size_t i = 0; i < a->n_named; i++) {
        names[i] = a->names[i];
        if (!jinja_list_add(r, values.list, a->values[i])) return false;
    }
    for (uint32_t i = 0; i < named.dict->n; i++) {
        if (named.dict->entries[i].key.type != JINJA_STR) return jinja_fail(r, "keywords must be strings");
        names[a->n_named + i] = named.dict->entries[i].key.s;
        if (!jinja_list_add(r, values.list, named.dict->entries[i].value)) return false;
    }
    a->names = names;
    a->values = values.list->items;
    a->n_named = n;
    return true;
}

bool jinja_eval_args(struct jinja_run *r, const struct jinja_call_args *from, struct jinja_args_room *room, struct jinja_args *ret) {
    struct jinja_value *list = room->list, *values = room->values;
    if (from->list.n > JINJA_ARGS_ROOM && (list = jinja_alloc(r, from->list.n * sizeof(*list))) == NULL) return false;
    if (from->values.n > JINJA_ARGS_ROOM && (values = jinja_alloc(r, from->values.n * sizeof(*values))) == NULL) return false;
    for (uint32_t i = 0; i < from->list.n; i++)
        if (!jinja_eval(r, from->list.list[i], &list[i])) return false;
    for (uint32_t i = 0; i < from->values.n; i++)
        if (!jinja_eval(r, from->values.list[i], &values[i])) return false;
    *ret = (struct jinja_args){.list = list, .n = from->list.n, .names = from->names, .values = values, .n_named = from->values.n};
    if (from->star != NULL && !add_star(r, from->star, ret)) return false;
    return from->star_star == NULL || add_star_star(r, from->star_star, ret);
}

/* ---- rows in C ---- */

/* The index of a name in "one two three"; -1: not found. */
static int param_place(const char *params, const struct jinja_str *name) {
    int place = 0;
    for (const char *at = params; *at != '\0'; place++) {
        size_t len = strcspn(at, " ");
        if (jinja_str_is(name, at, len)) return place;
        at += len + (at[len] == ' ');
    }
    return -1;
}

static int param_count(const char *params) {
    int n = *params != '\0';
    for (const char *at = params; *at != '\0'; at++) n += *at == ' ';
    return n;
}

static bool place_args(struct jinja_run *r, const struct jinja_builtin *row, const struct jinja_args *args, struct jinja_value *a) {
    int n = param_count(row->params);
    for (int i = 0; i < JINJA_MAX_PARAMS; i++) a[i] = jinja_missing();
    if (args->n > (size_t)n) return jinja_fail(r, "%s() takes at most %d arguments (%zu given)", row->name, n, args->n);
    for (size_t i = 0; i < args->n; i++) a[i] = args->list[i];
    for (size_t i = 0; i < args->n_named; i++) {
        int place = param_place(row->params, args->names[i]);
        int len = args->names[i]->len < 60 ? (int)args->names[i]->len : 60;
        if (place < 0) return jinja_fail(r, "%s() got an unexpected keyword argument '%.*s'", row->name, len, args->names[i]->data);
        if (a[place].type != JINJA_MISSING)
            return jinja_fail(r, "%s() got multiple values for argument '%.*s'", row->name, len, args->names[i]->data);
        a[place] = args->values[i];
    }
    for (int i = 0; i < row->need; i++)
        if (a[i].type == JINJA_MISSING) return jinja_fail(r, "%s() takes at least %d arguments", row->name, row->need);
    return true;
}

bool jinja_apply(struct jinja_run *r, const struct jinja_builtin *row, struct jinja_value self, const struct jinja_args *args,
                 struct jinja_value *ret) {
    struct jinja_value a[JINJA_MAX_PARAMS], result = jinja_none();
    if (row->any != NULL ? !row->any(r, self, args, &result) : !place_args(r, row, args, a) || !row->fn(r, self, a, &result)) return false;
    *ret = result;
    return true;
}

bool jinja_apply_test(struct jinja_run *r, const struct jinja_builtin *row, struct jinja_value self, const struct jinja_args *args,
                      bool *ret) {
    struct jinja_value result;
    if (!jinja_apply(r, row, self, args, &result)) return false;
    *ret = jinja_truth(result);
    return true;
}

bool jinja_arg_int(struct jinja_run *r, struct jinja_value v, const char *name, int64_t *ret) {
    if (v.type == JINJA_MISSING) return true;
    if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, v);
    if (!jinja_is_int(v)) return jinja_fail(r, "argument '%s' must be an integer, not %s", name, jinja_type_name(v));
    *ret = jinja_int_of(v);
    return true;
}

bool jinja_arg_str(struct jinja_run *r, struct jinja_value v, const char *name, const struct jinja_str **ret) {
    if (v.type == JINJA_MISSING) return true;
    if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, v);
    if (v.type != JINJA_STR) return jinja_fail(r, "argument '%s' must be a string, not %s", name, jinja_type_name(v));
    *ret = v.s;
    return true;
}

/* ---- macros ---- */

bool jinja_macro_new(struct jinja_run *r, const struct jinja_node *def, struct jinja_value *ret) {
    struct jinja_macro *m = jinja_alloc(r, sizeof(*m));
    if (m == NULL) return false;
    *m = (struct jinja_macro){.def = def, .scope = r->scope};
    for (struct jinja_scope *s = r->scope; s != NULL && !s->kept; s = s->up) s->kept = true;
    *ret = (struct jinja_value){.type = JINJA_MACRO, .macro = m};
    return true;
}

bool jinja_macro_show(struct jinja_run *r, struct jinja_out *o, const struct jinja_macro *m) {
    if (m->def->kind != JINJA_DEF) return jinja_out_printf(r, o, "<Macro anonymous>");
    const struct jinja_str *name = r->t->symbols[m->def->def.name].text;
    return jinja_out_printf(r, o, "<Macro ") && jinja_show_repr(r, o, jinja_of_str(name)) && jinja_out_byte(r, o, '>');
}

static const struct jinja_str *macro_name(struct jinja_run *r, const struct jinja_macro *m) { return r->t->symbols[m->def->def.name].text; }

/* The parameter for an argument of this name; UINT32_MAX: none. */
static uint32_t macro_param(struct jinja_run *r, const struct jinja_signature *s, const struct jinja_str *name) {
    for (uint32_t i = 0; i < s->n; i++) {
        const struct jinja_str *param = r->t->symbols[s->params[i]].text;
        if (jinja_str_is(param, name->data, name->len)) return i;
    }
    return UINT32_MAX;
}

static bool set_by_name(struct jinja_run *r, const char *name, struct jinja_value v) {
    for (uint32_t i = 0; i < r->t->n_symbols; i++)
        if (jinja_str_is(r->t->symbols[i].text, name, strlen(name))) return jinja_scope_set(r, i, v);
    return true; /* a name that the template doesn't contain is not used */
}

/* Named arguments that are not parameters: "caller", kwargs, or an error. */
static bool bind_rest(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *args) {
    const struct jinja_signature *s = m->def->def.signature;
    const struct jinja_str *name = macro_name(r, m);
    struct jinja_value kwargs, caller = jinja_undefined("no caller defined");
    bool caller_param = false;
    for (uint32_t i = 0; i < s->n; i++) caller_param |= jinja_str_is(r->t->symbols[s->params[i]].text, "caller", 6);
    if (!jinja_dict_new(r, JINJA_DICT, &kwargs)) return false;
    for (size_t i = 0; i < args->n_named; i++) {
        if (macro_param(r, s, args->names[i]) != UINT32_MAX) continue;
        bool is_caller = jinja_str_is(args->names[i], "caller", 6);
        if (is_caller && s->takes_caller) {
            caller = args->values[i];
        } else if (s->takes_kwargs) {
            if (!jinja_dict_set(r, kwargs.dict, jinja_of_str(args->names[i]), args->values[i])) return false;
        } else {
            return jinja_fail(r, "macro '%.*s' takes no keyword argument '%.*s'", (int)name->len, name->data, (int)args->names[i]->len,
                              args->names[i]->data);
        }
    }
    if (s->takes_caller && !caller_param && !set_by_name(r, "caller", caller)) return false;
    return !s->takes_kwargs || set_by_name(r, "kwargs", kwargs);
}

static bool bind_varargs(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *args) {
    const struct jinja_signature *s = m->def->def.signature;
    const struct jinja_str *name = macro_name(r, m);
    struct jinja_value rest;
    if (!s->takes_args) {
        if (args->n <= s->n) return true;
        return jinja_fail(r, "macro '%.*s' takes not more than %u argument(s)", (int)name->len, name->data, s->n);
    }
    if (!jinja_list_new(r, JINJA_TUPLE, args->n > s->n ? args->n - s->n : 0, &rest)) return false;
    for (size_t i = s->n; i < args->n; i++)
        if (!jinja_list_add(r, rest.list, args->list[i])) return false;
    return set_by_name(r, "varargs", rest);
}

/* The argument for a parameter; *ret MISSING: it was not given. */
static bool argument_of(struct jinja_run *r, const struct jinja_args *args, uint32_t i, const struct jinja_str *param,
                        struct jinja_value *ret) {
    *ret = i < args->n ? args->list[i] : jinja_missing();
    for (size_t k = 0; k < args->n_named; k++) {
        if (!jinja_str_is(args->names[k], param->data, param->len)) continue;
        if (ret->type != JINJA_MISSING) return jinja_fail(r, "macro got multiple values for argument '%.*s'", (int)param->len, param->data);
        *ret = args->values[k];
    }
    return true;
}

/* Sets the parameters in the macro's scope, which is the current one. A default sees the parameters before it; the others are undefined. */
static bool bind_params(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *args) {
    const struct jinja_signature *s = m->def->def.signature;
    struct jinja_value v;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct jinja_str *param = r->t->symbols[s->params[i]].text;
        if (!argument_of(r, args, i, param, &v)) return false;
        if (v.type == JINJA_MISSING) v = (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_NO_VARIABLE, .s = param};
        if (!jinja_scope_set(r, s->params[i], v)) return false;
    }
    for (uint32_t i = (uint32_t)(args->n < s->n ? args->n : s->n); i < s->n; i++) {
        if (s->defaults[i] == NULL || !argument_of(r, args, i, r->t->symbols[s->params[i]].text, &v)) continue;
        if (v.type == JINJA_MISSING && (!jinja_eval(r, s->defaults[i], &v) || !jinja_scope_set(r, s->params[i], v))) return false;
    }
    return bind_rest(r, m, args) && bind_varargs(r, m, args);
}

bool jinja_macro_call(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *args, struct jinja_value *ret) {
    struct jinja_scope *outer = r->scope;
    struct jinja_out *out = r->out, own = {0};
    if (!jinja_enter(r)) return false;
    struct jinja_scope *scope = jinja_scope_new(r, m->scope);
    bool ok = scope != NULL;
    if (ok) {
        r->scope = scope;
        r->out = &own;
        ok = bind_params(r, m, args) && jinja_exec(r, &m->def->def.body) != JINJA_STOP && jinja_out_take(r, &own, ret);
        r->scope = outer;
        r->out = out;
    }
    jinja_leave(r);
    return ok;
}

/* ---- any call ---- */

bool jinja_call(struct jinja_run *r, struct jinja_value callee, const struct jinja_args *args, struct jinja_value *ret) {
    switch (callee.type) {
    case JINJA_MACRO: return jinja_macro_call(r, callee.macro, args, ret);
    case JINJA_FUNCTION: return jinja_apply(r, callee.function, jinja_none(), args, ret);
    case JINJA_METHOD: return jinja_apply(r, callee.method->row, callee.method->self, args, ret);
    case JINJA_LOOP:
        if (args->n != 1 || args->n_named > 0) return jinja_fail(r, "loop() takes one argument");
        return jinja_loop_call(r, callee.loop, args->list[0], ret);
    case JINJA_JOINER:
        if (callee.joiner->used) *ret = callee.joiner->text;
        else if (!jinja_str_refer(r, "", 0, ret)) return false;
        callee.joiner->used = true;
        return true;
    case JINJA_UNDEFINED: return jinja_fail_undefined(r, callee);
    default: return jinja_fail(r, "'%s' object is not callable", jinja_type_name(callee));
    }
}
