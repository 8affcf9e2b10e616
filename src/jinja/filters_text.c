/* SPDX-License-Identifier: MIT
 * Filters that return text. Their input first becomes text, as by str(). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "jinja/builtin_priv.h"
#include "jinja/object_priv.h"
#include "jinja/text.h"
#include "jinja/show_priv.h"
#include "jinja/number_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/eval_priv.h"
#include "jinja/text_ops_priv.h"

#define JINJA_FILTER_OF(name) \
    bool jinja_filter_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)

static bool literal(struct jinja_run *r, const char *text, struct jinja_value *ret) { return jinja_str_refer(r, text, strlen(text), ret); }

/* self, as text that is not markup. */
static bool plain(struct jinja_run *r, struct jinja_value self, const struct jinja_str **ret) {
    struct jinja_value v;
    if (!jinja_to_str(r, self, ret) || !jinja_str_safe(r, *ret, false, &v)) return false;
    *ret = v.s;
    return true;
}

/* ---- JSON ---- */

static bool json_separators(struct jinja_run *r, struct jinja_value given, struct jinja_json *how) {
    if (!jinja_given(given)) return true;
    if (!jinja_is_list(given) || given.list->n != 2 || given.list->items[0].type != JINJA_STR || given.list->items[1].type != JINJA_STR)
        return jinja_fail(r, "separators must be two texts");
    const struct jinja_str *comma = given.list->items[0].s, *colon = given.list->items[1].s;
    how->comma = comma->data;
    how->comma_len = comma->len;
    how->colon = colon->data;
    how->colon_len = colon->len;
    return true;
}

/* The signature is that of transformers: the first argument is ensure_ascii, not indent. */
JINJA_FILTER_OF(tojson) {
    struct jinja_json how = {
        .ascii = jinja_flag(a[0]), .sorted = jinja_flag(a[3]), .comma = ", ", .comma_len = 2, .colon = ": ", .colon_len = 2};
    struct jinja_out o = {0}, blanks = {0};
    struct jinja_value indent = a[1];
    if (jinja_given(indent)) {
        int64_t n = 0;
        if (indent.type != JINJA_STR) {
            if (!jinja_arg_int(r, indent, "indent", &n) || !jinja_out_fill(r, &blanks, ' ', n > 0 ? (size_t)n : 0)) return false;
            if (!jinja_out_take(r, &blanks, &indent)) return false;
        }
        how.indent = indent.s->data;
        how.indent_len = indent.s->len;
        how.comma_len = 1; /* no blank before the end of a line */
    }
    return json_separators(r, a[2], &how) && jinja_show_json(r, &o, self, &how) && jinja_out_take(r, &o, ret);
}

JINJA_FILTER_OF(from_json) {
    (void)a;
    if (self.type != JINJA_STR) return jinja_fail(r, "from_json needs text, not %s", jinja_type_name(self));
    return jinja_from_json(r, self.s, ret);
}

/* ---- as methods ---- */

JINJA_FILTER_OF(trim) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_strip(r, jinja_of_str(s), a, ret);
}

JINJA_FILTER_OF(upper) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_upper(r, jinja_of_str(s), a, ret);
}

JINJA_FILTER_OF(lower) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_lower(r, jinja_of_str(s), a, ret);
}

JINJA_FILTER_OF(capitalize) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_capitalize(r, jinja_of_str(s), a, ret);
}

JINJA_FILTER_OF(center) {
    const struct jinja_value width[] = {a[0].type == JINJA_MISSING ? jinja_int(80) : a[0], jinja_missing()};
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_center(r, jinja_of_str(s), width, ret);
}

JINJA_FILTER_OF(replace) {
    const struct jinja_str *s, *old, *with;
    int64_t count = -1;
    if (!plain(r, self, &s) || !plain(r, a[0], &old) || !plain(r, a[1], &with)) return false;
    return (!jinja_given(a[2]) || jinja_arg_int(r, a[2], "count", &count)) && jinja_text_replace(r, s, old, with, count, ret);
}

