/* SPDX-License-Identifier: MIT
 * Values: making, comparing, searching. See value_priv.h. */
#include "jinja/value_priv.h"

#include <string.h>

#include "jinja/compare_priv.h"
#include "jinja/object_priv.h"
#include "jinja/run_priv.h"
#include "jinja/text.h"

/* ---- text ---- */

static struct jinja_str *str_new(struct jinja_run *r, const char *data, size_t len) {
    struct jinja_str *s = jinja_alloc(r, sizeof(*s));
    if (s != NULL) *s = (struct jinja_str){.data = data, .len = len, .chars = SIZE_MAX};
    return s;
}

static bool give(struct jinja_str *s, struct jinja_value *ret) {
    if (s == NULL) return false;
    *ret = jinja_of_str(s);
    return true;
}

bool jinja_str_refer(struct jinja_run *r, const char *data, size_t len, struct jinja_value *ret) {
    return give(str_new(r, data, len), ret);
}

bool jinja_str_copy(struct jinja_run *r, const char *data, size_t len, struct jinja_value *ret) {
    struct jinja_out o = {0};
    return jinja_out_write(r, &o, data, len) && jinja_out_take(r, &o, ret);
}

bool jinja_str_part(struct jinja_run *r, const struct jinja_str *of, size_t start, size_t len, struct jinja_value *ret) {
    struct jinja_str *s = str_new(r, of->data + start, len);
    if (s == NULL) return false;
    s->safe = of->safe;
    if (start + len == of->len) s->tail = of->tail;
    if (of->chars == of->len) s->chars = len;
    return give(s, ret);
}

bool jinja_str_concat(struct jinja_run *r, const struct jinja_str *a, const struct jinja_str *b, struct jinja_value *ret) {
    struct jinja_tail *tail = a->tail;
    bool fits = tail != NULL && a->data + a->len == tail->data + tail->used && b->len <= tail->cap - tail->used;
    if (!fits) {
        size_t len = a->len + b->len, cap = tail != NULL && len <= SIZE_MAX / 2 ? 2 * len : len;
        if (len < a->len || (tail = jinja_alloc(r, sizeof(*tail))) == NULL) return jinja_fail_memory(r);
        *tail = (struct jinja_tail){.used = a->len, .cap = cap, .data = jinja_heap_bytes(r->heap, cap)};
        if (tail->data == NULL) return jinja_fail_memory(r);
        memcpy(tail->data, a->data, a->len);
    }
    struct jinja_str *s = str_new(r, fits ? a->data : tail->data, a->len + b->len);
    if (s == NULL || !jinja_spend_bytes(r, fits ? b->len : s->len)) return false;
    memcpy(tail->data + tail->used, b->data, b->len);
    tail->used += b->len;
    s->tail = tail;
    if (a->chars != SIZE_MAX && b->chars != SIZE_MAX) s->chars = a->chars + b->chars;
    return give(s, ret);
}

size_t jinja_str_chars(const struct jinja_str *s) {
    if (s->chars == SIZE_MAX) ((struct jinja_str *)(uintptr_t)s)->chars = jinja_char_count(s->data, s->len); /* cached */
    return s->chars;
}

bool jinja_str_safe(struct jinja_run *r, const struct jinja_str *s, bool safe, struct jinja_value *ret) {
    if (s->safe == safe) {
        *ret = jinja_of_str(s);
        return true;
    }
    struct jinja_str *copy = str_new(r, s->data, s->len);
    if (copy == NULL) return false;
    copy->chars = s->chars;
    copy->safe = safe;
    return give(copy, ret);
}

bool jinja_str_escape(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret) {
    struct jinja_out o = {0};
    if (s->safe) {
        *ret = jinja_of_str(s);
        return true;
    }
    for (size_t i = 0; i < s->len; i++) {
        const char *with = NULL;
        switch (s->data[i]) {
        case '&': with = "&amp;"; break;
        case '<': with = "&lt;"; break;
        case '>': with = "&gt;"; break;
        case '"': with = "&#34;"; break;
        case '\'': with = "&#39;"; break;
        default: break;
        }
        if (with != NULL ? !jinja_out_write(r, &o, with, strlen(with)) : !jinja_out_byte(r, &o, s->data[i])) return false;
    }
    return jinja_out_take(r, &o, ret) && jinja_str_safe(r, ret->s, true, ret);
}

/* ---- lists ---- */

