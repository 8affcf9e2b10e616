/* SPDX-License-Identifier: MIT
 * Regular expressions (the regular part of ECMA-262) to GBNF, and those of the formats. See schema_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/schema_priv.h"

enum { MAX_NESTING = 24, UNBOUNDED = -1 };

struct regex {
    struct schema *schema;
    const char *at, *end;
    const char *why;           /* set: it can't be expressed */
    err_code code;
    int depth;
};

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

static void add_named(struct schema_charset *set, char name) {
    static const uint32_t space[][2] = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                                        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    struct schema_charset own = {0};
    switch (name | 0x20) {
    case 'd': schema_charset_add(&own, '0', '9'); break;
    case 's':
        for (size_t i = 0; i < ARRAY_LEN(space); i++) schema_charset_add(&own, space[i][0], space[i][1]);
        break;
    default: /* w */
        schema_charset_add(&own, '0', '9');
        schema_charset_add(&own, 'A', 'Z');
        schema_charset_add(&own, '_', '_');
        schema_charset_add(&own, 'a', 'z');
    }
    schema_charset_sort(&own);
    if (name < 'a') schema_charset_invert(&own);
    for (size_t i = 0; i < own.n; i++) schema_charset_add(set, own.range[i].first, own.range[i].last);
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

/* What follows a backslash: a class (*ret_class its letter) or one character. */
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

/* [...]; at is behind the bracket. */
static bool read_class(struct regex *r, struct schema_charset *set) {
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
        schema_charset_add(set, first, last);
    }
    schema_charset_sort(set);
    if (invert) schema_charset_invert(set);
    return true;
}

/* ---- structure ---- */

static bool write_alternatives(struct regex *r, struct buf *out, struct schema_lengths *ret, bool top);

static bool read_charset(struct regex *r, struct schema_charset *set) {
    char class;
    uint32_t c;
    if (skip(r, "[")) return read_class(r, set);
    if (skip(r, ".")) {
        schema_charset_add(set, '\n', '\n');
        schema_charset_add(set, '\r', '\r');
        schema_charset_add(set, 0x2028, 0x2029);
        schema_charset_sort(set);
        schema_charset_invert(set);
        return true;
    }
    if (!read_char(r, false, &class, &c)) return false;
    if (class != '\0') add_named(set, class);
    else schema_charset_add(set, c, c);
    schema_charset_sort(set);
    return true;
}

static bool write_group(struct regex *r, struct buf *out, struct schema_lengths *ret) {
    if (next_is(r, "?=") || next_is(r, "?!") || next_is(r, "?<=") || next_is(r, "?<!"))
        return unsupported(r, "look-around ((?=, (?!, (?<=, (?<!) cannot be expressed");
    if (skip(r, "?<")) {
        const char *close = memchr(r->at, '>', (size_t)(r->end - r->at));
        if (close == NULL) return malformed(r, "a group's name without >");
        r->at = close + 1;
    } else if (skip(r, "?") && !skip(r, ":")) {
        return malformed(r, "an unknown kind of group");
    }
    if (++r->depth > MAX_NESTING) return fail(r, ERR_LIMIT, "groups nest too deeply");
    buf_append_byte(out, '(');
    if (!write_alternatives(r, out, ret, false)) return false;
    buf_append_byte(out, ')');
    r->depth--;
    return skip(r, ")") || malformed(r, "a ( without )");
}

static bool read_count(struct regex *r, int *ret) {
    int n = 0;
    if (r->at == r->end || *r->at < '0' || *r->at > '9') return false;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if ((n = n * 10 + (*r->at - '0')) > SCHEMA_MAX_REPEAT) return fail(r, ERR_LIMIT, "something repeated more than 1999 times");
    *ret = n;
    return true;
}

/* *ret_is false: none stands here. max UNBOUNDED: no end. */
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
    skip(r, "?"); /* lazy: the same texts */
    return true;
}

static bool write_atom(struct regex *r, struct buf *out, struct schema_lengths *ret) {
    if (skip(r, "(")) return write_group(r, out, ret);
    if (*r->at == '^' || *r->at == '$') return unsupported(r, "^ and $ only at the ends of the pattern or of its alternatives");
    if (*r->at == '*' || *r->at == '+' || *r->at == '?' || *r->at == '{') return malformed(r, "nothing stands before this repetition");
    struct schema_charset set = {0};
    if (!read_charset(r, &set)) return false;
    if (set.full) return fail(r, ERR_LIMIT, "a class of too many ranges");
    *ret = (struct schema_lengths){1, 1};
    return schema_charset_write(&set, out) || unsupported(r, "a class that no character is in");
}

/* What is repeated becomes a rule of its own: libllama counts the rules inside a repetition. */
static bool move_to_rule(struct regex *r, struct buf *out, size_t start) {
    unsigned rule;
    if (out->failed || schema_extra(r->schema, &rule) != ERR_OK) return fail(r, ERR_LIMIT, "its grammar is too long");
    buf_printf(&r->schema->text, "x%u ::= %s\n", rule, buf_cstr(out) + start);
    out->len = start;
    buf_printf(out, "x%u", rule);
    return true;
}

