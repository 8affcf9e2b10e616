/* SPDX-License-Identifier: MIT
 * Methods of text. Positions and widths count characters. */
#include <string.h>

#include "base/mem.h"
#include "jinja/builtin_priv.h"
#include "jinja/object_priv.h"
#include "jinja/text.h"
#include "jinja/text_ops_priv.h"

#define JINJA_TEXT_METHOD(name) \
    bool jinja_method_text_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)

static bool part(struct jinja_run *r, const struct jinja_str *s, size_t from, size_t to, struct jinja_value *ret) {
    return jinja_str_part(r, s, from, to - from, ret);
}

/* ---- blanks ---- */

static bool strip(struct jinja_run *r, struct jinja_value self, struct jinja_value chars, bool left, bool right, struct jinja_value *ret) {
    const struct jinja_str *set = NULL;
    if (jinja_given(chars) && !jinja_arg_str(r, chars, "chars", &set)) return false;
    return jinja_text_strip_chars(r, self.s, set, left, right, ret);
}

JINJA_TEXT_METHOD(strip) { return strip(r, self, a[0], true, true, ret); }
JINJA_TEXT_METHOD(lstrip) { return strip(r, self, a[0], true, false, ret); }
JINJA_TEXT_METHOD(rstrip) { return strip(r, self, a[0], false, true, ret); }

/* ---- dividing ---- */

/* Splits at runs of blanks, from the left; the rest keeps its final blanks. */
static bool split_blanks(struct jinja_run *r, const struct jinja_str *s, int64_t max, struct jinja_list *list) {
    size_t at = 0, n;
    struct jinja_value one;
    for (int64_t done = 0;; done++) {
        while (at < s->len && jinja_char_is_space(jinja_char_at(s->data + at, s->len - at, &n))) at += n;
        if (at == s->len) return true;
        size_t start = at;
        if (max >= 0 && done == max) return part(r, s, start, s->len, &one) && jinja_list_add(r, list, one);
        while (at < s->len && !jinja_char_is_space(jinja_char_at(s->data + at, s->len - at, &n))) at += n;
        if (!jinja_spend(r, 1) || !part(r, s, start, at, &one) || !jinja_list_add(r, list, one)) return false;
    }
}

static void turn_round(struct jinja_list *list) {
    for (size_t i = 0; i < list->n / 2; i++) {
        struct jinja_value v = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = v;
    }
}

static bool rsplit_blanks(struct jinja_run *r, const struct jinja_str *s, int64_t max, struct jinja_list *list) {
    size_t end = s->len, n;
    struct jinja_value one;
    for (int64_t done = 0;; done++) {
        const char *text = s->data;
        jinja_text_strip(&text, &end, false, true);
        if (end == 0) break;
        size_t start = end;
        if (max >= 0 && done == max) {
            if (!part(r, s, 0, end, &one) || !jinja_list_add(r, list, one)) return false;
            break;
        }
        while (start > 0) {
            size_t last = jinja_char_last(s->data, start);
            if (jinja_char_is_space(jinja_char_at(s->data + last, start - last, &n))) break;
            start = last;
        }
        if (!jinja_spend(r, 1) || !part(r, s, start, end, &one) || !jinja_list_add(r, list, one)) return false;
        end = start;
    }
    turn_round(list);
    return true;
}

static bool split_at(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *by, int64_t max, struct jinja_list *list) {
    size_t at = 0;
    struct jinja_value one;
    for (int64_t done = 0; max < 0 || done < max; done++) {
        const char *found = mem_find(s->data + at, s->len - at, by->data, by->len);
        if (found == NULL) break;
        size_t end = (size_t)(found - s->data);
        if (!jinja_spend(r, 1) || !part(r, s, at, end, &one) || !jinja_list_add(r, list, one)) return false;
        at = end + by->len;
    }
    return part(r, s, at, s->len, &one) && jinja_list_add(r, list, one);
}

/* Counts steps for a search from the end, which tries each place. */
static bool spend_search(struct jinja_run *r, size_t len, size_t needle) { return jinja_spend(r, (len / 8 + 1) * (needle / 16 + 1)); }

/* The last place of `by` in the first len bytes; SIZE_MAX: none. */
static size_t rfind_bytes(const char *text, size_t len, const struct jinja_str *by) {
    for (size_t i = len; i-- > 0;)
        if (by->len <= len - i && memcmp(text + i, by->data, by->len) == 0) return i;
    return SIZE_MAX;
}

