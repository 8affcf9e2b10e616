/* SPDX-License-Identifier: MIT
 * Filters of lists, mappings and numbers. map, select and the like do their work while they are iterated, not before. */
#include <math.h>
#include <string.h>

#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/show_priv.h"
#include "jinja/number_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/eval_priv.h"
#include "jinja/text_ops_priv.h"

#define JINJA_FILTER_OF(name) \
    bool jinja_filter_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)
#define JINJA_ANY_FILTER_OF(name) \
    bool jinja_filter_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret)

static struct jinja_value items_of(struct jinja_value dict) {
    return (struct jinja_value){.type = JINJA_VIEW, .aux = JINJA_ITEMS, .dict = dict.dict};
}

static bool as_iter(struct jinja_run *r, struct jinja_value of, struct jinja_value *ret) {
    struct jinja_iter *it;
    if (!jinja_iter_new(r, of, &it)) return false;
    *ret = (struct jinja_value){.type = JINJA_ITER, .iter = it};
    return true;
}

/* ---- attributes and order ---- */

/* One step: the text before the next dot; digits are a number. */
static bool follow_one(struct jinja_run *r, struct jinja_value of, const struct jinja_str *path, size_t from, size_t to,
                       struct jinja_value *ret) {
    struct jinja_value key;
    bool digits = to > from;
    for (size_t i = from; i < to; i++) digits = digits && path->data[i] >= '0' && path->data[i] <= '9';
    if (digits ? !jinja_number_parse_int(r, path->data + from, to - from, 10, &key) : !jinja_str_part(r, path, from, to - from, &key))
        return false;
    return jinja_get_item(r, of, key, ret);
}

static bool follow_path(struct jinja_run *r, struct jinja_value of, const struct jinja_str *path, size_t from, size_t to,
                        struct jinja_value otherwise, struct jinja_value *ret) {
    struct jinja_value v = of;
    for (;;) {
        const char *dot = memchr(path->data + from, '.', to - from);
        size_t end = dot != NULL ? (size_t)(dot - path->data) : to;
        if (!follow_one(r, v, path, from, end, &v)) return false;
        if (v.type == JINJA_UNDEFINED && jinja_given(otherwise)) v = otherwise;
        if (dot == NULL) break;
        from = end + 1;
    }
    *ret = v;
    return true;
}

/* otherwise: replaces an undefined value on the way; MISSING: nothing does. */
static bool follow_or(struct jinja_run *r, struct jinja_value of, struct jinja_value attribute, struct jinja_value otherwise,
                      struct jinja_value *ret) {
    if (attribute.type == JINJA_STR) return follow_path(r, of, attribute.s, 0, attribute.s->len, otherwise, ret);
    *ret = of;
    if (!jinja_given(attribute)) return true;
    if (!jinja_get_item(r, of, attribute, ret)) return false;
    if (ret->type == JINJA_UNDEFINED && jinja_given(otherwise)) *ret = otherwise;
    return true;
}

static bool follow(struct jinja_run *r, struct jinja_value of, struct jinja_value attribute, struct jinja_value *ret) {
    return follow_or(r, of, attribute, jinja_missing(), ret);
}

/* The sort key of a value. Several attributes become a tuple, even if only one of them is given: so equal values are never compared
 * further. */
