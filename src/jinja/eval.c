/* SPDX-License-Identifier: MIT
 * Expressions to values. */
#include <string.h>

#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/text.h"
#include "jinja/show_priv.h"
#include "jinja/number_priv.h"
#include "jinja/eval_priv.h"
#include "jinja/text_ops_priv.h"

/* ---- variables ---- */

struct jinja_scope *jinja_scope_new(struct jinja_run *r, struct jinja_scope *up) {
    struct jinja_scope *s = jinja_alloc(r, sizeof(*s));
    if (s == NULL) return NULL;
    s->up = up;
    s->list = s->first;
    s->cap = sizeof(s->first) / sizeof(*s->first);
    return s;
}

struct jinja_value jinja_scope_get(const struct jinja_run *r, uint32_t name) {
    for (const struct jinja_scope *s = r->scope; s != NULL; s = s->up)
        for (uint32_t i = 0; i < s->n; i++)
            if (s->list[i].name == name) return s->list[i].value;
    return r->globals[name];
}

bool jinja_scope_set(struct jinja_run *r, uint32_t name, struct jinja_value v) {
    struct jinja_scope *s = r->scope;
    if (s == NULL) {
        r->globals[name] = v;
        return true;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->list[i].name != name) continue;
        s->list[i].value = v;
        return true;
    }
    if (s->n == s->cap) {
        struct jinja_binding *list = jinja_alloc(r, 2 * s->cap * sizeof(*list));
        if (list == NULL) return false;
        memcpy(list, s->list, s->n * sizeof(*list));
        s->list = list;
        s->cap *= 2;
    }
    s->list[s->n++] = (struct jinja_binding){.name = name, .value = v};
    return true;
}

static bool eval_name(struct jinja_run *r, uint32_t name, struct jinja_value *ret) {
    const struct jinja_symbol *s = &r->t->symbols[name];
    *ret = jinja_scope_get(r, name);
    if (ret->type != JINJA_MISSING) return true;
    if (s->global != NULL) *ret = (struct jinja_value){.type = JINJA_FUNCTION, .function = s->global};
    else *ret = (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_NO_VARIABLE, .s = s->text};
    return true;
}

/* ---- attributes and items ---- */

static struct jinja_value lacks(struct jinja_value of, const struct jinja_str *name) {
    return (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_NO_ATTRIBUTE, .owner = of.type, .s = name};
}

static bool bind(struct jinja_run *r, struct jinja_value self, const struct jinja_builtin *row, const struct jinja_str *name,
                 struct jinja_value *ret) {
    if (row->fn == NULL && row->any == NULL) {
        *ret = (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_UNSAFE, .owner = self.type, .s = name};
        return true;
    }
    struct jinja_bound *b = jinja_alloc(r, sizeof(*b));
    if (b == NULL) return false;
    *b = (struct jinja_bound){.self = self, .row = row};
    *ret = (struct jinja_value){.type = JINJA_METHOD, .method = b};
    return true;
}

/* Attributes that are not methods; *ret MISSING: there is none of this name. */
static bool find_data(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret) {
    const struct jinja_value *found;
    *ret = jinja_missing();
    switch (of.type) {
    case JINJA_NAMESPACE:
        if (!jinja_dict_find(r, of.dict, jinja_of_str(name), &found)) return false;
        if (found != NULL) *ret = *found;
        return true;
    case JINJA_LOOP: return jinja_loop_attr(r, of.loop, name, ret);
    case JINJA_CYCLER:
        if (jinja_str_is(name, "current", 7)) *ret = of.cycler->items.list->items[of.cycler->at];
        return true;
    case JINJA_MACRO:
        if (jinja_str_is(name, "name", 4)) *ret = jinja_of_str(r->t->symbols[of.macro->def->def.name].text);
        return true;
    case JINJA_TUPLE: /* a result of groupby */
        if (of.aux && jinja_str_is(name, "grouper", 7)) *ret = of.list->items[0];
        if (of.aux && jinja_str_is(name, "list", 4)) *ret = of.list->items[1];
        return true;
    default: return true;
    }
}

