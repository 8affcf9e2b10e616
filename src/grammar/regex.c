/* SPDX-License-Identifier: MIT
 * Regular expressions to grammars, in one pass. */
#include "grammar/regex.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/charset.h"
#include "grammar/gbnf.h"
#include "grammar/match.h"

enum { MAX_NESTING = 24, MAX_REPEAT = 100000000, MAX_LOOKS = 8, UNBOUNDED = -1 };

struct regex {
    const char *at, *end;
    const char *why;           /* if set: it can't be expressed, and why */
    err_code code;
    int depth;
    bool plain;                /* the text stands outside of JSON, and all of it must fit */
    bool looks;                /* conditions at the beginning (look-ahead) become parts of their own */
    struct regex_parts *parts;
};

static const char any[] = "char*";
static const char anchors[] = "^ and $ only at the ends of the pattern or of its alternatives";

static bool fail(struct regex *r, err_code code, const char *why) {
    if (r->why == NULL) {
        r->why = why;
        r->code = code;
    }
    return false;
}

static bool unsupported(struct regex *r, const char *why) { return fail(r, ERR_UNSUPPORTED, why); }
static bool malformed(struct regex *r, const char *why) { return fail(r, ERR_INVALID, why); }

static bool next_is(const struct regex *r, const char *text) {
    size_t len = strlen(text);
    return (size_t)(r->end - r->at) >= len && memcmp(r->at, text, len) == 0;
}