static bool sort_value(struct jinja_run *r, struct jinja_value of, const struct jinja_sort_key *key, struct jinja_value *ret) {
    struct jinja_value v = of, tuple;
    if (key == NULL) {
        *ret = of;
        return true;
    }
    if (key->item >= 0) v = of.list->items[key->item];
    if (!key->several || key->attribute.type != JINJA_STR) {
        if (!follow(r, v, key->attribute, &v) || (key->fold && !jinja_lower_key(r, v, &v))) return false;
        *ret = v;
        if (!key->several) return true;
        return jinja_list_new(r, JINJA_TUPLE, 1, &tuple) && jinja_list_add(r, tuple.list, v) && (*ret = tuple, true);
    }
    const struct jinja_str *path = key->attribute.s;
    if (!jinja_list_new(r, JINJA_TUPLE, 2, &tuple)) return false;
    for (size_t from = 0; from <= path->len;) {
        const char *comma = memchr(path->data + from, ',', path->len - from);
        size_t end = comma != NULL ? (size_t)(comma - path->data) : path->len;
        if (!follow_path(r, of, path, from, end, jinja_missing(), &v) || (key->fold && !jinja_lower_key(r, v, &v)) ||
            !jinja_list_add(r, tuple.list, v))
            return false;
        from = end + 1;
    }
    *ret = tuple;
    return true;
}

struct sortable {
    struct jinja_value key, value;
};

/* Merges two sorted halves; stable, in reverse too. */
static bool merge(struct jinja_run *r, struct sortable *from, size_t n, size_t half, struct sortable *to, bool reverse) {
    size_t a = 0, b = half;
    for (size_t i = 0; i < n; i++) {
        int order = 0;
        bool left = b == n;
        if (a < half && b < n) {
            /* Python only asks whether the later one is less. */
            if (!jinja_spend(r, 1)) return false;
            if (reverse ? !jinja_order(r, from[a].key, from[b].key, "<", &order) : !jinja_order(r, from[b].key, from[a].key, "<", &order))
                return false;
            left = order >= 0;
        }
        to[i] = left ? from[a++] : from[b++];
    }
    return true;
}

static bool merge_sort(struct jinja_run *r, struct sortable *list, size_t n, struct sortable *room, bool reverse) {
    if (n < 2) return true;
    size_t half = n / 2;
    if (!merge_sort(r, list, half, room, reverse) || !merge_sort(r, list + half, n - half, room, reverse)) return false;
    if (!merge(r, list, n, half, room, reverse)) return false;
    memcpy(list, room, n * sizeof(*list));
    return true;
}

bool jinja_sort(struct jinja_run *r, struct jinja_list *l, bool reverse, const struct jinja_sort_key *key) {
    if (l->n < 2 && key == NULL) return true;
    struct sortable *list = jinja_alloc(r, (2 * l->n + 1) * sizeof(*list));
    if (list == NULL) return false;
    for (size_t i = 0; i < l->n; i++) {
        list[i].value = l->items[i];
        if (!sort_value(r, l->items[i], key, &list[i].key)) return false;
    }
    if (!merge_sort(r, list, l->n, list + l->n, reverse)) return false;
    for (size_t i = 0; i < l->n; i++) l->items[i] = list[i].value;
    return true;
}

JINJA_FILTER_OF(sort) {
    const struct jinja_sort_key key = {.attribute = a[2], .fold = !jinja_flag(a[1]), .several = true, .item = -1};
    return jinja_to_list(r, self, JINJA_LIST, ret) && jinja_sort(r, ret->list, jinja_flag(a[0]), &key);
}

JINJA_FILTER_OF(dictsort) {
    const struct jinja_str *by = NULL;
    struct jinja_sort_key key = {.fold = !jinja_flag(a[0]), .item = 0};
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (self.type != JINJA_DICT) return jinja_fail(r, "dictsort needs a mapping, not %s", jinja_type_name(self));
    if (!jinja_arg_str(r, a[1], "by", &by)) return false;
    if (by != NULL && jinja_str_is(by, "value", 5)) key.item = 1;
    else if (by != NULL && !jinja_str_is(by, "key", 3)) return jinja_fail(r, "You can only sort by either \"key\" or \"value\"");
    return jinja_to_list(r, items_of(self), JINJA_LIST, ret) && jinja_sort(r, ret->list, jinja_flag(a[2]), &key);
}