static bool get_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_builtin *method, const struct jinja_str *name,
                     struct jinja_value *ret) {
    const struct jinja_value *found;
    if (method != NULL) return bind(r, of, method, name, ret);
    if (of.type == JINJA_DICT) {
        if (!jinja_dict_find(r, of.dict, jinja_of_str(name), &found)) return false;
        *ret = found != NULL ? *found : lacks(of, name);
        return true;
    }
    if (of.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, of);
    if (!find_data(r, of, name, ret)) return false;
    if (ret->type == JINJA_MISSING) *ret = lacks(of, name);
    return true;
}

bool jinja_find_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret) {
    const struct jinja_builtin *methods[JINJA_TYPES] = {0};
    jinja_methods_find(name, methods);
    if (methods[of.type] != NULL) return bind(r, of, methods[of.type], name, ret);
    return find_data(r, of, name, ret);
}

bool jinja_get_attr(struct jinja_run *r, struct jinja_value of, const struct jinja_str *name, struct jinja_value *ret) {
    const struct jinja_builtin *methods[JINJA_TYPES] = {0};
    jinja_methods_find(name, methods);
    return get_attr(r, of, methods[of.type], name, ret);
}

/* A number as the index of n items; a negative one counts from the end. false: there is no such item. */
static bool index_of(struct jinja_value key, size_t n, size_t *ret) {
    if (!jinja_is_int(key)) return false;
    int64_t i = jinja_int_of(key);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n) return false;
    *ret = (size_t)i;
    return true;
}

static bool char_item(struct jinja_run *r, const struct jinja_str *s, size_t i, struct jinja_value *ret) {
    size_t n = 1;
    if (jinja_str_chars(s) != s->len) {
        i = jinja_char_offset(s->data, s->len, i);
        jinja_char_at(s->data + i, s->len - i, &n);
    }
    return jinja_spend_bytes(r, i) && jinja_str_part(r, s, i, n, ret);
}

/* of[key] before attributes are tried; *ret MISSING: there is no such item. */
static bool plain_item(struct jinja_run *r, struct jinja_value of, struct jinja_value key, struct jinja_value *ret) {
    const struct jinja_value *found;
    size_t i;
    *ret = jinja_missing();
    switch (of.type) {
    case JINJA_DICT:
        if (!jinja_hashable(key)) return true;
        if (!jinja_dict_find(r, of.dict, key, &found)) return false;
        if (found != NULL) *ret = *found;
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
        if (index_of(key, of.list->n, &i)) *ret = of.list->items[i];
        return true;
    case JINJA_STR: return !index_of(key, jinja_str_chars(of.s), &i) || char_item(r, of.s, i, ret);
    case JINJA_RANGE:
        if (index_of(key, of.range->n, &i)) *ret = jinja_range_item(of.range, i);
        return true;
    default: return true;
    }
}

bool jinja_get_item(struct jinja_run *r, struct jinja_value of, struct jinja_value key, struct jinja_value *ret) {
    struct jinja_value found;
    if (of.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, of);
    if (!plain_item(r, of, key, &found)) return false;
    if (found.type == JINJA_MISSING && key.type == JINJA_STR && !jinja_find_attr(r, of, key.s, &found)) return false;
    *ret = found.type != JINJA_MISSING ? found : lacks(of, key.type == JINJA_STR ? key.s : NULL);
    return true;
}

/* ---- slices ---- */

static bool slice_number(struct jinja_run *r, const struct jinja_node *n, int64_t *ret, bool *ret_given) {
    struct jinja_value v = jinja_none();
    if (n != NULL && !jinja_eval(r, n, &v)) return false;
    *ret_given = v.type != JINJA_NONE;
    if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, v);
    if (*ret_given && !jinja_is_int(v)) return jinja_fail(r, "slice indices must be integers or None");
    if (*ret_given) *ret = jinja_int_of(v);
    return true;
}

static int64_t clamp_index(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0) i = i < -n ? -1 : i + n;
    return i < low ? low : i > high ? high : i;
}

struct cut {
    int64_t start, stop, step;
    size_t n;
};

