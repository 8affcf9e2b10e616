/* SPDX-License-Identifier: MIT
 * Operations on text that methods and filters share. Markup stays markup. */
#include <string.h>

#include "base/mem.h"
#include "jinja/builtin_priv.h"
#include "jinja/object_priv.h"
#include "jinja/text.h"
#include "jinja/show_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/text_ops_priv.h"

static bool take_as(struct jinja_run *r, struct jinja_out *o, const struct jinja_str *like, struct jinja_value *ret) {
    struct jinja_value text;
    return jinja_out_take(r, o, &text) && jinja_str_safe(r, text.s, like->safe, ret);
}

/* ---- case ---- */

static bool map_chars(struct jinja_run *r, const struct jinja_str *s, size_t (*map)(uint32_t c, uint32_t ret[JINJA_CASE_MAX]),
                      struct jinja_value *ret) {
    struct jinja_out o = {0};
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t to[JINJA_CASE_MAX];
        size_t count = map(jinja_char_at(s->data + i, s->len - i, &n), to);
        for (size_t k = 0; k < count; k++)
            if (!jinja_out_char(r, &o, to[k])) return false;
    }
    return jinja_spend_bytes(r, 8 * s->len) && take_as(r, &o, s, ret);
}

bool jinja_text_upper(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret) {
    return map_chars(r, s, jinja_char_upper, ret);
}
bool jinja_text_lower(struct jinja_run *r, const struct jinja_str *s, struct jinja_value *ret) {
    return map_chars(r, s, jinja_char_lower, ret);
}

bool jinja_lower_key(struct jinja_run *r, struct jinja_value v, struct jinja_value *ret) {
    if (v.type == JINJA_STR) return jinja_text_lower(r, v.s, ret);
    *ret = v;
    return true;
}

/* ---- searching ---- */

bool jinja_text_replace(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *old, const struct jinja_str *with,
                        int64_t count, struct jinja_value *ret) {
    struct jinja_out o = {0};
    size_t at = 0;
    if (!jinja_spend_bytes(r, s->len)) return false;
    for (int64_t i = 0; count < 0 || i < count; i++) {
        size_t next;
        if (old->len == 0) { /* before each character, and after the last */
            if (i > 0 && at == s->len) break;
            if (i > 0) {
                size_t n;
                jinja_char_at(s->data + at, s->len - at, &n);
                if (!jinja_out_write(r, &o, s->data + at, n)) return false;
                at += n;
            }
            next = at;
        } else {
            const char *found = mem_find(s->data + at, s->len - at, old->data, old->len);
            if (found == NULL) break;
            next = (size_t)(found - s->data);
        }
        if (!jinja_spend(r, 1) || !jinja_out_write(r, &o, s->data + at, next - at) || !jinja_out_write(r, &o, with->data, with->len))
            return false;
        at = next + old->len;
    }
    if (at == 0 && o.tail == NULL) {
        *ret = jinja_of_str(s);
        return true;
    }
    return jinja_out_write(r, &o, s->data + at, s->len - at) && take_as(r, &o, s, ret);
}

static bool is_among(const struct jinja_str *chars, uint32_t c) {
    if (chars == NULL) return jinja_char_is_space(c);
    for (size_t i = 0, n; i < chars->len; i += n)
        if (jinja_char_at(chars->data + i, chars->len - i, &n) == c) return true;
    return false;
}

bool jinja_text_strip_chars(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *chars, bool left, bool right,
                            struct jinja_value *ret) {
    size_t from = 0, to = s->len, n;
    while (left && from < to && is_among(chars, jinja_char_at(s->data + from, to - from, &n))) from += n;
    while (right && to > from) {
        size_t last = from + jinja_char_last(s->data + from, to - from);
        if (!is_among(chars, jinja_char_at(s->data + last, to - last, &n))) break;
        to = last;
    }
    if (!jinja_spend(r, (from + s->len - to) * (chars != NULL ? chars->len / 8 + 1 : 1) / 8)) return false;
    if (to - from < s->len) return jinja_str_part(r, s, from, to - from, ret);
    *ret = jinja_of_str(s);
    return true;
}

bool jinja_text_lines(struct jinja_run *r, const struct jinja_str *s, bool keep_ends, struct jinja_value *ret) {
    struct jinja_value list, line;
    size_t start = 0;
    if (!jinja_list_new(r, JINJA_LIST, 0, &list) || !jinja_spend_bytes(r, s->len)) return false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        if (!jinja_char_is_line_end(c)) continue;
        if (c == '\r' && i + 1 < s->len && s->data[i + 1] == '\n') n = 2;
        size_t len = (keep_ends ? i + n : i) - start;
        if (!jinja_str_part(r, s, start, len, &line) || !jinja_list_add(r, list.list, line)) return false;
        start = i + n;
    }
    if (start < s->len && (!jinja_str_part(r, s, start, s->len - start, &line) || !jinja_list_add(r, list.list, line))) return false;
    *ret = list;
    return true;
}

bool jinja_text_join(struct jinja_run *r, const struct jinja_str *between, struct jinja_value items, bool strict, struct jinja_value *ret) {
    struct jinja_out o = {0};
    struct jinja_iter *it;
    struct jinja_value item;
    bool more;
    if (!jinja_iter_new(r, items, &it)) return false;
    for (bool first = true;; first = false) {
        if (!jinja_iter_next(r, it, &item, &more)) return false;
        if (!more) break;
        if (strict && item.type != JINJA_STR) return jinja_fail(r, "join(): expected text, found %s", jinja_type_name(item));
        if (strict && between->safe && !jinja_str_escape(r, item.s, &item)) return false;
        if (!first && !jinja_out_write(r, &o, between->data, between->len)) return false;
        if (!jinja_show(r, &o, item)) return false;
    }
    struct jinja_value text;
    return jinja_out_take(r, &o, &text) && jinja_str_safe(r, text.s, strict && between->safe, ret);
}