static bool skip(struct regex *r, const char *text) {
    if (!next_is(r, text)) return false;
    r->at += strlen(text);
    return true;
}

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t times(uint64_t a, uint64_t b) { return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

/* ---- characters ---- */

static void add_named(struct charset *set, char name) {
    static const uint32_t space[][2] = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                                        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    struct charset own = {0};
    switch (name | 0x20) {
    case 'd': charset_add(&own, '0', '9'); break;
    case 's':
        for (size_t i = 0; i < ARRAY_LEN(space); i++) charset_add(&own, space[i][0], space[i][1]);
        break;
    default: /* w */
        charset_add(&own, '0', '9');
        charset_add(&own, 'A', 'Z');
        charset_add(&own, '_', '_');
        charset_add(&own, 'a', 'z');
    }
    charset_sort(&own);
    if (name < 'a') charset_invert(&own);
    for (size_t i = 0; i < own.n; i++) charset_add(set, own.range[i].first, own.range[i].last);
}

/* n hexadecimal digits. */
static bool read_hex(struct regex *r, int n, uint32_t *ret) {
    uint32_t v = 0;
    for (int i = 0; i < n; i++, r->at++) {
        char c = r->at < r->end ? *r->at : '\0';
        if (c >= '0' && c <= '9') v = v * 16 + (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') v = v * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
        else return malformed(r, "too few hexadecimal digits in an escape");
    }
    *ret = v;
    return true;
}

static bool read_braced(struct regex *r, uint32_t *ret) {
    const char *close = memchr(r->at, '}', (size_t)(r->end - r->at));
    if (close == NULL || close == r->at || close - r->at > 6) return malformed(r, "\\u{...} needs one to six hexadecimal digits");
    bool ok = read_hex(r, (int)(close - r->at), ret);
    r->at++;
    return ok && (*ret <= 0x10FFFF || malformed(r, "a character above 10FFFF"));
}

static bool read_unicode(struct regex *r, uint32_t *ret) {
    if (skip(r, "{")) return read_braced(r, ret);
    if (!read_hex(r, 4, ret)) return false;
    if (*ret >= 0xD800 && *ret < 0xDC00 && skip(r, "\\u")) {
        uint32_t low;
        if (!read_hex(r, 4, &low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return malformed(r, "half a surrogate pair");
        *ret = 0x10000 + ((*ret - 0xD800) << 10) + (low - 0xDC00);
    }
    return true;
}

static uint32_t read_utf8(struct regex *r) {
    unsigned char c = (unsigned char)*r->at++;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    uint32_t v = more == 0 ? c : c & (0x3Fu >> more);
    while (more-- > 0 && r->at < r->end) v = (v << 6) | ((unsigned char)*r->at++ & 0x3F);
    return v;
}

/* After a backslash: a class (*ret_class is its letter) or one character. */
static bool read_escape(struct regex *r, bool inside, char *ret_class, uint32_t *ret) {
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    *ret_class = '\0';
    if (r->at == r->end) return malformed(r, "a backslash at the end");
    char c = *r->at;
    const char *control = strchr(from, c);
    if (c != '\0' && strchr("dDwWsS", c) != NULL) {
        *ret_class = c;
        r->at++;
        return true;
    }
    if (c == 'u' || c == 'x') {
        r->at++;
        return c == 'u' ? read_unicode(r, ret) : read_hex(r, 2, ret);
    }
    if (c != '\0' && control != NULL) {
        *ret = (uint32_t)to[control - from];
        r->at++;
        return true;
    }
    if (c == 'b' && inside) {
        *ret = '\b';
        r->at++;
        return true;
    }
    if (c == 'b' || c == 'B') return unsupported(r, "word borders (\\b) cannot be expressed");
    if (c == 'p' || c == 'P') return unsupported(r, "Unicode properties (\\p) cannot be expressed");
    if (c == 'k' || (c >= '1' && c <= '9')) return unsupported(r, "back references cannot be expressed");
    if (c == '0') {
        *ret = 0;
        r->at++;
        return true;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return malformed(r, "an unknown escape");
    *ret = read_utf8(r);
    return true;
}

static bool read_char(struct regex *r, bool inside, char *ret_class, uint32_t *ret) {
    *ret_class = '\0';
    if (skip(r, "\\")) return read_escape(r, inside, ret_class, ret);
    *ret = read_utf8(r);
    return true;
}

/* [...]; the current place is after the bracket. */
static bool read_class(struct regex *r, struct charset *set) {
    bool invert = skip(r, "^");
    while (!skip(r, "]")) {
        char class, class2;
        uint32_t first, last;
        if (r->at == r->end) return malformed(r, "a [ without ]");
        if (!read_char(r, true, &class, &first)) return false;
        if (class != '\0') {
            add_named(set, class);
            continue;
        }
        last = first;
        if (next_is(r, "-") && !next_is(r, "-]")) {
            r->at++;
            if (r->at == r->end) return malformed(r, "a [ without ]");
            if (!read_char(r, true, &class2, &last)) return false;
            if (class2 != '\0' || last < first) return malformed(r, "a range in [] out of order");
        }
        charset_add(set, first, last);
    }
    charset_sort(set);
    if (invert) charset_invert(set);
    return true;
}

/* ---- structure ---- */

/* Is a group at the beginning of the pattern, or at its end? There its alternatives may have anchors of their own. */
struct place {
    bool first, last;
};

static bool write_alternatives(struct regex *r, struct buf *out, struct place place, struct regex_lengths *ret);

static bool read_charset(struct regex *r, struct charset *set) {
    char class;
    uint32_t c;
    if (skip(r, "[")) return read_class(r, set);
    if (skip(r, ".")) {
        charset_add(set, '\n', '\n');
        charset_add(set, '\r', '\r');
        charset_add(set, 0x2028, 0x2029);
        charset_sort(set);
        charset_invert(set);
        return true;
    }
    if (!read_char(r, false, &class, &c)) return false;
    if (class != '\0') add_named(set, class);
    else charset_add(set, c, c);
    charset_sort(set);
    return true;
}

/* The current place is after the parenthesis. */
static bool write_group(struct regex *r, struct buf *out, struct place place, struct regex_lengths *ret) {
    if (next_is(r, "?=") || next_is(r, "?!")) return unsupported(r, "look-ahead (?= and (?! only at the beginning of the pattern");
    if (next_is(r, "?<=") || next_is(r, "?<!")) return unsupported(r, "look-behind (?<= and (?<! cannot be expressed");
    if (skip(r, "?<")) {
        const char *close = memchr(r->at, '>', (size_t)(r->end - r->at));
        if (close == NULL) return malformed(r, "a group's name without >");
        r->at = close + 1;
    } else if (skip(r, "?") && !skip(r, ":")) {
        return malformed(r, "an unknown kind of group");
    }
    if (++r->depth > MAX_NESTING) return fail(r, ERR_LIMIT, "groups nest too deeply");
    buf_append_byte(out, '(');
    if (!write_alternatives(r, out, place, ret)) return false;
    buf_append_byte(out, ')');
    r->depth--;
    return skip(r, ")") || malformed(r, "a ( without )");
}

static bool read_count(struct regex *r, int *ret) {
    int n = 0;
    if (r->at == r->end || *r->at < '0' || *r->at > '9') return false;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if ((n = n * 10 + (*r->at - '0')) > MAX_REPEAT) return fail(r, ERR_LIMIT, "something repeated more than 100000000 times");
    *ret = n;
    return true;
}

/* *ret_is false: there is none. max UNBOUNDED: no upper bound. */
static bool read_quantifier(struct regex *r, bool *ret_is, int *min, int *max) {
    const char *start = r->at;
    *ret_is = true;
    *min = 0;
    *max = UNBOUNDED;
    if (skip(r, "*")) {
    } else if (skip(r, "+")) {
        *min = 1;
    } else if (skip(r, "?")) {
        *max = 1;
    } else if (skip(r, "{")) {
        bool is = read_count(r, min);
        *max = *min;
        if (is && skip(r, ",") && !read_count(r, max)) *max = UNBOUNDED;
        if (r->why != NULL) return false;
        if (!is || !skip(r, "}")) {
            r->at = start;
            return malformed(r, "a { that begins no repetition");
        }
        if (*max != UNBOUNDED && *max < *min) return malformed(r, "a repetition {m,n} out of order");
    } else {
        *ret_is = false;
        return true;
    }
    skip(r, "?"); /* lazy: matches the same texts */
    return true;
}

static bool write_atom(struct regex *r, struct buf *out, struct place place, struct regex_lengths *ret) {
    if (skip(r, "(")) return write_group(r, out, place, ret);
    if (*r->at == '^' || *r->at == '$') return unsupported(r, anchors);
    if (*r->at == '*' || *r->at == '+' || *r->at == '?' || *r->at == '{') return malformed(r, "nothing stands before this repetition");
    struct charset set = {0};
    if (!read_charset(r, &set)) return false;
    if (set.full) return fail(r, ERR_LIMIT, "a class of too many ranges");
    *ret = (struct regex_lengths){1, 1};
    bool any_character = r->plain ? charset_write_plain(&set, out) : charset_write(&set, out);
    return any_character || unsupported(r, "a class that no character is in");
}

static bool write_item(struct regex *r, struct buf *out, struct place place, struct regex_lengths *ret) {
    bool repeated;
    int min, max;
    if (!write_atom(r, out, place, ret) || !read_quantifier(r, &repeated, &min, &max)) return false;
    if (!repeated) return true;
    if (max == UNBOUNDED) buf_printf(out, "{%d,}", min);
    else buf_printf(out, "{%d,%d}", min, max);
    ret->min = times(ret->min, (uint64_t)min);
    ret->max = max == UNBOUNDED ? UINT64_MAX : times(ret->max, (uint64_t)max);
    return true;
}

static bool at_end_of_alternative(const struct regex *r) { return r->at == r->end || *r->at == '|' || *r->at == ')'; }

/* The first place of this character from `at` on, outside of classes and at the same depth of groups; NULL: none. */
static const char *find_outside(const char *at, const char *end, char c) {
    int depth = 0;
    bool class = false;
    for (const char *p = at; p < end; p++)
        if (*p == '\\') p++;
        else if (class) class = *p != ']';
        else if (*p == c && depth == 0) return p;
        else if (*p == '[') class = true;
        else if (*p == '(') depth++;
        else if (*p == ')') depth--;
    return NULL;
}

/* The place after the group that begins here, if there is one and it isn't repeated; else NULL. */
static const char *behind_group(const struct regex *r) {
    const char *close = r->at < r->end && *r->at == '(' ? find_outside(r->at + 1, r->end, ')') : NULL;
    bool repeated = close != NULL && close + 1 < r->end && strchr("*+?{", close[1]) != NULL;
    return close != NULL && !repeated ? close + 1 : NULL;
}

/* (?=X) and (?!X) at the beginning: the text must fit X there, or must not, besides all other conditions. */
static bool read_looks(struct regex *r) {
    while (r->looks && r->depth == 0 && (next_is(r, "(?=") || next_is(r, "(?!"))) {
        struct regex_lengths ignored;
        struct buf out;
        const char *close = find_outside(r->at + 1, r->end, ')');
        bool negated = r->at[2] == '!', ok;
        if (close == NULL) return malformed(r, "a ( without )");
        if (r->parts->n == REGEX_MAX_PARTS) return fail(r, ERR_LIMIT, "too many conditions");
        struct regex inner = {.at = r->at + 3, .end = close, .depth = r->depth + 1};
        buf_init(&out, GBNF_MAX_TEXT);
        buf_append_byte(&out, '(');
        ok = write_alternatives(&inner, &out, (struct place){false, true}, &ignored);
        buf_append_byte(&out, ')');
        if (ok)
            r->parts->list[r->parts->n++] = (struct regex_part){.text = mem_strdup(buf_cstr(&out)), .negated = negated, .max = UINT64_MAX};
        buf_done(&out);
        if (!ok) return fail(r, inner.code, inner.why);
        r->at = close + 1;
    }
    return true;
}

/* An unanchored end of a pattern matches anywhere: it gets any characters, unless a group at that end takes care of it. */
static bool write_sequence(struct regex *r, struct buf *out, struct place open, struct regex_lengths *ret) {
    *ret = (struct regex_lengths){0, 0};
    size_t start = out->len;
    if (open.first && skip(r, "^")) {
        if (!read_looks(r)) return false;
        open.first = false;
    } else if (open.first && behind_group(r) == NULL) {
        buf_append_str(out, any);
        ret->max = UINT64_MAX;
        open.first = false;
    }
    while (!at_end_of_alternative(r)) {
        const char *behind = behind_group(r);
        struct regex rest = {.at = behind, .end = r->end};
        struct place within = {open.first, open.last && behind != NULL && at_end_of_alternative(&rest)};
        struct regex_lengths item;
        if (open.last && *r->at == '$') {
            r->at++;
            open.last = false;
            if (at_end_of_alternative(r)) break;
            return unsupported(r, anchors);
        }
        if (out->len > start) buf_append_byte(out, ' ');
        if (!write_item(r, out, within, &item)) return false;
        open.first = false;
        open.last = open.last && !within.last;
        ret->min = add(ret->min, item.min);
        ret->max = add(ret->max, item.max);
        if (out->failed) return fail(r, ERR_LIMIT, "its grammar is too long");
    }
    if (open.last && !(out->len == start + strlen(any) && memcmp(out->data + start, any, strlen(any)) == 0)) {
        buf_printf(out, " %s", any);
        ret->max = UINT64_MAX;
    }
    if (out->len == start) buf_append_str(out, "\"\"");
    return true;
}

static bool write_alternatives(struct regex *r, struct buf *out, struct place place, struct regex_lengths *ret) {
    *ret = (struct regex_lengths){UINT64_MAX, 0};
    for (;;) {
        struct regex_lengths one;
        if (!write_sequence(r, out, place, &one)) return false;
        if (one.min < ret->min) ret->min = one.min;
        if (one.max > ret->max) ret->max = one.max;
        if (!skip(r, "|")) return true;
        buf_append_byte(out, '|');
    }
}

err_code regex_read(const char *pattern, size_t len, struct regex_parts *parts, const char **ret_why) {
    struct regex r = {.at = pattern, .end = pattern + len, .parts = parts};
    struct regex_lengths lengths = {0, 0};
    struct buf out;
    size_t before = parts->n;
    r.looks = find_outside(pattern, r.end, '|') == NULL;
    buf_init(&out, GBNF_MAX_TEXT);
    buf_append_byte(&out, '(');
    if (write_alternatives(&r, &out, (struct place){true, true}, &lengths) && r.at < r.end) malformed(&r, "a ) without (");
    buf_append_byte(&out, ')');
    if (r.why == NULL && parts->n == REGEX_MAX_PARTS) fail(&r, ERR_LIMIT, "too many conditions");
    if (r.why == NULL)
        parts->list[parts->n++] = (struct regex_part){.text = mem_strdup(buf_cstr(&out)), .min = lengths.min, .max = lengths.max};
    buf_done(&out);
    if (r.why == NULL) return ERR_OK;
    while (parts->n > before) free(parts->list[--parts->n].text);
    *ret_why = r.why;
    return r.code;
}

void regex_parts_done(struct regex_parts *parts) {
    while (parts->n > 0) free(parts->list[--parts->n].text);
}

/* Removes anchors at the ends, which mean nothing when the whole text must fit. */
static void drop_anchors(struct regex *r) {
    const char *slash = r->end - 1;
    if (find_outside(r->at, r->end, '|') != NULL) return;
    skip(r, "^");
    if (r->end == r->at || r->end[-1] != '$') return;
    while (slash > r->at && slash[-1] == '\\') slash--;
    if ((r->end - 1 - slash) % 2 == 0) r->end--;
}

err_code regex_to_gbnf(const char *pattern, size_t len, struct buf *out, struct err *e) {
    struct regex r = {.at = pattern, .end = pattern + len, .plain = true};
    struct regex_lengths lengths;
    drop_anchors(&r);
    buf_append_str(out, "root ::= (");
    if (write_alternatives(&r, out, (struct place){false, false}, &lengths) && r.at < r.end) malformed(&r, "a ) without (");
    buf_append_str(out, ")\n");
    if (r.why == NULL && out->failed) fail(&r, ERR_LIMIT, "its grammar is too long");
    return r.why == NULL ? ERR_OK : err_set(e, r.code, "the regular expression: %s", r.why);
}

void regex_write_rules(struct buf *out) {
    buf_append_str(out, "ctl ::= \"\\\\\" [bfnrt] | \"\\\\u00\" ( \"0\" [0-7bBeEfF] | \"1\" [0-9a-fA-F] )\n"
                        "char ::= [^\\x22\\x5C\\x00-\\x1F] | \"\\\\\\\"\" | \"\\\\\\\\\" | ctl\n");
}