/* The items of a slice of n items, with Python's rules. */
static bool cut_of(struct jinja_run *r, const struct jinja_node *slice, size_t count, struct cut *ret) {
    int64_t start = 0, stop = 0, step = 1, n = (int64_t)count;
    bool has_start, has_stop, has_step;
    if (!slice_number(r, slice->slice.start, &start, &has_start) || !slice_number(r, slice->slice.stop, &stop, &has_stop) ||
        !slice_number(r, slice->slice.step, &step, &has_step))
        return false;
    if (step == 0) return jinja_fail(r, "slice step cannot be zero");
    if (step > n + 1) step = n + 1; /* the result is one item or none, as with any larger step */
    if (step < -n - 1) step = -n - 1;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    start = has_start ? clamp_index(start, n, low, high) : step > 0 ? low : high;
    stop = has_stop ? clamp_index(stop, n, low, high) : step > 0 ? high : low;
    int64_t span = step > 0 ? stop - start : start - stop, size = step > 0 ? step : -step;
    *ret = (struct cut){.start = start, .stop = stop, .step = step, .n = span > 0 ? (size_t)((span + size - 1) / size) : 0};
    return true;
}

static bool slice_text(struct jinja_run *r, const struct jinja_str *s, const struct cut *c, struct jinja_value *ret) {
    bool ascii = jinja_str_chars(s) == s->len;
    struct jinja_out o = {0};
    if (c->step == 1 || c->n == 0) {
        size_t from = c->n == 0 ? 0 : ascii ? (size_t)c->start : jinja_char_offset(s->data, s->len, (size_t)c->start);
        size_t len = ascii || c->n == 0 ? c->n : jinja_char_offset(s->data + from, s->len - from, c->n);
        return jinja_spend_bytes(r, ascii ? 0 : s->len) && jinja_str_part(r, s, from, len, ret);
    }
    for (size_t i = 0; i < c->n; i++) {
        struct jinja_value one;
        if (!char_item(r, s, (size_t)(c->start + (int64_t)i * c->step), &one) || !jinja_out_write(r, &o, one.s->data, one.s->len))
            return false;
    }
    return jinja_out_take(r, &o, ret) && jinja_str_safe(r, ret->s, s->safe, ret);
}

static bool slice_list(struct jinja_run *r, struct jinja_value list, const struct cut *c, struct jinja_value *ret) {
    struct jinja_value part;
    if (c->step == 1) return jinja_list_part(r, list, c->n > 0 ? (size_t)c->start : 0, c->n, ret);
    if (!jinja_list_new(r, list.type, c->n, &part)) return false;
    for (size_t i = 0; i < c->n; i++)
        if (!jinja_list_add(r, part.list, list.list->items[c->start + (int64_t)i * c->step])) return false;
    *ret = part;
    return jinja_spend(r, c->n / 4);
}

static bool eval_slice(struct jinja_run *r, struct jinja_value of, const struct jinja_node *slice, struct jinja_value *ret) {
    size_t n;
    struct cut c = {0};
    if (of.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, of);
    if (of.type != JINJA_STR && !jinja_is_list(of) && of.type != JINJA_RANGE)
        return jinja_fail(r, "'%s' object has no slices", jinja_type_name(of));
    jinja_has_length(of, &n);
    if (!cut_of(r, slice, n, &c)) return false;
    if (of.type == JINJA_STR) return slice_text(r, of.s, &c, ret);
    if (of.type != JINJA_RANGE) return slice_list(r, of, &c, ret);
    struct jinja_range *range = jinja_alloc(r, sizeof(*range));
    if (range == NULL) return false;
    *range = (struct jinja_range){.start = of.range->start + c.start * of.range->step,
                                  .stop = of.range->start + c.stop * of.range->step,
                                  .step = of.range->step * c.step,
                                  .n = c.n};
    *ret = (struct jinja_value){.type = JINJA_RANGE, .range = range};
    return true;
}

/* ---- operators ---- */