JINJA_FILTER_OF(string) {
    const struct jinja_str *s;
    (void)a;
    if (!jinja_to_str(r, self, &s)) return false;
    *ret = jinja_of_str(s);
    return true;
}

bool jinja_filter_format(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret) {
    const struct jinja_str *s;
    struct jinja_value values;
    if (args->n > 0 && args->n_named > 0) return jinja_fail(r, "can't handle positional and keyword arguments at the same time");
    if (!jinja_to_str(r, self, &s)) return false;
    if (args->n_named > 0) {
        if (!jinja_dict_new(r, JINJA_DICT, &values)) return false;
        for (size_t i = 0; i < args->n_named; i++)
            if (!jinja_dict_set(r, values.dict, jinja_of_str(args->names[i]), args->values[i])) return false;
    } else {
        if (!jinja_list_new(r, JINJA_TUPLE, args->n, &values)) return false;
        for (size_t i = 0; i < args->n; i++)
            if (!jinja_list_add(r, values.list, args->list[i])) return false;
    }
    return jinja_format_percent(r, s, values, ret);
}

/* ---- words and lines ---- */

/* A word begins after blanks or one of -({[<; its first letter becomes a capital. */
JINJA_FILTER_OF(title) {
    const struct jinja_str *s;
    struct jinja_out o = {0};
    bool first = true;
    (void)a;
    if (!jinja_to_str(r, self, &s) || !jinja_spend_bytes(r, 8 * s->len)) return false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t to[JINJA_CASE_MAX], c = jinja_char_at(s->data + i, s->len - i, &n);
        bool border = jinja_char_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
        size_t count = first ? jinja_char_upper(c, to) : jinja_char_lower(c, to);
        for (size_t k = 0; k < count; k++)
            if (!jinja_out_char(r, &o, to[k])) return false;
        first = border;
    }
    return jinja_out_take(r, &o, ret);
}

JINJA_FILTER_OF(indent) {
    const struct jinja_str *by, *newline;
    struct jinja_out o = {0};
    struct jinja_value width = a[0].type == JINJA_MISSING ? jinja_int(4) : a[0], lines, line;
    int64_t n = 0;
    bool first = jinja_flag(a[1]), blank = jinja_flag(a[2]);
    if (self.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, self);
    if (self.type != JINJA_STR) return jinja_fail(r, "indent needs text, not %s", jinja_type_name(self));
    if (width.type != JINJA_STR &&
        (!jinja_arg_int(r, width, "width", &n) || !jinja_out_fill(r, &o, ' ', n > 0 ? (size_t)n : 0) || !jinja_out_take(r, &o, &width)))
        return false;
    by = width.s;
    if (!literal(r, "\n", &line) || !jinja_str_concat(r, self.s, line.s, &lines)) return false;
    newline = line.s;
    if (!jinja_text_lines(r, lines.s, false, &lines)) return false;
    for (size_t i = 0; i < lines.list->n; i++) {
        const struct jinja_str *s = lines.list->items[i].s;
        bool indented = i == 0 ? first : blank || s->len > 0;
        if ((i > 0 && !jinja_out_write(r, &o, newline->data, 1)) || (indented && !jinja_out_write(r, &o, by->data, by->len)) ||
            !jinja_out_write(r, &o, s->data, s->len))
            return false;
    }
    return jinja_out_take(r, &o, ret) && jinja_str_safe(r, ret->s, self.s->safe, ret);
}