JINJA_FILTER_OF(unique) {
    struct jinja_value list, seen, kept, key;
    const struct jinja_value *found;
    if (!jinja_to_list(r, self, JINJA_LIST, &list) || !jinja_dict_new(r, JINJA_DICT, &seen) || !jinja_list_new(r, JINJA_LIST, 0, &kept))
        return false;
    for (size_t i = 0; i < list.list->n; i++) {
        if (!follow(r, list.list->items[i], a[1], &key) || (!jinja_flag(a[0]) && !jinja_lower_key(r, key, &key))) return false;
        if (!jinja_dict_find(r, seen.dict, key, &found)) return false;
        if (found != NULL) continue;
        if (!jinja_dict_set(r, seen.dict, key, jinja_none()) || !jinja_list_add(r, kept.list, list.list->items[i])) return false;
    }
    return as_iter(r, kept, ret);
}

static bool group_key(struct jinja_run *r, struct jinja_value of, const struct jinja_value *a, bool fold, struct jinja_value *ret) {
    if (!follow_or(r, of, a[0], a[1], ret)) return false;
    return !fold || jinja_lower_key(r, *ret, ret);
}

/* Pairs of a key and the items that have it; the pairs have the attributes grouper and list. */
JINJA_FILTER_OF(groupby) {
    bool fold = !jinja_flag(a[2]), same = false;
    struct jinja_value pairs, groups, members = jinja_missing(), last = jinja_missing();
    struct jinja_sort_key by_key = {.item = 0};
    if (!jinja_to_list(r, self, JINJA_LIST, &pairs) || !jinja_list_new(r, JINJA_LIST, 0, &groups)) return false;
    for (size_t i = 0; i < pairs.list->n; i++) {
        struct jinja_value key, item = pairs.list->items[i];
        if (!group_key(r, item, a, fold, &key) || !jinja_pair(r, key, item, &pairs.list->items[i])) return false;
    }
    if (!jinja_sort(r, pairs.list, false, &by_key)) return false;
    for (size_t i = 0; i < pairs.list->n; i++) {
        struct jinja_value key = pairs.list->items[i].list->items[0], item = pairs.list->items[i].list->items[1], shown = key, group;
        if (i > 0 && !jinja_equal(r, last, key, &same)) return false;
        if (i == 0 || !same) {
            if (!jinja_list_new(r, JINJA_LIST, 0, &members) || (fold && !group_key(r, item, a, false, &shown))) return false;
            if (!jinja_pair(r, shown, members, &group)) return false;
            group.aux = 1;
            if (!jinja_list_add(r, groups.list, group)) return false;
        }
        if (!jinja_list_add(r, members.list, item)) return false;
        last = key;
    }
    *ret = groups;
    return true;
}

static bool extreme(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool most, struct jinja_value *ret) {
    struct jinja_value item, best = jinja_missing(), key, best_key = jinja_missing();
    struct jinja_iter *it;
    bool more;
    if (!jinja_iter_new(r, self, &it)) return false;
    for (;;) {
        int order = 0;
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (!more) break;
        if (!follow(r, item, a[1], &key) || (!jinja_flag(a[0]) && !jinja_lower_key(r, key, &key))) return false;
        if (best.type != JINJA_MISSING && !jinja_order(r, key, best_key, most ? ">" : "<", &order)) return false;
        if (best.type != JINJA_MISSING && (order == 2 || (most ? order <= 0 : order >= 0))) continue;
        best = item;
        best_key = key;
    }
    *ret = best.type != JINJA_MISSING ? best : jinja_undefined("no aggregated item, sequence was empty");
    return true;
}

JINJA_FILTER_OF(min) { return extreme(r, self, a, false, ret); }
JINJA_FILTER_OF(max) { return extreme(r, self, a, true, ret); }

JINJA_FILTER_OF(sum) {
    struct jinja_value total = a[1].type == JINJA_MISSING ? jinja_int(0) : a[1], item;
    struct jinja_iter *it;
    bool more;
    if (total.type == JINJA_STR) return jinja_fail(r, "sum() can't sum strings");
    if (!jinja_iter_new(r, self, &it)) return false;
    for (;;) {
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (!more) break;
        if (!follow(r, item, a[0], &item) || !jinja_binary(r, JINJA_ADD, total, item, &total)) return false;
    }
    *ret = total;
    return true;
}