/* Markup plus text: escapes the text. */
static bool add_texts(struct jinja_run *r, const struct jinja_str *a, const struct jinja_str *b, struct jinja_value *ret) {
    bool safe = a->safe || b->safe;
    struct jinja_value left = jinja_of_str(a), right = jinja_of_str(b);
    if (safe && (!jinja_str_escape(r, a, &left) || !jinja_str_escape(r, b, &right))) return false;
    return jinja_str_concat(r, left.s, right.s, ret) && jinja_str_safe(r, ret->s, safe, ret);
}

static bool add_lists(struct jinja_run *r, struct jinja_value a, struct jinja_value b, struct jinja_value *ret) {
    struct jinja_value sum;
    if (!jinja_list_part(r, a, 0, a.list->n, &sum) || !jinja_spend(r, b.list->n)) return false;
    size_t n = b.list->n; /* b may be a */
    for (size_t i = 0; i < n; i++)
        if (!jinja_list_add(r, sum.list, b.list->items[i])) return false;
    *ret = sum;
    return true;
}

static bool repeat(struct jinja_run *r, struct jinja_value what, int64_t times, struct jinja_value *ret) {
    struct jinja_out o = {0};
    struct jinja_value list;
    size_t n = what.type == JINJA_STR ? what.s->len : what.list->n;
    if (times < 0 || n == 0) times = 0;
    if (n > 0 && (uint64_t)times > r->limits.memory / n) return jinja_fail_memory(r);
    if (what.type == JINJA_STR) {
        for (int64_t i = 0; i < times; i++)
            if (!jinja_spend(r, 1) || !jinja_out_write(r, &o, what.s->data, what.s->len)) return false;
        return jinja_out_take(r, &o, ret) && jinja_str_safe(r, ret->s, what.s->safe, ret);
    }
    if (!jinja_list_new(r, what.type, n * (size_t)times, &list)) return false;
    for (size_t i = 0; i < n * (size_t)times; i++)
        if (!jinja_list_add(r, list.list, what.list->items[i % n])) return false;
    *ret = list;
    return jinja_spend(r, n * (size_t)times);
}

static bool cannot(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b) {
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (a.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, a);
    if (b.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, b);
    return jinja_fail(r, "unsupported operand types for %s: '%s' and '%s'", signs[op], jinja_type_name(a), jinja_type_name(b));
}

bool jinja_binary(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b, struct jinja_value *ret) {
    if (jinja_is_number(a) && jinja_is_number(b)) return jinja_number_op(r, op, a, b, ret);
    if (op == JINJA_ADD) {
        if (a.type == JINJA_STR && b.type == JINJA_STR) return add_texts(r, a.s, b.s, ret);
        if (jinja_is_list(a) && a.type == b.type) return add_lists(r, a, b, ret);
    }
    if (op == JINJA_MUL) {
        if ((a.type == JINJA_STR || jinja_is_list(a)) && jinja_is_int(b)) return repeat(r, a, jinja_int_of(b), ret);
        if ((b.type == JINJA_STR || jinja_is_list(b)) && jinja_is_int(a)) return repeat(r, b, jinja_int_of(a), ret);
    }
    if (op == JINJA_MOD && a.type == JINJA_STR) return jinja_format_percent(r, a.s, b, ret);
    return cannot(r, op, a, b);
}

static bool compare(struct jinja_run *r, enum jinja_compare op, struct jinja_value a, struct jinja_value b, bool *ret) {
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    bool yes = false;
    int order = 0;
    switch (op) {
    case JINJA_EQ:
    case JINJA_NE:
        if (!jinja_equal(r, a, b, &yes)) return false;
        *ret = yes == (op == JINJA_EQ);
        return true;
    case JINJA_IN:
    case JINJA_NOT_IN:
        if (!jinja_contains(r, b, a, &yes)) return false;
        *ret = yes == (op == JINJA_IN);
        return true;
    default: break;
    }
    if (!jinja_order(r, a, b, signs[op], &order)) return false;
    if (order == 2) *ret = false;
    else *ret = op == JINJA_LT ? order < 0 : op == JINJA_LE ? order <= 0 : op == JINJA_GT ? order > 0 : order >= 0;
    return true;
}

