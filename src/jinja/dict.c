/* SPDX-License-Identifier: MIT
 * Mappings: a hash table that keeps the order of its keys. See value_priv.h. */
#include <string.h>

#include "jinja/compare_priv.h"
#include "jinja/number_priv.h"
#include "jinja/object_priv.h"
#include "jinja/run_priv.h"

enum { SMALL_DICT = 8, DEEP_KEY = 64 }; /* entries without an index; depth of tuples in a key */

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
