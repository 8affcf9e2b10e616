/* SPDX-License-Identifier: MIT
 * Texts, lists and mappings of a template: how they are made, extended and searched. Their memory is the heap's of the run, and text and
 * tuples never change (jinja/value_priv.h). Functions that return bool fail with the error set in the run; outputs are then untouched.
 * One rendering runs on one thread. */
#ifndef CARAVAN_JINJA_OBJECT_PRIV_H
#define CARAVAN_JINJA_OBJECT_PRIV_H

#include "jinja/value_priv.h"

bool jinja_str_copy(struct jinja_run *r, const char *data, size_t len, struct jinja_value *ret);
/* data must live as long as the run. */
bool jinja_str_refer(struct jinja_run *r, const char *data, size_t len, struct jinja_value *ret);
bool jinja_str_part(struct jinja_run *r, const struct jinja_str *of, size_t start, size_t len, struct jinja_value *ret);
bool jinja_str_concat(struct jinja_run *r, const struct jinja_str *a, const struct jinja_str *b, struct jinja_value *ret);
size_t jinja_str_chars(const struct jinja_str *s);
/* Escapes as &lt;, &gt;, &amp;, &#34;, &#39;; markup is returned as it is. */
bool jinja_str_escape(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret);
bool jinja_str_safe(struct jinja_run *r, const struct jinja_str *s, bool safe, struct jinja_value *ret);
static inline bool jinja_str_is(const struct jinja_str *s, const char *text, size_t len) {
    return s->len == len && __builtin_memcmp(s->data, text, len) == 0;
}

/* type: JINJA_LIST or JINJA_TUPLE; room for cap items. */
bool jinja_list_new(struct jinja_run *r, enum jinja_type type, size_t cap, struct jinja_value *ret);
bool jinja_list_add(struct jinja_run *r, struct jinja_list *l, struct jinja_value v);
bool jinja_list_part(struct jinja_run *r, struct jinja_value list, size_t start, size_t n, struct jinja_value *ret);
bool jinja_pair(struct jinja_run *r, struct jinja_value a, struct jinja_value b, struct jinja_value *ret);

bool jinja_dict_new(struct jinja_run *r, enum jinja_type type, struct jinja_value *ret);
/* Fails if the key is a list or mapping. */
bool jinja_dict_set(struct jinja_run *r, struct jinja_dict *d, struct jinja_value key, struct jinja_value value);
/* *ret NULL: there is no such key. Fails if the key is a list or mapping. */
bool jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key, const struct jinja_value **ret);
const struct jinja_value *jinja_dict_get(const struct jinja_dict *d, const char *key);
bool jinja_hashable(struct jinja_value v);

#endif
