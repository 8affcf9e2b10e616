/* SPDX-License-Identifier: MIT
 * Comparing values: equality, order, membership. See value_priv.h. */
#include <string.h>

#include "base/mem.h"
#include "jinja/compare_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/number_priv.h"
#include "jinja/object_priv.h"
#include "jinja/run_priv.h"

static bool equal_items(struct jinja_run *r, const struct jinja_list *a, const struct jinja_list *b, bool *ret) {
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        if (!jinja_equal(r, a->items[i], b->items[i], &same)) return false;
    *ret = same;
    return true;
}

static bool equal_dicts(struct jinja_run *r, const struct jinja_dict *a, const struct jinja_dict *b, bool *ret) {
    bool same = a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++) {
        const struct jinja_value *other;
        if (!jinja_dict_find(r, b, a->entries[i].key, &other)) return false;
        same = other != NULL;
        if (same && !jinja_equal(r, a->entries[i].value, *other, &same)) return false;
    }
    *ret = same;
    return true;
}

static bool equal_deep(struct jinja_run *r, struct jinja_value a, struct jinja_value b, bool *ret) {
    if (a.type == JINJA_DICT && b.type == JINJA_DICT) return equal_dicts(r, a.dict, b.dict, ret);
    if (jinja_is_list(a) && a.type == b.type) return equal_items(r, a.list, b.list, ret);
    *ret = false;
    if (a.type == JINJA_RANGE && b.type == JINJA_RANGE)
        *ret = a.range->n == b.range->n &&
               (a.range->n == 0 || (a.range->start == b.range->start && (a.range->n == 1 || a.range->step == b.range->step)));
    else if (a.type == JINJA_UNDEFINED && b.type == JINJA_UNDEFINED) *ret = true;
    else *ret = jinja_same(a, b);
    return true;
}

bool jinja_equal(struct jinja_run *r, struct jinja_value a, struct jinja_value b, bool *ret) {
    if (a.type == JINJA_STR && b.type == JINJA_STR) {
        *ret = a.s->len == b.s->len && memcmp(a.s->data, b.s->data, a.s->len) == 0;
        return jinja_spend_bytes(r, a.s->len);
    }
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *ret = jinja_number_order(a, b) == 0;
        return true;
    }
    if (!jinja_enter(r)) return false;
    bool ok = equal_deep(r, a, b, ret);
    jinja_leave(r);
    return ok;
}

static bool order_items(struct jinja_run *r, const struct jinja_list *a, const struct jinja_list *b, const char *op, int *ret) {
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!jinja_equal(r, a->items[i], b->items[i], &same)) return false;
        if (!same) return jinja_order(r, a->items[i], b->items[i], op, ret);
    }
    *ret = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool jinja_order(struct jinja_run *r, struct jinja_value a, struct jinja_value b, const char *op, int *ret) {
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *ret = jinja_number_order(a, b);
        return true;
    }
    if (a.type == JINJA_STR && b.type == JINJA_STR) {
        size_t n = a.s->len < b.s->len ? a.s->len : b.s->len;
        int c = memcmp(a.s->data, b.s->data, n); /* the byte order of UTF-8 is the order of code points */
        *ret = c != 0 ? (c > 0) - (c < 0) : (a.s->len > b.s->len) - (a.s->len < b.s->len);
        return jinja_spend_bytes(r, n);
    }
    if (jinja_is_list(a) && a.type == b.type) {
        if (!jinja_enter(r)) return false;
        bool ok = order_items(r, a.list, b.list, op, ret);
        jinja_leave(r);
        return ok;
    }
    if (a.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, a);
    if (b.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, b);
    return jinja_fail(r, "'%s' not supported between instances of '%s' and '%s'", op, jinja_type_name(a), jinja_type_name(b));
}

static bool contains_text(struct jinja_run *r, const struct jinja_str *in, struct jinja_value what, bool *ret) {
    if (what.type != JINJA_STR) return jinja_fail(r, "'in <string>' requires string as left operand, not %s", jinja_type_name(what));
    *ret = what.s->len == 0 || mem_find(in->data, in->len, what.s->data, what.s->len) != NULL;
    return jinja_spend_bytes(r, in->len);
}

bool jinja_contains(struct jinja_run *r, struct jinja_value in, struct jinja_value what, bool *ret) {
    if (in.type == JINJA_STR) return contains_text(r, in.s, what, ret);
    if (in.type == JINJA_DICT || (in.type == JINJA_VIEW && in.aux == JINJA_KEYS)) {
        const struct jinja_value *found;
        if (!jinja_dict_find(r, in.dict, what, &found)) return false;
        *ret = found != NULL;
        return true;
    }
    struct jinja_iter *it;
    struct jinja_value item;
    bool more, same = false;
    if (!jinja_iterable(in)) return jinja_fail(r, "argument of type '%s' is not iterable", jinja_type_name(in));
    if (!jinja_iter_new(r, in, &it)) return false;
    do {
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (more && !jinja_equal(r, item, what, &same)) return false;
    } while (more && !same);
    *ret = same;
    return true;
}