/* ---- parts ---- */

JINJA_FILTER_OF(length) {
    size_t n;
    (void)a;
    if (!jinja_length(r, self, &n)) return false;
    *ret = jinja_int((int64_t)n);
    return true;
}

JINJA_FILTER_OF(first) {
    struct jinja_iter *it;
    bool more;
    (void)a;
    *ret = jinja_undefined("no first item, sequence was empty");
    return jinja_iter_new(r, self, &it) && jinja_iter_next(r, it, ret, &more);
}

JINJA_FILTER_OF(last) {
    struct jinja_value list;
    size_t n;
    (void)a;
    if (self.type == JINJA_ITER || !jinja_has_length(self, &n))
        return jinja_fail(r, "'%s' object is not reversible", jinja_type_name(self));
    if (self.type == JINJA_STR && n > 0) {
        size_t at = jinja_str_chars(self.s) == self.s->len ? n - 1 : SIZE_MAX;
        if (at != SIZE_MAX) return jinja_str_part(r, self.s, at, 1, ret);
    }
    *ret = jinja_undefined("no last item, sequence was empty");
    if (n == 0) return true;
    if (jinja_is_list(self)) list = self;
    else if (!jinja_to_list(r, self, JINJA_LIST, &list)) return false;
    *ret = list.list->items[n - 1];
    return true;
}

JINJA_FILTER_OF(list) { return (void)a, jinja_to_list(r, self, JINJA_LIST, ret); }

