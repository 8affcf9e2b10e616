/* SPDX-License-Identifier: MIT
 * JSON by yyjson, with bounds: depth and size are checked before the document is used, and typed getters give errors
 * that name the field ("field \"temperature\": expected a number from 0 to 2, got \"hot\""). Callers may use yyjson's own
 * iteration on the values (json.h includes yyjson.h). Strings may hold NUL bytes: use yyjson_get_len. Any thread. */
#ifndef CARAVAN_BASE_JSON_H
#define CARAVAN_BASE_JSON_H

#include <yyjson.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_MAX_DEPTH 64

/* Parses len bytes. *ret_doc is owned by the caller (yyjson_doc_free). Of members of one name in an object the last one counts, in every
 * text. ERR_FORMAT names line/offset and cause; ERR_LIMIT the depth. */
err_code json_parse(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e);
/* As json_parse, but numbers that 64 bits or a double would change are kept as text (yyjson_is_raw) and written unchanged. */
err_code json_parse_exact(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e);
/* As json_parse, for bodies of requests as programs write them: a byte order mark is skipped, and half a surrogate pair ("\\ud83d", an
 * emoji that was cut) becomes U+FFFD. ERR_JSON: it is malformed, or nested too deep. */
err_code json_parse_body(const char *text, size_t len, yyjson_doc **ret_doc, struct err *e);

/* The document of a text; NULL: it is not JSON, or is nested too deep. */
yyjson_doc *json_read(const char *text, size_t len);
/* A new document whose root is an empty object; owned by the caller (yyjson_mut_doc_free). */
yyjson_mut_doc *json_new(void);

/* v, or an empty value instead of NULL: for yyjson_arr_foreach and yyjson_obj_foreach, which use the pointer before they check it. */
static inline yyjson_val *json_some(yyjson_val *v) {
    static yyjson_val none;
    return v != NULL ? v : &none;
}

/* Typed fields of an object. A missing (or null) field leaves *ret untouched and returns ERR_OK; a wrong type or range is
 * ERR_INVALID naming the field. json_need_* are the same but a missing field is ERR_INVALID. Strings point into the document. */
err_code json_get_bool(yyjson_val *obj, const char *key, bool *ret, struct err *e);
err_code json_get_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e);
err_code json_get_double(yyjson_val *obj, const char *key, double min, double max, double *ret, struct err *e);
err_code json_get_str(yyjson_val *obj, const char *key, const char **ret, struct err *e);
err_code json_get_u32(yyjson_val *obj, const char *key, uint32_t max, uint32_t *ret, struct err *e);
err_code json_get_u64(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e); /* full 64 bits; 3.0 is refused */
/* An id: 16 hexadecimal digits in a string, since many readers of JSON make a double of a number. */
err_code json_get_id(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e);
/* Copies into the caller's array; ERR_LIMIT: it doesn't fit. _line: also refuses control characters, so the text is fit for a log line. */
err_code json_get_text(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e);
err_code json_get_line(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e);
/* A file's path, which may be any bytes: each byte is written as the character of that number, U+0001 to U+00FF. */
err_code json_get_path(yyjson_val *obj, const char *key, char *ret, size_t size, struct err *e);
err_code json_need(yyjson_val *obj, const char *key, struct err *e); /* only checks that the field is there */
err_code json_need_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e);
err_code json_need_id(yyjson_val *obj, const char *key, uint64_t *ret, struct err *e);
err_code json_need_str(yyjson_val *obj, const char *key, const char **ret, struct err *e);

yyjson_mut_val *json_path(yyjson_mut_doc *doc, const char *path);
void json_add_path(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const char *path);
void json_add_id(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, uint64_t id);
/* Bytes that json_write needs at most for this string, quotes included. */
size_t json_size(const char *text);
/* Serialises to the end of b (compact). The result is valid JSON whatever the strings and numbers are: an invalid byte of UTF-8 becomes
 * '?' (so no string gets longer than its reader allows), and a NaN or infinity becomes null. b fails only without memory or room. */
void json_write(struct buf *b, const yyjson_mut_doc *doc);

#endif
