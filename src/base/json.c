/* SPDX-License-Identifier: MIT
 * JSON by yyjson, with bounds and errors that name the field. See json.h. */
#include "base/json_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Where the string that begins at `start` (after its opening quote) ends: at its closing quote, or at len. */
static size_t string_end(const char *text, size_t start, size_t len) {
    const char *quote;
    for (size_t from = start; from < len && (quote = memchr(text + from, '"', len - from)) != NULL;) {
        size_t at = (size_t)(quote - text), slash = at;
        while (slash > start && text[slash - 1] == '\\') slash--;
        if ((at - slash) % 2 == 0) return at;
        from = at + 1;
    }
    return len;
}

/* Counts the depth before parsing, from the brackets outside of strings. Returns the greatest depth, counted up to max + 1. */
static int scan_depth(const char *text, size_t len, int max) {
    int depth = 0, deepest = 0;
    for (size_t i = 0; i < len && deepest <= max; i++) {
        char c = text[i];
        if (c == '"') {
            i = string_end(text, i + 1, len);
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

static err_code parse(const char *text, size_t len, yyjson_read_flag flags, yyjson_doc **ret_doc, struct err *e) {
    if (scan_depth(text, len, JSON_MAX_DEPTH) > JSON_MAX_DEPTH)
        return err_set(e, ERR_LIMIT, "JSON is nested deeper than %d levels", JSON_MAX_DEPTH);
    yyjson_read_err why = {0};
    /* Without YYJSON_READ_INSITU the text is not changed; yyjson's signature takes a plain char pointer for both. */
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, flags, NULL, &why);
    if (doc) {
        *ret_doc = json_last_of_each(doc);
        return ERR_OK;
    }
    if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_MEMORY, "cannot parse %zu bytes of JSON: out of memory", len);
    if (len == 0) return err_set(e, ERR_FORMAT, "malformed JSON: it is empty");
    size_t line = 1, column = 1;
    for (size_t i = 0; i < why.pos && i < len; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return err_set(e, ERR_FORMAT, "malformed JSON at line %zu, column %zu (byte %zu): %s", line, column, why.pos,
                   why.msg ? why.msg : "unknown cause");
}

err_code json_parse(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e) {
    return parse(text, len, YYJSON_READ_NOFLAG, ret_doc, e);
}

err_code json_parse_exact(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e) {
    return parse(text, len, YYJSON_READ_BIGNUM_AS_RAW, ret_doc, e);
}

yyjson_doc *json_read(const char *text, size_t len) {
    yyjson_doc *doc = NULL;
    json_parse(text, len, &doc, NULL);
    return doc;
}

yyjson_mut_doc *json_new(void) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    return doc;
}

/* The code unit of "\\uXXXX" at this place; -1: there is none. */
static int unit_at(const char *text, size_t at, size_t len) {
    int unit = 0;
    if (at + 6 > len || text[at] != '\\' || text[at + 1] != 'u') return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text[i], letter = (char)(c | 0x20);
        int digit = c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Finds the first half of a surrogate pair that stands alone, from `at` on; len: none. *ret_next: where to go on. */
static size_t next_half(const char *text, size_t at, size_t len, size_t *ret_next) {
    const char *slash;
    while (at < len && (slash = memchr(text + at, '\\', len - at)) != NULL) {
        at = (size_t)(slash - text);
        int unit = unit_at(text, at, len);
        bool high = unit >= 0xD800 && unit < 0xDC00, low = unit >= 0xDC00 && unit < 0xE000;
        int next = high ? unit_at(text, at + 6, len) : -1;
        bool pair = next >= 0xDC00 && next < 0xE000;
        *ret_next = at + (unit < 0 ? 2 : pair ? 12 : 6);
        if (low || (high && !pair)) return at;
        at = *ret_next;
    }
    return len;
}

static err_code parse_body(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e) {
    err_code code = parse(text, len, YYJSON_READ_BIGNUM_AS_RAW | YYJSON_READ_ALLOW_BOM, ret_doc, e);
    if (code != ERR_FORMAT && code != ERR_LIMIT) return code;
    if (e != NULL) e->code = ERR_JSON;
    return ERR_JSON;
}

err_code json_parse_body(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e) {
    size_t next = 0, at = next_half(text, 0, len, &next);
    if (at == len) return parse_body(text, len, ret_doc, e);
    char *mended = mem_alloc(len);
    memcpy(mended, text, len);
    for (; at < len; at = next_half(text, next, len, &next)) memcpy(mended + at, "\\ufffd", 6);
    err_code code = parse_body(mended, len, ret_doc, e);
    free(mended);
    return code;
}

/* Describes a value for "got ...": short, and cut where it is long. */
static const char *describe(yyjson_val *val, char *text, size_t size) {
    if (yyjson_is_str(val)) {
        size_t len = yyjson_get_len(val);
        size_t shown = len > 40 ? 40 : len;
        shown -= str_utf8_incomplete(yyjson_get_str(val), shown);
        snprintf(text, size, "\"%.*s%s\"", (int)shown, yyjson_get_str(val), len > shown ? "..." : "");
    } else if (yyjson_is_sint(val)) snprintf(text, size, "%" PRId64, yyjson_get_sint(val));
    else if (yyjson_is_uint(val)) snprintf(text, size, "%" PRIu64, yyjson_get_uint(val));
    else if (yyjson_is_real(val)) snprintf(text, size, "%g", yyjson_get_real(val));
    else if (yyjson_is_raw(val)) snprintf(text, size, "%.*s", (int)size - 1, yyjson_get_raw(val));
    else if (yyjson_is_bool(val)) snprintf(text, size, "%s", yyjson_get_bool(val) ? "true" : "false");
    else if (yyjson_is_arr(val)) snprintf(text, size, "an array");
    else snprintf(text, size, "an object");
    return text;
}

/* The field, or NULL when it is missing, null, or obj isn't an object. */
static yyjson_val *field(yyjson_val *obj, const char *key) {
    yyjson_val *val = yyjson_obj_get(obj, key);
    return yyjson_is_null(val) ? NULL : val;
}

err_code json_get_bool(yyjson_val *obj, const char *key, bool *ret, struct err *e) {
    yyjson_val *val = field(obj, key);
    char got[64];
    if (!val) return ERR_OK;
    if (!yyjson_is_bool(val)) return err_set_field(e, ERR_INVALID, key, "expected true or false, got %s", describe(val, got, sizeof(got)));
    *ret = yyjson_get_bool(val);
    return ERR_OK;
}

/* A whole number that fits int64_t: 3 and also 3.0, as some clients write it. */
static bool whole_number(yyjson_val *val, int64_t *ret) {
    if (yyjson_is_sint(val)) {
        *ret = yyjson_get_sint(val);
        return true;
    }
    if (yyjson_is_uint(val)) {
        uint64_t u = yyjson_get_uint(val);
        if (u > INT64_MAX) return false;
        *ret = (int64_t)u;
        return true;
    }
    if (!yyjson_is_real(val)) return false;
    double d = yyjson_get_real(val);
    if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) || d != floor(d)) return false;
    *ret = (int64_t)d;
    return true;
}