JINJA_FILTER_OF(truncate) {
    int64_t length = 255, leeway = 5;
    const struct jinja_str *end = NULL, *s = self.s;
    struct jinja_value dots, cut;
    size_t chars;
    if (!literal(r, "...", &dots) || !jinja_arg_int(r, a[0], "length", &length) || !jinja_arg_str(r, a[2], "end", &end)) return false;
    if (jinja_given(a[3]) && !jinja_arg_int(r, a[3], "leeway", &leeway)) return false;
    if (end == NULL) end = dots.s;
    int64_t kept = length - (int64_t)jinja_str_chars(end);
    if (kept < 0 || leeway < 0) return jinja_fail(r, "truncate(): the length or the leeway is too small");
    if (!jinja_length(r, self, &chars)) return false;
    if ((int64_t)chars <= length + leeway) {
        *ret = self;
        return true;
    }
    if (self.type != JINJA_STR) return jinja_fail(r, "truncate needs text, not %s", jinja_type_name(self));
    size_t len = jinja_char_offset(s->data, s->len, (size_t)kept);
    const char *blank = jinja_flag(a[1]) ? NULL : mem_find_last(s->data, ' ', len);
    if (blank != NULL) len = (size_t)(blank - s->data);
    return jinja_str_part(r, s, 0, len, &cut) && jinja_binary(r, JINJA_ADD, cut, jinja_of_str(end), ret);
}

JINJA_FILTER_OF(wordcount) {
    const struct jinja_str *s;
    bool inside = false;
    int64_t words = 0;
    (void)a;
    if (!jinja_to_str(r, self, &s) || !jinja_spend_bytes(r, 8 * s->len)) return false;
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        bool word = c == '_' || jinja_char_is_alpha(c) || jinja_char_is_digit(c);
        words += word && !inside;
        inside = word;
    }
    *ret = jinja_int(words);
    return true;
}

JINJA_FILTER_OF(filesizeformat) {
    bool binary = jinja_flag(a[0]);
    double bytes = 0, base = binary ? 1024 : 1000;
    char text[64];
    if (self.type == JINJA_STR ? !jinja_number_parse_float(self.s->data, self.s->len, &bytes) : !jinja_is_number(self))
        return jinja_fail(r, "filesizeformat needs a number");
    if (self.type != JINJA_STR) bytes = jinja_number_double(self);
    if (bytes == 1) return literal(r, "1 Byte", ret);
    if (bytes < base) {
        snprintf(text, sizeof(text), "%.0f Bytes", bytes < 0 ? -(double)(int64_t)-bytes : (double)(int64_t)bytes);
        return jinja_str_copy(r, text, strlen(text), ret);
    }
    double unit = base * base;
    int i = 0;
    for (; i < 7 && bytes >= unit; i++) unit *= base;
    snprintf(text, sizeof(text), "%.1f %c%s", base * bytes / unit, binary ? "KMGTPEZY"[i] : "kMGTPEZY"[i], binary ? "iB" : "B");
    return jinja_str_copy(r, text, strlen(text), ret);
}

/* ---- HTML ---- */

JINJA_FILTER_OF(safe) {
    const struct jinja_str *s;
    (void)a;
    return jinja_to_str(r, self, &s) && jinja_str_safe(r, s, true, ret);
}

JINJA_FILTER_OF(escape) {
    const struct jinja_str *s;
    (void)a;
    return jinja_to_str(r, self, &s) && jinja_str_escape(r, s, ret);
}

JINJA_FILTER_OF(forceescape) {
    const struct jinja_str *s;
    (void)a;
    return plain(r, self, &s) && jinja_str_escape(r, s, ret);
}

