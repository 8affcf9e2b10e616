/* SPDX-License-Identifier: MIT
 * Values: making, comparing, searching. See value_priv.h. */
#include "jinja/value_priv.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "jinja/run_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/number_priv.h"
#include "jinja/text.h"

enum { SMALL_DICT = 8, DEEP_KEY = 64 }; /* entries without an index; depth of tuples in a key */

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

/* ---- mappings ---- */

static uint32_t hash_bytes(const char *data, size_t len) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)data[i]) * 16777619u;
    return h != 0 ? h : 1;
}

/* Equal numbers have equal hashes, whatever their type. The value is hashable. */
static uint32_t hash(struct jinja_value v) {
    uint32_t h = v.type;
    switch (v.type) {
    case JINJA_STR:
        if (v.s->hash == 0) ((struct jinja_str *)(uintptr_t)v.s)->hash = hash_bytes(v.s->data, v.s->len); /* cached */
        return v.s->hash;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_BIG:
    case JINJA_FLOAT: {
        double f = jinja_number_double(v) + 0.0; /* -0.0 becomes 0.0 */
        return hash_bytes((const char *)&f, sizeof(f));
    }
    case JINJA_TUPLE:
        for (size_t i = 0; i < v.list->n; i++) h = h * 31 + hash(v.list->items[i]);
        return h != 0 ? h : 1;
    default: return h;
    }
}

static bool hashable_at(struct jinja_value v, int level) {
    if (v.type == JINJA_LIST || v.type == JINJA_DICT || v.type == JINJA_VIEW || level > DEEP_KEY) return false;
    for (size_t i = 0; v.type == JINJA_TUPLE && i < v.list->n; i++)
        if (!hashable_at(v.list->items[i], level + 1)) return false;
    return true;
}

bool jinja_hashable(struct jinja_value v) { return hashable_at(v, 0); }

bool jinja_dict_new(struct jinja_run *r, enum jinja_type type, struct jinja_value *ret) {
    struct jinja_dict *d = jinja_alloc(r, sizeof(*d));
    if (d == NULL) return false;
    *ret = (struct jinja_value){.type = (uint8_t)type, .dict = d};
    return true;
}

/* Compares keys without a run: they are hashable, so they are nested at most DEEP_KEY deep. */
static bool same_key(struct jinja_value a, struct jinja_value b) {
    if (a.type == JINJA_STR && b.type == JINJA_STR) return a.s->len == b.s->len && memcmp(a.s->data, b.s->data, a.s->len) == 0;
    if (jinja_is_number(a) && jinja_is_number(b)) return jinja_number_order(a, b) == 0;
    if (a.type == JINJA_TUPLE && b.type == JINJA_TUPLE) {
        bool same = a.list->n == b.list->n;
        for (size_t i = 0; same && i < a.list->n; i++) same = same_key(a.list->items[i], b.list->items[i]);
        return same;
    }
    return (a.type == JINJA_UNDEFINED && b.type == JINJA_UNDEFINED) || jinja_same(a, b);
}

/* The entry of a key; NULL: none. */
static struct jinja_entry *find(const struct jinja_dict *d, struct jinja_value key, uint32_t h, uint64_t *steps) {
    if (d->index == NULL) {
        for (uint32_t i = 0; i < d->n; i++)
            if (d->entries[i].hash == h && same_key(d->entries[i].key, key)) return &d->entries[i];
        return NULL;
    }
    for (uint32_t at = h & (d->index_cap - 1);; at = (at + 1) & (d->index_cap - 1)) {
        if (d->index[at] == 0) return NULL;
        struct jinja_entry *entry = &d->entries[d->index[at] - 1];
        if (entry->hash == h && same_key(entry->key, key)) return entry;
        (*steps)++;
    }
}

static void put_in_index(struct jinja_dict *d, uint32_t h, uint32_t number) {
    uint32_t at = h & (d->index_cap - 1);
    while (d->index[at] != 0) at = (at + 1) & (d->index_cap - 1);
    d->index[at] = number + 1;
}