err_code json_get_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e) {
    yyjson_val *val = field(obj, key);
    char got[64];
    int64_t number;
    if (!val) return ERR_OK;
    if (!whole_number(val, &number) || number < min || number > max) {
        if (min == INT64_MIN && max == INT64_MAX)
            return err_set_field(e, ERR_INVALID, key, "expected a whole number, got %s", describe(val, got, sizeof(got)));
        if (max == INT64_MAX)
            return err_set_field(e, ERR_INVALID, key, "expected a whole number of at least %" PRId64 ", got %s", min,
                                 describe(val, got, sizeof(got)));
        return err_set_field(e, ERR_INVALID, key, "expected a whole number from %" PRId64 " to %" PRId64 ", got %s", min, max,
                             describe(val, got, sizeof(got)));
    }
    *ret = number;
    return ERR_OK;
}

err_code json_get_double(yyjson_val *obj, const char *key, double min, double max, double *ret, struct err *e) {
    yyjson_val *val = field(obj, key);
    char got[64];
    if (!val) return ERR_OK;
    double number = yyjson_is_num(val) ? yyjson_get_num(val) : NAN;
    if (!(number >= min && number <= max))
        return err_set_field(e, ERR_INVALID, key, "expected a number from %g to %g, got %s", min, max, describe(val, got, sizeof(got)));
    *ret = number;
    return ERR_OK;
}

err_code json_get_str(yyjson_val *obj, const char *key, const char **ret, struct err *e) {
    yyjson_val *val = field(obj, key);
    char got[64];
    if (!val) return ERR_OK;
    if (!yyjson_is_str(val)) return err_set_field(e, ERR_INVALID, key, "expected a string, got %s", describe(val, got, sizeof(got)));
    *ret = yyjson_get_str(val);
    return ERR_OK;
}

err_code json_get_u32(yyjson_val *obj, const char *key, uint32_t max, uint32_t *ret, struct err *e) {
    int64_t v = *ret;
    err_code code = json_get_i64(obj, key, 0, max, &v, e);
    if (code == ERR_OK) *ret = (uint32_t)v;
    return code;
}

err_code json_get_u64(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e) {
    yyjson_val *val = field(obj, key);
    char got[64];
    if (!val) return ERR_OK;
    if (!yyjson_is_uint(val))
        return err_set_field(e, ERR_INVALID, key, "expected a whole number of at least 0, got %s", describe(val, got, sizeof(got)));
    *ret = yyjson_get_uint(val);
    return ERR_OK;
}

