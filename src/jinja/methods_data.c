/* SPDX-License-Identifier: MIT
 * Methods of lists, mappings, floats, loops and cyclers. */
#include <math.h>

#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/iter_priv.h"

#define JINJA_METHOD(name) \
    bool jinja_method_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)

/* ---- lists ---- */

JINJA_METHOD(list_count) {
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) {
        bool same;
        if (!jinja_spend(r, 1) || !jinja_equal(r, self.list->items[i], a[0], &same)) return false;
        n += same;
    }
    *ret = jinja_int(n);
    return true;
}

JINJA_METHOD(list_index) {
    int64_t n = (int64_t)self.list->n, from = 0, to = n;
    if (!jinja_arg_int(r, a[1], "start", &from) || !jinja_arg_int(r, a[2], "stop", &to)) return false;
    if (from < 0) from = from + n > 0 ? from + n : 0;
    if (to < 0) to += n;
    for (int64_t i = from; i < to && i < n; i++) {
        bool same;
        if (!jinja_spend(r, 1) || !jinja_equal(r, self.list->items[i], a[0], &same)) return false;
        if (!same) continue;
        *ret = jinja_int(i);
        return true;
    }
    return jinja_fail(r, "index(): the value is not in the list");
}

JINJA_METHOD(list_copy) { return (void)a, jinja_list_part(r, self, 0, self.list->n, ret); }

JINJA_METHOD(list_append) {
    *ret = jinja_none();
    return jinja_list_add(r, self.list, a[0]);
}

JINJA_METHOD(list_extend) {
    struct jinja_value more;
    *ret = jinja_none();
    if (!jinja_to_list(r, a[0], JINJA_LIST, &more)) return false;
    for (size_t i = 0; i < more.list->n; i++)
        if (!jinja_list_add(r, self.list, more.list->items[i])) return false;
    return true;
}

/* Gives the list items of its own: other lists may share the old ones. */
static bool take_over(struct jinja_run *r, struct jinja_list *l, size_t skip, size_t gap, struct jinja_value put) {
    struct jinja_value copy;
    if (!jinja_list_new(r, JINJA_LIST, l->n + 1, &copy) || !jinja_spend(r, l->n / 4)) return false;
    for (size_t i = 0; i <= l->n; i++) {
        if (i == gap && !jinja_list_add(r, copy.list, put)) return false;
        if (i < l->n && i != skip && !jinja_list_add(r, copy.list, l->items[i])) return false;
    }
    *l = *copy.list;
    return true;
}

JINJA_METHOD(list_insert) {
    int64_t n = (int64_t)self.list->n, at = 0;
    *ret = jinja_none();
    if (!jinja_arg_int(r, a[0], "index", &at)) return false;
    if (at < 0) at = at + n > 0 ? at + n : 0;
    return take_over(r, self.list, SIZE_MAX, (size_t)(at < n ? at : n), a[1]);
}

JINJA_METHOD(list_pop) {
    struct jinja_list *l = self.list;
    int64_t n = (int64_t)l->n, at = -1;
    if (!jinja_arg_int(r, a[0], "index", &at)) return false;
    if (at < 0) at += n;
    if (at < 0 || at >= n) return jinja_fail(r, n == 0 ? "pop from empty list" : "pop index out of range");
    *ret = l->items[at];
    if (at == 0) l->items++;
    else if (at < n - 1) return take_over(r, l, (size_t)at, SIZE_MAX, jinja_none());
    l->n--;
    return true;
}

/* ---- mappings ---- */

JINJA_METHOD(dict_get) {
    const struct jinja_value *found;
    if (!jinja_dict_find(r, self.dict, a[0], &found)) return false;
    *ret = found != NULL ? *found : a[1].type != JINJA_MISSING ? a[1] : jinja_none();
    return true;
}

static bool view(struct jinja_value self, enum jinja_view which, struct jinja_value *ret) {
    *ret = (struct jinja_value){.type = JINJA_VIEW, .aux = (uint8_t)which, .dict = self.dict};
    return true;
}

JINJA_METHOD(dict_items) { return (void)r, (void)a, view(self, JINJA_ITEMS, ret); }
JINJA_METHOD(dict_keys) { return (void)r, (void)a, view(self, JINJA_KEYS, ret); }
JINJA_METHOD(dict_values) { return (void)r, (void)a, view(self, JINJA_VALUES, ret); }
JINJA_METHOD(dict_copy) { return (void)r, (void)a, *ret = self, true; } /* mappings never change */

/* ---- others ---- */

JINJA_METHOD(float_is_integer) { return (void)r, (void)a, *ret = jinja_bool(isfinite(self.f) && floor(self.f) == self.f), true; }

bool jinja_method_loop_cycle(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret) {
    if (args->n == 0) return jinja_fail(r, "no items for cycling given");
    *ret = args->list[self.loop->index0 % args->n];
    return true;
}

bool jinja_method_loop_changed(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret) {
    struct jinja_value now;
    bool same = false;
    if (!jinja_list_new(r, JINJA_TUPLE, args->n, &now)) return false;
    for (size_t i = 0; i < args->n; i++)
        if (!jinja_list_add(r, now.list, args->list[i])) return false;
    if (self.loop->changed.type != JINJA_MISSING && !jinja_equal(r, self.loop->changed, now, &same)) return false;
    if (!same) self.loop->changed = now;
    *ret = jinja_bool(!same);
    return true;
}

JINJA_METHOD(cycler_next) {
    struct jinja_cycler *c = self.cycler;
    (void)r, (void)a;
    *ret = c->items.list->items[c->at];
    c->at = (c->at + 1) % c->items.list->n;
    return true;
}

JINJA_METHOD(cycler_reset) { return (void)r, (void)a, self.cycler->at = 0, *ret = jinja_none(), true; }