static bool grow_dict(struct jinja_run *r, struct jinja_dict *d) {
    uint32_t cap = d->cap == 0 ? 4 : d->cap * 2;
    struct jinja_entry *entries = cap < UINT32_MAX / 8 ? jinja_alloc(r, cap * sizeof(*entries)) : NULL;
    if (entries == NULL || !jinja_spend(r, cap / 8)) return jinja_fail_memory(r);
    if (d->n > 0) memcpy(entries, d->entries, d->n * sizeof(*entries));
    d->entries = entries;
    d->cap = cap;
    if (cap <= SMALL_DICT) return true;
    uint32_t *index = jinja_alloc(r, 2 * cap * sizeof(*index));
    if (index == NULL) return false;
    d->index = index;
    d->index_cap = 2 * cap;
    for (uint32_t i = 0; i < d->n; i++) put_in_index(d, entries[i].hash, i);
    return true;
}

bool jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key, const struct jinja_value **ret) {
    if (!jinja_hashable(key)) return jinja_fail(r, "unhashable type: '%s'", jinja_type_name(key));
    uint64_t steps = 0;
    struct jinja_entry *entry = find(d, key, hash(key), &steps);
    if (!jinja_spend(r, steps)) return false;
    *ret = entry != NULL ? &entry->value : NULL;
    return true;
}

const struct jinja_value *jinja_dict_get(const struct jinja_dict *d, const char *key) {
    struct jinja_str s = {.data = key, .len = strlen(key)};
    uint64_t steps = 0;
    struct jinja_value k = jinja_of_str(&s);
    struct jinja_entry *entry = find(d, k, hash(k), &steps);
    return entry != NULL ? &entry->value : NULL;
}

bool jinja_dict_set(struct jinja_run *r, struct jinja_dict *d, struct jinja_value key, struct jinja_value value) {
    if (!jinja_hashable(key)) return jinja_fail(r, "unhashable type: '%s'", jinja_type_name(key));
    uint32_t h = hash(key);
    uint64_t steps = 0;
    struct jinja_entry *entry = find(d, key, h, &steps);
    if (!jinja_spend(r, steps)) return false;
    if (entry != NULL) {
        entry->value = value;
        return true;
    }
    if (d->n == d->cap && !grow_dict(r, d)) return false;
    if (d->index != NULL) put_in_index(d, h, d->n);
    d->entries[d->n++] = (struct jinja_entry){.key = key, .value = value, .hash = h};
    return true;
}

/* ---- questions ---- */

const char *jinja_type_name(struct jinja_value v) {
    static const char *const names[JINJA_TYPES] = {[JINJA_MISSING] = "missing",
                                                   [JINJA_UNDEFINED] = "Undefined",
                                                   [JINJA_NONE] = "NoneType",
                                                   [JINJA_BOOL] = "bool",
                                                   [JINJA_INT] = "int",
                                                   [JINJA_BIG] = "int",
                                                   [JINJA_FLOAT] = "float",
                                                   [JINJA_STR] = "str",
                                                   [JINJA_LIST] = "list",
                                                   [JINJA_TUPLE] = "tuple",
                                                   [JINJA_DICT] = "dict",
                                                   [JINJA_VIEW] = "dict view",
                                                   [JINJA_RANGE] = "range",
                                                   [JINJA_ITER] = "generator",
                                                   [JINJA_NAMESPACE] = "Namespace",
                                                   [JINJA_MACRO] = "Macro",
                                                   [JINJA_METHOD] = "method",
                                                   [JINJA_FUNCTION] = "function",
                                                   [JINJA_LOOP] = "LoopContext",
                                                   [JINJA_CYCLER] = "Cycler",
                                                   [JINJA_JOINER] = "Joiner"};
    return v.type < JINJA_TYPES ? names[v.type] : "?";
}

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