static bool rsplit_at(struct jinja_run *r, const struct jinja_str *s, const struct jinja_str *by, int64_t max, struct jinja_list *list) {
    size_t end = s->len;
    struct jinja_value one;
    for (int64_t done = 0; max < 0 || done < max; done++) {
        size_t at = rfind_bytes(s->data, end, by);
        if (at == SIZE_MAX) break;
        if (!spend_search(r, end - at, by->len) || !part(r, s, at + by->len, end, &one) || !jinja_list_add(r, list, one)) return false;
        end = at;
    }
    if (!part(r, s, 0, end, &one) || !jinja_list_add(r, list, one)) return false;
    turn_round(list);
    return true;
}

static bool split(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool right, struct jinja_value *ret) {
    const struct jinja_str *by = NULL;
    int64_t max = -1;
    struct jinja_value list;
    if (jinja_given(a[0]) && !jinja_arg_str(r, a[0], "sep", &by)) return false;
    if (!jinja_arg_int(r, a[1], "maxsplit", &max)) return false;
    if (by != NULL && by->len == 0) return jinja_fail(r, "empty separator");
    if (by != NULL && right && !spend_search(r, self.s->len, by->len)) return false;
    if (!jinja_list_new(r, JINJA_LIST, 0, &list) || !jinja_spend_bytes(r, 2 * self.s->len)) return false;
    bool ok = by == NULL ? (right ? rsplit_blanks : split_blanks)(r, self.s, max, list.list)
                         : (right ? rsplit_at : split_at)(r, self.s, by, max, list.list);
    *ret = list;
    return ok;
}

JINJA_TEXT_METHOD(split) { return split(r, self, a, false, ret); }
JINJA_TEXT_METHOD(rsplit) { return split(r, self, a, true, ret); }
JINJA_TEXT_METHOD(splitlines) { return jinja_text_lines(r, self.s, jinja_flag(a[0]), ret); }

static bool partition(struct jinja_run *r, struct jinja_value self, struct jinja_value sep, bool right, struct jinja_value *ret) {
    const struct jinja_str *by = NULL, *s = self.s;
    struct jinja_value tuple, parts[3];
    if (!jinja_arg_str(r, sep, "sep", &by) || !jinja_list_new(r, JINJA_TUPLE, 3, &tuple)) return false;
    if (by->len == 0) return jinja_fail(r, "empty separator");
    if (!(right ? spend_search(r, s->len, by->len) : jinja_spend_bytes(r, s->len))) return false;
    const char *found = right ? NULL : mem_find(s->data, s->len, by->data, by->len);
    size_t at = right ? rfind_bytes(s->data, s->len, by) : found != NULL ? (size_t)(found - s->data) : SIZE_MAX;
    size_t from = at != SIZE_MAX ? at : right ? 0 : s->len, to = at != SIZE_MAX ? at + by->len : from;
    if (!part(r, s, 0, from, &parts[0]) || !part(r, s, from, to, &parts[1]) || !part(r, s, to, s->len, &parts[2])) return false;
    for (int i = 0; i < 3; i++)
        if (!jinja_list_add(r, tuple.list, parts[i])) return false;
    *ret = tuple;
    return true;
}

JINJA_TEXT_METHOD(partition) { return partition(r, self, a[0], false, ret); }
JINJA_TEXT_METHOD(rpartition) { return partition(r, self, a[0], true, ret); }

/* ---- searching ---- */

/* The bytes between the characters start and end, with the rules of slices. *ret_valid false: start is beyond the text. */
static bool window(struct jinja_run *r, const struct jinja_str *s, struct jinja_value start, struct jinja_value end, size_t *ret_from,
                   size_t *ret_to, bool *ret_valid) {
    int64_t n = (int64_t)jinja_str_chars(s), from = 0, to = n;
    if ((jinja_given(start) && !jinja_arg_int(r, start, "start", &from)) || (jinja_given(end) && !jinja_arg_int(r, end, "end", &to)))
        return false;
    if (from < 0) from = from + n > 0 ? from + n : 0;
    if (to < 0) to = to + n > 0 ? to + n : 0;
    if (to > n) to = n;
    *ret_valid = from <= to;
    *ret_from = from >= n ? s->len : jinja_char_offset(s->data, s->len, (size_t)from);
    *ret_to = to >= n ? s->len : jinja_char_offset(s->data, s->len, (size_t)to);
    return jinja_spend_bytes(r, 2 * s->len);
}