bool jinja_list_new(struct jinja_run *r, enum jinja_type type, size_t cap, struct jinja_value *ret) {
    struct jinja_list *l = jinja_alloc(r, sizeof(*l));
    if (l == NULL) return false;
    if (cap > 0) {
        if (cap > r->limits.memory / sizeof(*l->items) || (l->slab = jinja_alloc(r, sizeof(*l->slab))) == NULL) return jinja_fail_memory(r);
        *l->slab = (struct jinja_slab){.cap = cap, .items = jinja_alloc(r, cap * sizeof(*l->items))};
        if (l->slab->items == NULL || !jinja_spend(r, cap / 8)) return false;
        l->items = l->slab->items;
    }
    *ret = (struct jinja_value){.type = (uint8_t)type, .list = l};
    return true;
}

bool jinja_list_add(struct jinja_run *r, struct jinja_list *l, struct jinja_value v) {
    struct jinja_slab *slab = l->slab;
    if (slab == NULL || l->items + l->n != slab->items + slab->used || slab->used == slab->cap) {
        struct jinja_value bigger;
        if (!jinja_list_new(r, JINJA_LIST, l->n < 4 ? 8 : 2 * l->n, &bigger)) return false;
        slab = bigger.list->slab;
        if (l->n > 0) memcpy(slab->items, l->items, l->n * sizeof(*l->items));
        slab->used = l->n;
        l->items = slab->items;
        l->slab = slab;
    }
    slab->items[slab->used++] = v;
    l->n++;
    return true;
}

bool jinja_list_part(struct jinja_run *r, struct jinja_value list, size_t start, size_t n, struct jinja_value *ret) {
    struct jinja_list *l = jinja_alloc(r, sizeof(*l));
    if (l == NULL) return false;
    if (n > 0) *l = (struct jinja_list){.items = list.list->items + start, .n = n, .slab = list.list->slab};
    *ret = (struct jinja_value){.type = list.type, .list = l};
    return true;
}

bool jinja_pair(struct jinja_run *r, struct jinja_value a, struct jinja_value b, struct jinja_value *ret) {
    struct jinja_value pair;
    if (!jinja_list_new(r, JINJA_TUPLE, 2, &pair) || !jinja_list_add(r, pair.list, a) || !jinja_list_add(r, pair.list, b)) return false;
    *ret = pair;
    return true;
}

struct jinja_value jinja_range_item(const struct jinja_range *range, size_t i) {
    return jinja_int(range->start + (int64_t)i * range->step);
}

/* ---- questions ---- */

bool jinja_has_length(struct jinja_value v, size_t *ret) {
    switch (v.type) {
    case JINJA_UNDEFINED: *ret = 0; return true;
    case JINJA_STR: *ret = jinja_str_chars(v.s); return true;
    case JINJA_LIST:
    case JINJA_TUPLE: *ret = v.list->n; return true;
    case JINJA_DICT:
    case JINJA_VIEW: *ret = v.dict->n; return true;
    case JINJA_RANGE: *ret = v.range->n; return true;
    default: return false;
    }
}

bool jinja_length(struct jinja_run *r, struct jinja_value v, size_t *ret) {
    if (v.type == JINJA_UNDEFINED && v.aux == JINJA_UNSAFE) return jinja_fail_undefined(r, v);
    return jinja_has_length(v, ret) || jinja_fail(r, "object of type '%s' has no len()", jinja_type_name(v));
}

bool jinja_truth(struct jinja_value v) {
    switch (v.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.b;
    case JINJA_INT: return v.i != 0;
    case JINJA_FLOAT: return v.f != 0; /* NaN is true */
    case JINJA_STR: return v.s->len > 0;
    case JINJA_LIST:
    case JINJA_TUPLE: return v.list->n > 0;
    case JINJA_DICT:
    case JINJA_VIEW: return v.dict->n > 0;
    case JINJA_RANGE: return v.range->n > 0;
    default: return true;
    }
}

bool jinja_same(struct jinja_value a, struct jinja_value b) {
    if (a.type != b.type) return false;
    switch (a.type) {
    case JINJA_UNDEFINED: return a.s == b.s;
    case JINJA_NONE: return true;
    case JINJA_BOOL: return a.b == b.b;
    case JINJA_INT: return a.i == b.i;
    case JINJA_FLOAT: return a.f == b.f;
    case JINJA_STR:
    case JINJA_BIG: return a.s->len == b.s->len && memcmp(a.s->data, b.s->data, a.s->len) == 0;
    case JINJA_VIEW: return a.dict == b.dict && a.aux == b.aux;
    default: return a.list == b.list; /* the same address */
    }
}