static bool write_item(struct regex *r, struct buf *out, struct schema_lengths *ret) {
    bool repeated;
    int min, max;
    size_t start = out->len;
    if (!write_atom(r, out, ret) || !read_quantifier(r, &repeated, &min, &max)) return false;
    if (!repeated) return true;
    if (ret->min == 0 && max != 1 && max != 0) return unsupported(r, "a repetition of something that may be empty");
    if (out->data[start] == '(' && !move_to_rule(r, out, start)) return false;
    if (max == UNBOUNDED) buf_printf(out, "{%d,}", min);
    else buf_printf(out, "{%d,%d}", min, max);
    ret->min = times(ret->min, (uint64_t)min);
    ret->max = max == UNBOUNDED ? UINT64_MAX : times(ret->max, (uint64_t)max);
    return true;
}

static bool at_end_of_alternative(const struct regex *r) { return r->at == r->end || *r->at == '|' || *r->at == ')'; }

static bool write_sequence(struct regex *r, struct buf *out, struct schema_lengths *ret, bool top) {
    *ret = (struct schema_lengths){0, 0};
    bool anchored = !top;
    size_t start = out->len;
    if (top && skip(r, "^")) anchored = true;
    if (!anchored) {
        buf_append_str(out, "char*");
        ret->max = UINT64_MAX;
    }
    anchored = !top;
    while (!at_end_of_alternative(r)) {
        if (top && *r->at == '$' && (r->at + 1 == r->end || r->at[1] == '|')) {
            anchored = true;
            r->at++;
            break;
        }
        struct schema_lengths item;
        if (out->len > start) buf_append_byte(out, ' ');
        if (!write_item(r, out, &item)) return false;
        ret->min = add(ret->min, item.min);
        ret->max = add(ret->max, item.max);
        if (out->failed) return fail(r, ERR_LIMIT, "its grammar is too long");
    }
    if (!anchored) {
        buf_append_str(out, " char*");
        ret->max = UINT64_MAX;
    }
    if (out->len == start) buf_append_str(out, "\"\"");
    return true;
}

static bool write_alternatives(struct regex *r, struct buf *out, struct schema_lengths *ret, bool top) {
    *ret = (struct schema_lengths){UINT64_MAX, 0};
    for (;;) {
        struct schema_lengths one;
        if (!write_sequence(r, out, &one, top)) return false;
        if (one.min < ret->min) ret->min = one.min;
        if (one.max > ret->max) ret->max = one.max;
        if (!skip(r, "|")) return true;
        buf_append_byte(out, '|');
    }
}

err_code schema_write_regex(struct schema *s, const char *pattern, size_t len, struct buf *out, struct schema_lengths *ret,
                            const char **ret_why) {
    struct regex r = {.schema = s, .at = pattern, .end = pattern + len};
    buf_append_byte(out, '(');
    if (write_alternatives(&r, out, ret, true) && r.at < r.end) malformed(&r, "a ) without (");
    buf_append_byte(out, ')');
    *ret_why = r.why;
    return r.why != NULL ? r.code : ERR_OK;
}

/* ---- formats ---- */

#define DAY31         "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
#define DAY30         "(0[469]|11)-(0[1-9]|[12][0-9]|30)"
#define LEAP          "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
#define DATE          "([0-9]{4}-(" DAY31 "|" DAY30 "|02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP "-02-29)"
#define TIME          "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define DURATION_TIME "T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)"
#define DURATION_DATE "([0-9]{1,9}D|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?)"
#define ATOM          "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}"
#define LABEL         "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST          "([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]([A-Za-z0-9]|-[A-Za-z0-9]){0,30})"
#define OCTET         "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4          OCTET "(\\." OCTET "){3}"
#define HEX           "[0-9A-Fa-f]"
#define H16           HEX "{1,4}"
#define LS32          "(" H16 ":" H16 "|" IPV4 ")"
#define PCHAR         "([A-Za-z0-9._~!$&'()*+,;=:@-]|%" HEX "{2})"

const char *schema_format_regex(const char *name) {
    static const struct {
        const char *name, *regex;
    } formats[] = {
        {"date", "^" DATE "$"},
        {"time", "^" TIME "$"},
        {"date-time", "^" DATE "T" TIME "$"},
        {"duration", "^P(" DURATION_DATE "(" DURATION_TIME ")?|" DURATION_TIME "|[0-9]{1,9}W)$"},
        {"email", "^" ATOM "(\\." ATOM "){0,1}@" LABEL "(\\." LABEL "){1,3}$"},
        {"hostname", "^" HOST "(\\." HOST "){0,3}$"},
        {"ipv4", "^" IPV4 "$"},
        {"ipv6", "^((" H16 ":){6}" LS32 "|::(" H16 ":){5}" LS32 "|(" H16 ")?::(" H16 ":){4}" LS32 "|((" H16 ":){0,1}" H16 ")?::(" H16
                 ":){3}" LS32 "|((" H16 ":){0,2}" H16 ")?::(" H16 ":){2}" LS32 "|((" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|((" H16
                 ":){0,4}" H16 ")?::" LS32 "|((" H16 ":){0,5}" H16 ")?::" H16 "|((" H16 ":){0,6}" H16 ")?::)$"},
        {"uuid", "^" HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}$"},
        {"uri", "^[A-Za-z][A-Za-z0-9+.-]{0,31}://" HOST "(\\." HOST "){0,3}(:[0-9]{1,5})?(/" PCHAR "{0,255}){0,16}"
                "(\\?(" PCHAR "|[/?]){0,255})?(#(" PCHAR "|[/?]){0,255})?$"},
        {"password", ""},
        {"binary", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i].name, name) == 0) return formats[i].regex;
    return NULL;
}