/* a < b < c: compares each pair until one is false. */
static bool eval_compare(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value a, b;
    bool yes = true;
    if (!jinja_eval(r, n->compare.first, &a)) return false;
    for (uint32_t i = 0; i < n->compare.rest.n && yes; i++) {
        if (!jinja_eval(r, n->compare.rest.list[i], &b) || !compare(r, n->compare.ops[i], a, b, &yes)) return false;
        a = b;
    }
    *ret = jinja_bool(yes);
    return true;
}

/* a ~ b ~ c. A long text that is built piece by piece is extended in place. */
static bool eval_concat(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    enum { LONG = 256 };
    struct jinja_out o = {0};
    struct jinja_value v, sum;
    const struct jinja_str *text;
    uint32_t i = 0;
    if (!jinja_eval(r, n->list.list[0], &v)) return false;
    if (v.type != JINJA_STR || v.s->len < LONG || v.s->tail == NULL) {
        do {
            if (!jinja_show(r, &o, v)) return false;
            if (++i < n->list.n && !jinja_eval(r, n->list.list[i], &v)) return false;
        } while (i < n->list.n);
        return jinja_out_take(r, &o, ret);
    }
    sum = v;
    while (++i < n->list.n)
        if (!jinja_eval(r, n->list.list[i], &v) || !jinja_to_str(r, v, &text) || !jinja_str_concat(r, sum.s, text, &sum)) return false;
    return jinja_str_safe(r, sum.s, false, ret);
}

/* ---- literals ---- */

static bool eval_list(struct jinja_run *r, const struct jinja_node *n, enum jinja_type type, struct jinja_value *ret) {
    struct jinja_value list, item;
    if (!jinja_list_new(r, type, n->list.n, &list)) return false;
    for (uint32_t i = 0; i < n->list.n; i++)
        if (!jinja_eval(r, n->list.list[i], &item) || !jinja_list_add(r, list.list, item)) return false;
    *ret = list;
    return true;
}

static bool eval_dict(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value dict, key, value;
    if (!jinja_dict_new(r, JINJA_DICT, &dict)) return false;
    for (uint32_t i = 0; i < n->list.n; i += 2) {
        if (!jinja_eval(r, n->list.list[i], &key) || !jinja_eval(r, n->list.list[i + 1], &value)) return false;
        if (!jinja_dict_set(r, dict.dict, key, value)) return false;
    }
    *ret = dict;
    return true;
}

/* ---- calls ---- */

static bool eval_call(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    const struct jinja_node *of = n->call.of;
    struct jinja_args_room room;
    struct jinja_args args;
    struct jinja_value callee;
    if (of->kind == JINJA_ATTR) {
        struct jinja_value self;
        if (!jinja_eval(r, of->attr.of, &self)) return false;
        const struct jinja_symbol *s = &r->t->symbols[of->attr.name];
        const struct jinja_builtin *method = s->methods[self.type];
        if (method != NULL && (method->fn != NULL || method->any != NULL))
            return jinja_eval_args(r, n->call.args, &room, &args) && jinja_apply(r, method, self, &args, ret);
        if (!get_attr(r, self, method, s->text, &callee)) return false;
    } else if (!jinja_eval(r, of, &callee)) {
        return false;
    }
    return jinja_eval_args(r, n->call.args, &room, &args) && jinja_call(r, callee, &args, ret);
}

static bool eval_filter(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_args_room room;
    struct jinja_args args;
    struct jinja_value self;
    if (n->apply.row == NULL) return jinja_fail(r, "no filter named '%.*s'", (int)n->apply.name->len, n->apply.name->data);
    return jinja_eval(r, n->apply.of, &self) && jinja_eval_args(r, n->apply.args, &room, &args) &&
           jinja_apply(r, n->apply.row, self, &args, ret);
}

