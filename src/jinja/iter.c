/* SPDX-License-Identifier: MIT
 * Iterating over lists, texts, mappings, ranges. */
#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/text.h"
#include "jinja/iter_priv.h"

static bool next_item(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    (void)r;
    *ret_more = it->at < it->of.list->n;
    if (*ret_more) *ret = it->of.list->items[it->at++];
    return true;
}

static bool next_char(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    const struct jinja_str *s = it->of.s;
    size_t n, at = it->at;
    *ret_more = at < s->len;
    if (!*ret_more) return true;
    jinja_char_at(s->data + at, s->len - at, &n);
    it->at += n;
    return jinja_str_refer(r, s->data + at, n, ret);
}

static bool next_entry(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    const struct jinja_dict *d = it->of.dict;
    *ret_more = it->at < d->n;
    if (!*ret_more) return true;
    const struct jinja_entry *entry = &d->entries[it->at++];
    if (it->of.type == JINJA_VIEW && it->of.aux == JINJA_ITEMS) return jinja_pair(r, entry->key, entry->value, ret);
    *ret = it->of.type == JINJA_VIEW && it->of.aux == JINJA_VALUES ? entry->value : entry->key;
    return true;
}

static bool next_number(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    (void)r;
    *ret_more = it->at < it->of.range->n;
    if (*ret_more) *ret = jinja_range_item(it->of.range, it->at++);
    return true;
}

static bool next_none(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    (void)r;
    (void)it;
    (void)ret;
    *ret_more = false;
    return true;
}

/* One round of a loop that is continued elsewhere: Python's iter(loop). */
static bool next_of_loop(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    return jinja_iter_next(r, it->of.loop->iter, ret, ret_more);
}

bool jinja_iterable(struct jinja_value v) {
    switch (v.type) {
    case JINJA_UNDEFINED:
    case JINJA_STR:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_RANGE:
    case JINJA_ITER:
    case JINJA_LOOP: return true;
    default: return false;
    }
}

bool jinja_iter_new(struct jinja_run *r, struct jinja_value v, struct jinja_iter **ret) {
    if (v.type == JINJA_ITER) {
        *ret = v.iter;
        return true;
    }
    if (!jinja_iterable(v)) return jinja_fail(r, "'%s' object is not iterable", jinja_type_name(v));
    struct jinja_iter *it = jinja_alloc(r, sizeof(*it));
    if (it == NULL) return false;
    it->of = v;
    switch (v.type) {
    case JINJA_LIST:
    case JINJA_TUPLE: it->next = next_item; break;
    case JINJA_STR: it->next = next_char; break;
    case JINJA_DICT:
    case JINJA_VIEW: it->next = next_entry; break;
    case JINJA_RANGE: it->next = next_number; break;
    case JINJA_LOOP: it->next = next_of_loop; break;
    default: it->next = next_none; break;
    }
    *ret = it;
    return true;
}

bool jinja_iter_next(struct jinja_run *r, struct jinja_iter *it, struct jinja_value *ret, bool *ret_more) {
    if (!jinja_enter(r)) return false; /* iterators can wrap iterators, and so on */
    bool ok = it->next(r, it, ret, ret_more);
    jinja_leave(r);
    return ok;
}

bool jinja_to_list(struct jinja_run *r, struct jinja_value v, enum jinja_type type, struct jinja_value *ret) {
    struct jinja_value list, item;
    struct jinja_iter *it;
    size_t n = 0;
    bool more;
    if (!jinja_iter_new(r, v, &it)) return false;
    jinja_has_length(v, &n);
    if (!jinja_list_new(r, type, n, &list)) return false;
    for (;;) {
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (!more) break;
        if (!jinja_list_add(r, list.list, item)) return false;
    }
    *ret = list;
    return true;
}