static bool find(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool right, bool must,
                 struct jinja_value *ret) {
    const struct jinja_str *what = NULL, *s = self.s;
    size_t from, to, at = SIZE_MAX;
    bool valid;
    if (!jinja_arg_str(r, a[0], "sub", &what) || !window(r, s, a[1], a[2], &from, &to, &valid)) return false;
    if (valid && what->len == 0) {
        at = right ? to : from;
    } else if (valid && right) {
        if (!spend_search(r, to - from, what->len)) return false;
        at = rfind_bytes(s->data + from, to - from, what);
        if (at != SIZE_MAX) at += from;
    } else if (valid) {
        const char *found = mem_find(s->data + from, to - from, what->data, what->len);
        if (found != NULL) at = (size_t)(found - s->data);
    }
    if (at == SIZE_MAX && must) return jinja_fail(r, "substring not found");
    *ret = jinja_int(at == SIZE_MAX ? -1 : (int64_t)jinja_char_count(s->data, at));
    return true;
}

JINJA_TEXT_METHOD(find) { return find(r, self, a, false, false, ret); }
JINJA_TEXT_METHOD(rfind) { return find(r, self, a, true, false, ret); }
JINJA_TEXT_METHOD(index) { return find(r, self, a, false, true, ret); }
JINJA_TEXT_METHOD(rindex) { return find(r, self, a, true, true, ret); }

JINJA_TEXT_METHOD(count) {
    const struct jinja_str *what = NULL, *s = self.s;
    size_t at, to;
    int64_t n = 0;
    bool valid;
    if (!jinja_arg_str(r, a[0], "sub", &what) || !window(r, s, a[1], a[2], &at, &to, &valid)) return false;
    if (valid && what->len == 0) n = (int64_t)jinja_char_count(s->data + at, to - at) + 1;
    while (valid && what->len > 0) {
        const char *found = mem_find(s->data + at, to - at, what->data, what->len);
        if (found == NULL) break;
        n++;
        at = (size_t)(found - s->data) + what->len;
    }
    *ret = jinja_int(n);
    return true;
}

/* what: a text, or a tuple of texts of which one must fit. */
static bool begins(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool at_end, struct jinja_value *ret) {
    const struct jinja_str *s = self.s;
    size_t from, to, n = a[0].type == JINJA_TUPLE ? a[0].list->n : 1;
    bool valid, yes = false;
    if (!window(r, s, a[1], a[2], &from, &to, &valid)) return false;
    for (size_t i = 0; i < n && !yes; i++) {
        const struct jinja_str *what = NULL;
        if (!jinja_arg_str(r, a[0].type == JINJA_TUPLE ? a[0].list->items[i] : a[0], at_end ? "suffix" : "prefix", &what)) return false;
        yes = valid && what->len <= to - from && memcmp(s->data + (at_end ? to - what->len : from), what->data, what->len) == 0;
    }
    *ret = jinja_bool(yes);
    return true;
}

JINJA_TEXT_METHOD(startswith) { return begins(r, self, a, false, ret); }
JINJA_TEXT_METHOD(endswith) { return begins(r, self, a, true, ret); }

static bool remove_edge(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, bool at_end, struct jinja_value *ret) {
    const struct jinja_value edge[] = {a[0], jinja_missing(), jinja_missing()};
    struct jinja_value yes;
    if (a[0].type != JINJA_STR) return jinja_fail(r, "the part to remove must be text, not %s", jinja_type_name(a[0]));
    if (!begins(r, self, edge, at_end, &yes)) return false;
    size_t n = yes.b ? a[0].s->len : 0;
    return part(r, self.s, at_end ? 0 : n, at_end ? self.s->len - n : self.s->len, ret);
}

JINJA_TEXT_METHOD(removeprefix) { return remove_edge(r, self, a, false, ret); }
JINJA_TEXT_METHOD(removesuffix) { return remove_edge(r, self, a, true, ret); }

JINJA_TEXT_METHOD(replace) {
    const struct jinja_str *old = NULL, *with = NULL;
    struct jinja_value escaped;
    int64_t count = -1;
    if (!jinja_arg_str(r, a[0], "old", &old) || !jinja_arg_str(r, a[1], "new", &with) || !jinja_arg_int(r, a[2], "count", &count))
        return false;
    if (self.s->safe) {
        if (!jinja_str_escape(r, old, &escaped)) return false;
        old = escaped.s;
        if (!jinja_str_escape(r, with, &escaped)) return false;
        with = escaped.s;
    }
    return jinja_text_replace(r, self.s, old, with, count, ret);
}