static bool unescape(struct jinja_run *r, struct jinja_out *o, const char *text, size_t len) {
    static const struct {
        const char *entity;
        char c;
    } rows[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&#34;", '"'}, {"&quot;", '"'}, {"&#39;", '\''}};
    for (size_t i = 0; i < len; i++) {
        size_t row = 0, n = 0;
        for (; row < sizeof(rows) / sizeof(*rows); row++) {
            n = strlen(rows[row].entity);
            if (n <= len - i && memcmp(text + i, rows[row].entity, n) == 0) break;
        }
        bool found = row < sizeof(rows) / sizeof(*rows);
        if (!jinja_out_byte(r, o, found ? rows[row].c : text[i])) return false;
        if (found) i += n - 1;
    }
    return true;
}

/* Removes comments and tags; each run of blanks becomes one blank. */
JINJA_FILTER_OF(striptags) {
    const struct jinja_str *s;
    struct jinja_out kept = {0}, o = {0};
    struct jinja_value text, words;
    (void)a;
    if (!plain(r, self, &s)) return false;
    for (size_t i = 0; i < s->len;) {
        size_t left = s->len - i;
        bool comment = left >= 4 && memcmp(s->data + i, "<!--", 4) == 0;
        const char *end = s->data[i] != '<' ? NULL : comment ? mem_find(s->data + i, left, "-->", 3) : memchr(s->data + i, '>', left);
        if (end == NULL && !jinja_out_byte(r, &kept, s->data[i])) return false;
        i = end != NULL ? (size_t)(end - s->data) + (comment ? 3 : 1) : i + 1;
    }
    const struct jinja_value none[] = {jinja_missing(), jinja_missing()};
    struct jinja_value blank;
    return jinja_out_take(r, &kept, &text) && jinja_method_text_split(r, text, none, &words) && literal(r, " ", &blank) &&
           jinja_text_join(r, blank.s, words, true, &text) && unescape(r, &o, text.s->data, text.s->len) && jinja_out_take(r, &o, ret);
}

static bool quote_url(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, bool query) {
    const struct jinja_str *s;
    if (!jinja_to_str(r, v, &s)) return false;
    for (size_t i = 0; i < s->len; i++) {
        unsigned char c = (unsigned char)s->data[i];
        bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != 0 && strchr("_.-~", c) != NULL) ||
                    (c == '/' && !query);
        bool ok = kept                ? jinja_out_byte(r, o, (char)c)
                  : c == ' ' && query ? jinja_out_byte(r, o, '+')
                                      : jinja_out_printf(r, o, "%%%02X", c);
        if (!ok) return false;
    }
    return true;
}

JINJA_FILTER_OF(urlencode) {
    struct jinja_out o = {0};
    struct jinja_value list = self, pair;
    (void)a;
    if (self.type == JINJA_STR || !jinja_iterable(self)) return quote_url(r, &o, self, false) && jinja_out_take(r, &o, ret);
    if (self.type == JINJA_DICT) list = (struct jinja_value){.type = JINJA_VIEW, .aux = JINJA_ITEMS, .dict = self.dict};
    if (!jinja_to_list(r, list, JINJA_LIST, &list)) return false;
    for (size_t i = 0; i < list.list->n; i++) {
        if (!jinja_to_list(r, list.list->items[i], JINJA_TUPLE, &pair)) return false;
        if (pair.list->n != 2) return jinja_fail(r, "urlencode needs pairs");
        if ((i > 0 && !jinja_out_byte(r, &o, '&')) || !quote_url(r, &o, pair.list->items[0], true) || !jinja_out_byte(r, &o, '=') ||
            !quote_url(r, &o, pair.list->items[1], true))
            return false;
    }
    return jinja_out_take(r, &o, ret);
}

JINJA_FILTER_OF(xmlattr) {
    struct jinja_out o = {0};
    bool first = a[0].type != JINJA_MISSING && !jinja_truth(a[0]);
    if (self.type != JINJA_DICT) return jinja_fail(r, "xmlattr needs a mapping");
    for (uint32_t i = 0; i < self.dict->n; i++) {
        const struct jinja_str *key = NULL, *value;
        struct jinja_value k, v = self.dict->entries[i].value;
        if (v.type == JINJA_NONE || v.type == JINJA_UNDEFINED) continue;
        if (!jinja_arg_str(r, self.dict->entries[i].key, "key", &key) || !jinja_to_str(r, v, &value)) return false;
        for (size_t c = 0; c < key->len; c++)
            if (strchr(" \t\n\r\f\v/>=", key->data[c]) != NULL) return jinja_fail(r, "invalid character in attribute name");
        if (!jinja_str_escape(r, key, &k) || !jinja_str_escape(r, value, &v)) return false;
        if ((!first && !jinja_out_byte(r, &o, ' ')) || !jinja_show(r, &o, k) || !jinja_out_write(r, &o, "=\"", 2) ||
            !jinja_show(r, &o, v) || !jinja_out_byte(r, &o, '"'))
            return false;
        first = false;
    }
    return jinja_out_take(r, &o, ret);
}