err_code json_get_text(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, key, &text, e);
    if (code || !text) return code;
    size_t len = yyjson_get_len(field(obj, key));
    if (len >= size) return err_set_field(e, ERR_LIMIT, key, "%zu bytes, the limit is %zu", len, size - 1);
    if (strlen(text) != len) return err_set_field(e, ERR_INVALID, key, "a NUL in it");
    memcpy(ret, text, len + 1);
    return ERR_OK;
}

err_code json_get_line(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e) {
    yyjson_val *val = field(obj, key);
    const char *text = yyjson_get_str(val);
    for (size_t i = 0; i < yyjson_get_len(val) && text; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) return err_set_field(e, ERR_INVALID, key, "a control character in it");
    return json_get_text(obj, key, ret, size, e);
}

err_code json_get_path(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, key, &text, e);
    if (code || !text) return code;
    size_t n = 0;
    if (strlen(text) != yyjson_get_len(field(obj, key))) return err_set_field(e, ERR_INVALID, key, "a NUL in it");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++, n++) {
        if (*p > 0xC3) return err_set_field(e, ERR_INVALID, key, "a character that stands for no byte");
        if (n + 1 >= size) return err_set_field(e, ERR_LIMIT, key, "more than %zu bytes", size - 1);
        unsigned char byte = *p;
        if (byte >= 0x80) byte = (unsigned char)(byte << 6 | (*++p & 0x3F)); /* two bytes: the parser has checked the UTF-8 */
        ret[n] = (char)byte;
    }
    ret[n] = '\0';
    return ERR_OK;
}

err_code json_get_id(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, key, &text, e);
    if (code || !text) return code;
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return err_set_field(e, ERR_INVALID, key, "expected 16 hexadecimal digits");
    *ret = strtoull(text, NULL, 16);
    return ERR_OK;
}

err_code json_need(yyjson_val *obj, const char *key, struct err *e) {
    return field(obj, key) ? ERR_OK : err_set_field(e, ERR_INVALID, key, "it is missing");
}

err_code json_need_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e) {
    err_code code = json_need(obj, key, e);
    return code ? code : json_get_i64(obj, key, min, max, ret, e);
}

err_code json_need_id(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e) {
    err_code code = json_need(obj, key, e);
    return code ? code : json_get_id(obj, key, ret, e);
}

err_code json_need_str(yyjson_val *obj, const char *key, const char **ret, struct err *e) {
    err_code code = json_need(obj, key, e);
    return code ? code : json_get_str(obj, key, ret, e);
}

yyjson_mut_val *json_path(yyjson_mut_doc *doc, const char *path) {
    struct buf b;
    buf_init(&b, SIZE_MAX - 1);
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        if (*p >= 0x80) buf_append_byte(&b, (uint8_t)(0xC0 | *p >> 6));
        buf_append_byte(&b, *p >= 0x80 ? (uint8_t)(0x80 | (*p & 0x3F)) : *p);
    }
    yyjson_mut_val *v = yyjson_mut_strcpy(doc, buf_cstr(&b));
    buf_done(&b);
    return v;
}

void json_add_path(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *path) {
    yyjson_mut_obj_add_val(doc, obj, key, json_path(doc, path));
}

void json_add_id(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, uint64_t id) {
    char text[STR_SHORT];
    snprintf(text, sizeof(text), "%016" PRIx64, id);
    yyjson_mut_obj_add_strcpy(doc, obj, key, text);
}

size_t json_size(const char *text) {
    size_t n = 2;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) n += *p < 0x20 ? 6 : *p == '"' || *p == '\\' ? 2 : 1;
    return n;
}

/* Appends text with each invalid byte of UTF-8 replaced. Quotes and backslashes are copied as they are. */
static void append_repaired(struct buf *b, const char *text, size_t len) {
    size_t good = 0; /* valid bytes that are not appended yet */
    while (good < len) {
        bool whole;
        size_t n = str_utf8_next(text + good, len - good, &whole);
        good += whole ? n : 0;
        if (whole) continue;
        if (n == 0) n = len - good;
        buf_append(b, text, good);
        buf_append_byte(b, '?');
        text += good + n;
        len -= good + n;
        good = 0;
    }
    buf_append(b, text, good);
}

void json_write(struct buf *b, const yyjson_mut_doc *doc) {
    size_t len = 0;
    yyjson_write_err why = {0};
    char *text = yyjson_mut_write_opts(doc, YYJSON_WRITE_INF_AND_NAN_AS_NULL, NULL, &len, &why);
    bool wrong = !text && why.code == YYJSON_WRITE_ERROR_INVALID_STRING;
    if (wrong) text = yyjson_mut_write_opts(doc, YYJSON_WRITE_INF_AND_NAN_AS_NULL | YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL, &len, NULL);
    if (wrong && text) append_repaired(b, text, len);
    else if (text) buf_append(b, text, len);
    else b->failed = true;
    free(text);
}