JINJA_TEXT_METHOD(join) { return jinja_text_join(r, self.s, a[0], true, ret); }

/* ---- case ---- */

JINJA_TEXT_METHOD(upper) { return (void)a, jinja_text_upper(r, self.s, ret); }
JINJA_TEXT_METHOD(lower) { return (void)a, jinja_text_lower(r, self.s, ret); }

static bool write_case(struct jinja_run *r, struct jinja_out *o, uint32_t c, size_t (*map)(uint32_t c, uint32_t ret[JINJA_CASE_MAX])) {
    uint32_t to[JINJA_CASE_MAX];
    size_t n = map(c, to);
    for (size_t i = 0; i < n; i++)
        if (!jinja_out_char(r, o, to[i])) return false;
    return true;
}

enum recase { CAPITALIZE, TITLE, SWAP, FOLD };

static bool change_case(struct jinja_run *r, struct jinja_value self, enum recase how, struct jinja_value *ret) {
    const struct jinja_str *s = self.s;
    struct jinja_out o = {0};
    struct jinja_value text;
    bool in_word = false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        bool cased = jinja_char_is_upper(c) || jinja_char_is_lower(c), ok;
        if (how == FOLD && c == 0xDF) ok = jinja_out_write(r, &o, "ss", 2);
        else if (how == SWAP) ok = write_case(r, &o, c, jinja_char_is_upper(c) ? jinja_char_lower : jinja_char_upper);
        else if (how != FOLD && !in_word) ok = write_case(r, &o, c, jinja_char_capital);
        else ok = write_case(r, &o, c, jinja_char_lower);
        if (!ok) return false;
        in_word = how == TITLE ? cased : true;
    }
    return jinja_spend_bytes(r, 8 * s->len) && jinja_out_take(r, &o, &text) && jinja_str_safe(r, text.s, s->safe, ret);
}

JINJA_TEXT_METHOD(capitalize) { return (void)a, change_case(r, self, CAPITALIZE, ret); }
JINJA_TEXT_METHOD(title) { return (void)a, change_case(r, self, TITLE, ret); }
JINJA_TEXT_METHOD(swapcase) { return (void)a, change_case(r, self, SWAP, ret); }
JINJA_TEXT_METHOD(casefold) { return (void)a, change_case(r, self, FOLD, ret); }

/* ---- width ---- */

static bool pad(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, int side, struct jinja_value *ret) {
    const struct jinja_str *fill = NULL;
    int64_t width = 0;
    struct jinja_out o = {0};
    struct jinja_value text;
    size_t n = jinja_str_chars(self.s), size = 1;
    if (!jinja_arg_int(r, a[0], "width", &width) || !jinja_arg_str(r, a[1], "fillchar", &fill)) return false;
    if (fill != NULL && jinja_str_chars(fill) != 1) return jinja_fail(r, "the fill character must be exactly one character long");
    if (width <= (int64_t)n) {
        *ret = self;
        return true;
    }
    uint32_t c = fill != NULL ? jinja_char_at(fill->data, fill->len, &size) : ' ';
    size_t room = (size_t)width - n, left = side < 0 ? 0 : side > 0 ? room : room / 2 + (room & (size_t)width & 1);
    return jinja_out_fill(r, &o, c, left) && jinja_out_write(r, &o, self.s->data, self.s->len) && jinja_out_fill(r, &o, c, room - left) &&
           jinja_out_take(r, &o, &text) && jinja_str_safe(r, text.s, self.s->safe, ret);
}

JINJA_TEXT_METHOD(center) { return pad(r, self, a, 0, ret); }
JINJA_TEXT_METHOD(ljust) { return pad(r, self, a, -1, ret); }
JINJA_TEXT_METHOD(rjust) { return pad(r, self, a, 1, ret); }

JINJA_TEXT_METHOD(zfill) {
    const struct jinja_str *s = self.s;
    struct jinja_out o = {0};
    int64_t width = 0;
    size_t n = jinja_str_chars(s), sign = s->len > 0 && (s->data[0] == '-' || s->data[0] == '+') ? 1 : 0;
    if (!jinja_arg_int(r, a[0], "width", &width)) return false;
    size_t zeros = width > (int64_t)n ? (size_t)width - n : 0;
    return jinja_out_write(r, &o, s->data, sign) && jinja_out_fill(r, &o, '0', zeros) &&
           jinja_out_write(r, &o, s->data + sign, s->len - sign) && jinja_out_take(r, &o, ret);
}