static bool reverse_text(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret) {
    struct jinja_value chars, none;
    if (!jinja_to_list(r, jinja_of_str(s), JINJA_LIST, &chars) || !jinja_str_refer(r, "", 0, &none)) return false;
    struct jinja_list *l = chars.list;
    for (size_t i = 0; i < l->n / 2; i++) {
        struct jinja_value v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
    return jinja_text_join(r, none.s, chars, true, ret) && jinja_str_safe(r, ret->s, s->safe, ret);
}

JINJA_FILTER_OF(reverse) {
    struct jinja_value list;
    (void)a;
    if (self.type == JINJA_STR) return reverse_text(r, self.s, ret);
    if (!jinja_iterable(self)) return jinja_fail(r, "argument must be iterable");
    if (!jinja_to_list(r, self, JINJA_LIST, &list)) return false;
    for (size_t i = 0; i < list.list->n / 2; i++) {
        struct jinja_value v = list.list->items[i];
        list.list->items[i] = list.list->items[list.list->n - 1 - i];
        list.list->items[list.list->n - 1 - i] = v;
    }
    if (self.type != JINJA_ITER) return as_iter(r, list, ret);
    *ret = list;
    return true;
}

JINJA_FILTER_OF(items) {
    (void)a;
    if (self.type == JINJA_UNDEFINED) return as_iter(r, self, ret);
    if (self.type != JINJA_DICT) return jinja_fail(r, "can only get item pairs from a mapping");
    return as_iter(r, items_of(self), ret);
}

JINJA_FILTER_OF(join) {
    const struct jinja_str *between;
    struct jinja_value items = self, list, plain, d = a[0];
    if (d.type == JINJA_MISSING && !jinja_str_refer(r, "", 0, &d)) return false;
    if (jinja_given(a[1])) {
        if (!jinja_to_list(r, self, JINJA_LIST, &list)) return false;
        for (size_t i = 0; i < list.list->n; i++)
            if (!follow(r, list.list->items[i], a[1], &list.list->items[i])) return false;
        items = list;
    }
    return jinja_to_str(r, d, &between) && jinja_str_safe(r, between, false, &plain) && jinja_text_join(r, plain.s, items, false, ret);
}

/* Lists of n each (batch), or n lists (slice). */
static bool divide(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool slices, struct jinja_value *ret) {
    struct jinja_value list, all, part;
    int64_t n = 0;
    if (!jinja_arg_int(r, a[0], slices ? "slices" : "linecount", &n) || !jinja_to_list(r, self, JINJA_LIST, &list)) return false;
    if (n <= 0) return jinja_fail(r, "the number of parts must be above 0");
    if (!jinja_list_new(r, JINJA_LIST, 0, &all)) return false;
    size_t count = list.list->n, each = slices ? count / (size_t)n : (size_t)n, longer = slices ? count % (size_t)n : 0, at = 0;
    for (size_t i = 0; slices ? i < (size_t)n : at < count; i++) {
        size_t size = each + (i < longer), here = size < count - at ? size : count - at;
        if (!jinja_spend(r, 1) || !jinja_list_new(r, JINJA_LIST, 0, &part)) return false;
        for (size_t k = 0; k < here; k++)
            if (!jinja_list_add(r, part.list, list.list->items[at++])) return false;
        size_t fill = slices ? i >= longer : size - here;
        for (size_t k = 0; jinja_given(a[1]) && k < fill; k++)
            if (!jinja_spend(r, 1) || !jinja_list_add(r, part.list, a[1])) return false;
        if (!jinja_list_add(r, all.list, part)) return false;
    }
    return as_iter(r, all, ret);
}

JINJA_FILTER_OF(batch) { return divide(r, self, a, false, ret); }
JINJA_FILTER_OF(slice) { return divide(r, self, a, true, ret); }

/* ---- single values ---- */

JINJA_FILTER_OF(default) {
    bool use = self.type == JINJA_UNDEFINED || (jinja_flag(a[1]) && !jinja_truth(self));
    *ret = self;
    if (use && a[0].type == JINJA_MISSING) return jinja_str_refer(r, "", 0, ret);
    if (use) *ret = a[0];
    return true;
}

JINJA_FILTER_OF(attr) {
    const struct jinja_str *name = NULL;
    if (!jinja_arg_str(r, a[0], "name", &name)) return false;
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (!jinja_find_attr(r, self, name, ret)) return false;
    if (ret->type == JINJA_MISSING)
        *ret = (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_NO_ATTRIBUTE, .owner = self.type, .s = name};
    return true;
}

JINJA_FILTER_OF(abs) {
    (void)a;
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (!jinja_is_number(self)) return jinja_fail(r, "bad operand type for abs(): '%s'", jinja_type_name(self));
    *ret = self.type == JINJA_BOOL ? jinja_int(self.b) : self;
    if (self.type == JINJA_FLOAT) *ret = jinja_float(fabs(self.f));
    return self.type == JINJA_FLOAT || jinja_number_order(*ret, jinja_int(0)) >= 0 || jinja_number_negate(r, *ret, ret);
}

JINJA_FILTER_OF(int) {
    int64_t base = 10;
    double f;
    *ret = a[0].type == JINJA_MISSING ? jinja_int(0) : a[0];
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (!jinja_arg_int(r, a[1], "base", &base)) return false;
    if (self.type == JINJA_STR) {
        if (base != 0 && (base < 2 || base > 36)) return true;
        if (jinja_number_parse_int(r, self.s->data, self.s->len, (int)base, ret)) return true;
        if (r->end != JINJA_DONE) return false;
        if (!jinja_number_parse_float(self.s->data, self.s->len, &f) || !isfinite(f)) return true;
        return jinja_number_truncate(r, f, ret);
    }
    if (self.type == JINJA_FLOAT) return isnan(self.f) || jinja_number_truncate(r, self.f, ret);
    if (self.type == JINJA_BOOL) *ret = jinja_int(self.b);
    if (self.type == JINJA_INT || self.type == JINJA_BIG) *ret = self;
    return true;
}

JINJA_FILTER_OF(float) {
    double f;
    *ret = a[0].type == JINJA_MISSING ? jinja_float(0) : a[0];
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (self.type == JINJA_STR && jinja_number_parse_float(self.s->data, self.s->len, &f)) *ret = jinja_float(f);
    if (jinja_is_number(self)) *ret = jinja_float(jinja_number_double(self));
    return true;
}

/* Rounds to that many digits; halves go to the even digit, by the number's exact value. */
static bool round_common(struct jinja_run *r, struct jinja_value v, int64_t precision, struct jinja_value *ret) {
    char text[JINJA_NUMBER_TEXT + 400];
    double unit = pow(10, (double)-precision);
    if (v.type == JINJA_FLOAT && precision >= 0) {
        if (precision > 350 || !isfinite(v.f)) return *ret = v, true;
        int n = snprintf(text, sizeof(text), "%.*f", (int)precision, v.f);
        double f = 0;
        if (!jinja_number_parse_float(text, (size_t)n, &f)) return jinja_fail(r, "a number cannot be rounded");
        *ret = jinja_float(f);
    } else if (v.type == JINJA_FLOAT) {
        *ret = jinja_float(nearbyint(v.f / unit) * unit);
    } else if (precision >= 0 || v.type == JINJA_BIG) {
        *ret = v.type == JINJA_BOOL ? jinja_int(v.b) : v;
    } else {
        *ret = jinja_int(unit > 1e18 ? 0 : (int64_t)(nearbyint((double)jinja_int_of(v) / unit) * unit));
    }
    return true;
}

JINJA_FILTER_OF(round) {
    const struct jinja_str *method = NULL;
    int64_t precision = 0;
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (!jinja_is_number(self)) return jinja_fail(r, "type %s doesn't define __round__ method", jinja_type_name(self));
    if (!jinja_arg_int(r, a[0], "precision", &precision) || !jinja_arg_str(r, a[1], "method", &method)) return false;
    if (method == NULL || jinja_str_is(method, "common", 6)) return round_common(r, self, precision, ret);
    bool up = jinja_str_is(method, "ceil", 4);
    if (!up && !jinja_str_is(method, "floor", 5)) return jinja_fail(r, "method must be common, ceil or floor");
    double unit = pow(10, (double)precision), f = jinja_number_double(self) * unit;
    *ret = jinja_float((up ? ceil(f) : floor(f)) / unit);
    return true;
}

/* ---- map, select ---- */

/* The work on each item. Lives as long as the iterator. */
struct each {
    struct jinja_value name;          /* of a filter or a test; MISSING: none */
    const struct jinja_builtin *row;  /* the row of this name, once iteration has begun; NULL: none */
    struct jinja_value attribute;     /* MISSING: the item itself */
    struct jinja_value otherwise;     /* replaces an undefined attribute; MISSING: nothing does */
    struct jinja_args args;
    struct jinja_iter *from;          /* NULL: not begun */
    bool keep;                        /* select, not reject */
};

/* *ret NULL: there is nothing to iterate. */
static bool begin_each(struct jinja_run *r, struct jinja_iter *it, const struct jinja_builtin *(*find)(const struct jinja_str *name),
                       struct jinja_iter **ret) {
    struct each *e = it->own;
    *ret = e->from;
    if (e->from != NULL || !jinja_truth(it->of)) return true;
    if (e->name.type != JINJA_MISSING && (e->name.type != JINJA_STR || (e->row = find(e->name.s)) == NULL))
        return jinja_fail(r, "no filter or test of the name that is given");
    if (!jinja_iter_new(r, it->of, &e->from)) return false;
    *ret = e->from;
    return true;
}

static bool next_mapped(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    const struct each *e = it->own;
    struct jinja_iter *from;
    struct jinja_value item;
    *ret_more = false;
    if (!begin_each(r, it, jinja_filter_find, &from)) return false;
    if (from == NULL) return true;
    if (!jinja_iter_next(r, from, &item, ret_more)) return false;
    if (!*ret_more) return true;
    if (e->row != NULL) return jinja_apply(r, e->row, item, &e->args, ret);
    return follow_or(r, item, e->attribute, e->otherwise, ret);
}

static bool next_selected(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    const struct each *e = it->own;
    struct jinja_iter *from;
    *ret_more = false;
    if (!begin_each(r, it, jinja_test_find, &from)) return false;
    while (from != NULL) {
        struct jinja_value item, v;
        bool yes;
        if (!jinja_iter_next(r, from, &item, ret_more)) return false;
        if (!*ret_more) return true;
        if (!follow(r, item, e->attribute, &v)) return false;
        yes = jinja_truth(v);
        if (e->row != NULL && !jinja_apply_test(r, e->row, v, &e->args, &yes)) return false;
        if (yes != e->keep) continue;
        *ret = item;
        return true;
    }
    return true;
}

/* Copies the arguments after the first `skip`: the originals live only as long as the call. */
static bool keep_args(struct jinja_run *r, const struct jinja_args *args, size_t skip, struct jinja_args *ret) {
    size_t n = args->n > skip ? args->n - skip : 0;
    struct jinja_value *list = jinja_alloc(r, (n + args->n_named + 1) * sizeof(*list));
    const struct jinja_str **names = list != NULL ? jinja_alloc(r, (args->n_named + 1) * sizeof(*names)) : NULL;
    if (names == NULL) return false;
    for (size_t i = 0; i < n; i++) list[i] = args->list[skip + i];
    for (size_t i = 0; i < args->n_named; i++) {
        list[n + i] = args->values[i];
        names[i] = args->names[i];
    }
    *ret = (struct jinja_args){.list = list, .n = n, .names = names, .values = list + n, .n_named = args->n_named};
    return true;
}

static bool make_each(struct jinja_run *r, struct jinja_value self, const struct each *from,
                      bool (*next)(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more),
                      struct jinja_value *ret) {
    struct each *e = jinja_alloc(r, sizeof(*e));
    struct jinja_iter *it = e != NULL ? jinja_alloc(r, sizeof(*it)) : NULL;
    if (it == NULL) return false;
    *e = *from;
    *it = (struct jinja_iter){.next = next, .of = self, .own = e};
    *ret = (struct jinja_value){.type = JINJA_ITER, .iter = it};
    return true;
}

JINJA_ANY_FILTER_OF(map) {
    struct each e = {0};
    if (args->n == 0) {
        for (size_t i = 0; i < args->n_named; i++) {
            bool attribute = jinja_str_is(args->names[i], "attribute", 9);
            if (!attribute && !jinja_str_is(args->names[i], "default", 7)) return jinja_fail(r, "map() got an unexpected keyword argument");
            *(attribute ? &e.attribute : &e.otherwise) = args->values[i];
        }
        if (e.attribute.type == JINJA_MISSING) return jinja_fail(r, "map requires a filter argument");
        return make_each(r, self, &e, next_mapped, ret);
    }
    e.name = args->list[0];
    return keep_args(r, args, 1, &e.args) && make_each(r, self, &e, next_mapped, ret);
}

static bool select_items(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, bool attribute, bool keep,
                         struct jinja_value *ret) {
    struct each e = {.keep = keep};
    size_t at = attribute ? 1 : 0;
    if (attribute && args->n == 0) return jinja_fail(r, "missing parameter for attribute name");
    if (attribute) e.attribute = args->list[0];
    if (args->n > at) {
        e.name = args->list[at];
        if (!keep_args(r, args, at + 1, &e.args)) return false;
    }
    return make_each(r, self, &e, next_selected, ret);
}

JINJA_ANY_FILTER_OF(select) { return select_items(r, self, args, false, true, ret); }
JINJA_ANY_FILTER_OF(reject) { return select_items(r, self, args, false, false, ret); }
JINJA_ANY_FILTER_OF(selectattr) { return select_items(r, self, args, true, true, ret); }
JINJA_ANY_FILTER_OF(rejectattr) { return select_items(r, self, args, true, false, ret); }