static bool eval_test(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_args_room room;
    struct jinja_args args;
    struct jinja_value self;
    bool yes;
    if (n->apply.row == NULL) return jinja_fail(r, "no test named '%.*s'", (int)n->apply.name->len, n->apply.name->data);
    if (!jinja_eval(r, n->apply.of, &self) || !jinja_eval_args(r, n->apply.args, &room, &args)) return false;
    if (!jinja_apply_test(r, n->apply.row, self, &args, &yes)) return false;
    *ret = jinja_bool(yes);
    return true;
}

static bool eval_attr(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    const struct jinja_symbol *s = &r->t->symbols[n->attr.name];
    struct jinja_value of;
    return jinja_eval(r, n->attr.of, &of) && get_attr(r, of, s->methods[of.type], s->text, ret);
}

static bool eval_item(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value of, key;
    if (!jinja_eval(r, n->item.of, &of)) return false;
    if (n->item.key->kind == JINJA_SLICE) return eval_slice(r, of, n->item.key, ret);
    return jinja_eval(r, n->item.key, &key) && jinja_get_item(r, of, key, ret);
}

/* ---- all of them ---- */

static bool eval_cond(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value test;
    if (!jinja_eval(r, n->cond.test, &test)) return false;
    if (jinja_truth(test)) return jinja_eval(r, n->cond.yes, ret);
    if (n->cond.no != NULL) return jinja_eval(r, n->cond.no, ret);
    *ret = jinja_undefined("the inline if-expression evaluated to false and no else section was defined");
    return true;
}

static bool eval_logic(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value a;
    if (!jinja_eval(r, n->pair.a, &a)) return false;
    if (n->kind != JINJA_NOT && jinja_truth(a) == (n->kind == JINJA_AND)) return jinja_eval(r, n->pair.b, ret);
    *ret = n->kind == JINJA_NOT ? jinja_bool(!jinja_truth(a)) : a;
    return true;
}

static bool eval_arithmetic(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    struct jinja_value a, b;
    if (!jinja_eval(r, n->pair.a, &a)) return false;
    if (n->kind == JINJA_BINARY) return jinja_eval(r, n->pair.b, &b) && jinja_binary(r, n->op, a, b, ret);
    if (a.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, a);
    if (!jinja_is_number(a)) return jinja_fail(r, "bad operand type for a sign: '%s'", jinja_type_name(a));
    if (n->kind == JINJA_NEGATE) return jinja_number_negate(r, a, ret);
    *ret = a.type == JINJA_BOOL ? jinja_int(a.b) : a;
    return true;
}

static bool eval_deep(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    switch ((enum jinja_node_kind)n->kind) {
    case JINJA_ATTR: return eval_attr(r, n, ret);
    case JINJA_ITEM: return eval_item(r, n, ret);
    case JINJA_CALL: return eval_call(r, n, ret);
    case JINJA_FILTER: return eval_filter(r, n, ret);
    case JINJA_TEST: return eval_test(r, n, ret);
    case JINJA_BINARY:
    case JINJA_NEGATE:
    case JINJA_PLUS: return eval_arithmetic(r, n, ret);
    case JINJA_NOT:
    case JINJA_AND:
    case JINJA_OR: return eval_logic(r, n, ret);
    case JINJA_COMPARE: return eval_compare(r, n, ret);
    case JINJA_CONCAT: return eval_concat(r, n, ret);
    case JINJA_COND: return eval_cond(r, n, ret);
    case JINJA_MAKE_LIST: return eval_list(r, n, JINJA_LIST, ret);
    case JINJA_MAKE_TUPLE: return eval_list(r, n, JINJA_TUPLE, ret);
    case JINJA_MAKE_DICT: return eval_dict(r, n, ret);
    default: return jinja_fail(r, "a slice stands where it cannot");
    }
}

bool jinja_eval(struct jinja_run *r, const struct jinja_node *n, struct jinja_value *ret) {
    if (n->kind == JINJA_CONST) {
        *ret = n->constant;
        return jinja_spend(r, 1);
    }
    if (n->kind == JINJA_NAME) return jinja_spend(r, 1) && eval_name(r, n->name, ret);
    if (!jinja_enter(r)) return false;
    r->line = n->line;
    bool ok = eval_deep(r, n, ret);
    jinja_leave(r);
    return ok;
}