JINJA_TEXT_METHOD(expandtabs) {
    const struct jinja_str *s = self.s;
    struct jinja_out o = {0};
    int64_t size = 8, column = 0;
    if (!jinja_arg_int(r, a[0], "tabsize", &size)) return false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        int64_t gap = size > 0 ? size - column % size : 0;
        if (c == '\t' ? !jinja_out_fill(r, &o, ' ', (size_t)gap) : !jinja_out_char(r, &o, c)) return false;
        column = c == '\n' || c == '\r' ? 0 : c == '\t' ? column + gap : column + 1;
    }
    return jinja_out_take(r, &o, ret);
}

/* ---- kinds of characters ---- */

static bool is_alnum(uint32_t c) { return jinja_char_is_alpha(c) || jinja_char_is_digit(c); }
static bool is_word(uint32_t c) { return is_alnum(c) || c == '_'; }

/* Is the text not empty, and are all its characters of the kind? */
static bool all_are(const struct jinja_str *s, bool (*kind)(uint32_t c)) {
    for (size_t i = 0, n; i < s->len; i += n)
        if (!kind(jinja_char_at(s->data + i, s->len - i, &n))) return false;
    return s->len > 0;
}

/* Has the text letters of the wanted case, and none of the other? */
static bool cased(const struct jinja_str *s, bool (*wanted)(uint32_t c), bool (*other)(uint32_t c)) {
    bool any = false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        if (other(c)) return false;
        any = any || wanted(c);
    }
    return any;
}

static bool titled(const struct jinja_str *s) {
    bool in_word = false, any = false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        bool up = jinja_char_is_upper(c), low = !up && jinja_char_is_lower(c);
        if ((up && in_word) || (low && !in_word)) return false;
        in_word = up || low;
        any = any || in_word;
    }
    return any;
}

#define JINJA_TEXT_IS(name, condition) \
    JINJA_TEXT_METHOD(name) { \
        (void)a; \
        *ret = jinja_bool(condition); \
        return jinja_spend_bytes(r, 8 * self.s->len); \
    }

JINJA_TEXT_IS(isalnum, all_are(self.s, is_alnum))
JINJA_TEXT_IS(isalpha, all_are(self.s, jinja_char_is_alpha))
JINJA_TEXT_IS(isascii, jinja_str_chars(self.s) == self.s->len)
JINJA_TEXT_IS(isdigit, all_are(self.s, jinja_char_is_digit))
JINJA_TEXT_IS(isidentifier, all_are(self.s, is_word) && !(self.s->data[0] >= '0' && self.s->data[0] <= '9'))
JINJA_TEXT_IS(islower, cased(self.s, jinja_char_is_lower, jinja_char_is_upper))
JINJA_TEXT_IS(isupper, cased(self.s, jinja_char_is_upper, jinja_char_is_lower))
JINJA_TEXT_IS(istitle, titled(self.s))
JINJA_TEXT_IS(isprintable, self.s->len == 0 || all_are(self.s, jinja_char_is_printable))
JINJA_TEXT_IS(isspace, all_are(self.s, jinja_char_is_space))

/* ---- format ---- */

bool jinja_method_text_format(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret) {
    return jinja_format_braces(r, self.s, args, ret);
}

JINJA_TEXT_METHOD(format_map) {
    struct jinja_args args = {0};
    if (a[0].type != JINJA_DICT) return jinja_fail(r, "format_map() needs a mapping");
    const struct jinja_str **names = jinja_alloc(r, (a[0].dict->n + 1) * sizeof(*names));
    struct jinja_value *values = names != NULL ? jinja_alloc(r, (a[0].dict->n + 1) * sizeof(*values)) : NULL;
    if (values == NULL) return false;
    for (uint32_t i = 0; i < a[0].dict->n; i++) {
        if (a[0].dict->entries[i].key.type != JINJA_STR) continue;
        names[args.n_named] = a[0].dict->entries[i].key.s;
        values[args.n_named++] = a[0].dict->entries[i].value;
    }
    args.names = names;
    args.values = values;
    return jinja_format_braces(r, self.s, &args, ret);
}
