/* SPDX-License-Identifier: MIT
 * The text of a shape's rule; strings, literals, and the rules that all grammars share. See schema_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/schema_priv.h"

static void write_literal(struct buf *out, const char *text, size_t len) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\') buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)text[i]);
    }
    buf_append_byte(out, '"');
}

void schema_write_value(struct buf *out, yyjson_val *value) {
    size_t len = 0;
    char *text = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, &len);
    if (text == NULL) out->failed = true;
    else write_literal(out, text, len);
    free(text);
}

void schema_write_name(struct buf *out, const char *text, size_t len) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    size_t json_len = 0;
    char *json = yyjson_mut_val_write(yyjson_mut_strn(doc, text, len), YYJSON_WRITE_NOFLAG, &json_len);
    if (json == NULL) out->failed = true;
    else write_literal(out, json, json_len);
    free(json);
    yyjson_mut_doc_free(doc);
}

void schema_write_generic(struct buf *out) {
    buf_append_str(out, "ws ::= ( \" \" | \"\\n\" [ \\t]{0,20} )?\n"
                        "ctl ::= \"\\\\\" [bfnrt] | \"\\\\u00\" ( \"0\" [0-7bBeEfF] | \"1\" [0-9a-fA-F] )\n"
                        "char ::= [^\\x22\\x5C\\x00-\\x1F] | \"\\\\\\\"\" | \"\\\\\\\\\" | ctl\n"
                        "string ::= \"\\\"\" char* \"\\\"\"\n"
                        "integer ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,17} )\n"
                        "number ::= integer ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
                        "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
                        "object ::= \"{\" ws ( string \":\" ws value ( \",\" ws string \":\" ws value )* ws )? \"}\"\n"
                        "array ::= \"[\" ws ( value ( \",\" ws value )* ws )? \"]\"\n");
}

/* ---- strings ---- */

/* At most n more characters. One repetition may not be too long: then in pieces, of which only one way leads to each length. */
static void write_up_to(struct buf *out, uint64_t n) {
    int open = 0;
    for (; n > SCHEMA_PIECE; n -= SCHEMA_PIECE, open++) buf_printf(out, " (char{0,%d}|char{%d}", SCHEMA_PIECE - 1, SCHEMA_PIECE);
    if (n > 0) buf_printf(out, " char{0,%u}", (unsigned)n);
    while (open-- > 0) buf_append_byte(out, ')');
}

static err_code write_lengths(struct schema *s, yyjson_val *at, uint64_t min, uint64_t max, struct buf *out) {
    if (min > SCHEMA_MAX_LENGTH) return schema_fail(s, ERR_LIMIT, at, "\"minLength\": at most %d", SCHEMA_MAX_LENGTH);
    if (max > SCHEMA_MAX_LENGTH && max != UINT64_MAX) return schema_fail(s, ERR_LIMIT, at, "\"maxLength\": at most %d", SCHEMA_MAX_LENGTH);
    uint64_t left = min;
    for (; left > SCHEMA_PIECE; left -= SCHEMA_PIECE) buf_printf(out, " char{%d}", SCHEMA_PIECE);
    if (left > 0) buf_printf(out, " char{%u}", (unsigned)left);
    if (max == UINT64_MAX) buf_append_str(out, " char*");
    else write_up_to(out, max - min);
    return ERR_OK;
}

static err_code write_string(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any) {
    yyjson_val *at = set->n > 0 ? set->items[0].v : s->root;
    const char *format = shape->format != NULL ? schema_format_regex(yyjson_get_str(shape->format)) : "";
    if (format == NULL)
        return schema_fail(s, ERR_UNSUPPORTED, at, "\"format\": \"%.40s\" cannot be expressed in a grammar", yyjson_get_str(shape->format));
    if (shape->pattern != NULL && *format != '\0')
        return schema_fail(s, ERR_UNSUPPORTED, at, "\"pattern\" beside \"format\" cannot be expressed in a grammar");
    if (shape->min_length > shape->max_length) return ERR_OK;
    *ret_any = true;
    if (shape->pattern == NULL && *format == '\0' && shape->min_length == 0 && shape->max_length == UINT64_MAX) {
        buf_append_str(out, "string");
        return ERR_OK;
    }
    buf_append_str(out, "\"\\\"\"");
    if (shape->pattern == NULL && *format == '\0') {
        err_code code = write_lengths(s, at, shape->min_length, shape->max_length, out);
        buf_append_str(out, " \"\\\"\"");
        return code;
    }
    struct schema_lengths lengths;
    const char *why;
    bool pattern = shape->pattern != NULL;
    buf_append_byte(out, ' ');
    err_code code = pattern ? schema_write_regex(s, yyjson_get_str(shape->pattern), yyjson_get_len(shape->pattern), out, &lengths, &why)
                            : schema_write_regex(s, format, strlen(format), out, &lengths, &why);
    if (code != ERR_OK) return schema_fail(s, code, at, "\"pattern\": %s", why);
    buf_append_str(out, " \"\\\"\"");
    if (lengths.min < shape->min_length || lengths.max > shape->max_length)
        return schema_fail(s, ERR_UNSUPPORTED, at, "\"minLength\" or \"maxLength\" beside \"%s\" cannot be expressed",
                           pattern ? "pattern" : "format");
    return ERR_OK;
}

/* ---- shapes ---- */

static void write_bar(struct buf *out, size_t start) {
    if (out->len > start) buf_append_str(out, " | ");
}

static void write_listed(struct schema *s, int rule, const struct schema_shape *shape, struct buf *out) {
    size_t start = out->len;
    for (size_t i = 0; i < shape->n_values; i++) {
        write_bar(out, start);
        schema_write_value(out, shape->values[i]);
    }
    if (shape->n_values > 0) schema_alternative_end(s, rule);
}

static void write_scalars(const struct schema_shape *shape, struct buf *out, size_t start) {
    if (shape->types & SCHEMA_BOOLEAN) {
        write_bar(out, start);
        buf_append_str(out, "\"true\" | \"false\"");
    }
    if (shape->types & SCHEMA_NULL) {
        write_bar(out, start);
        buf_append_str(out, "\"null\"");
    }
    if (!(shape->types & SCHEMA_NUMBER)) return;
    bool whole = !(shape->types & SCHEMA_DECIMAL);
    struct buf number;
    buf_init(&number, GBNF_MAX_TEXT);
    if (!shape->low.set && !shape->high.set) buf_append_str(&number, whole ? "integer" : "number");
    else schema_write_number(whole, &shape->low, &shape->high, &number);
    if (number.len > 0) {
        write_bar(out, start);
        buf_append(out, number.data, number.len);
    }
    buf_done(&number);
}

/* An object or array: by its keywords, or any. */
static err_code write_container(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, unsigned type,
                                struct buf *out, size_t start) {
    const char *keyword;
    if (!(shape->types & type)) return ERR_OK;
    if (!schema_speaks_of(set, type, &keyword)) {
        write_bar(out, start);
        buf_append_str(out, type == SCHEMA_OBJECT ? "object" : "array");
        schema_alternative_end(s, rule);
        return ERR_OK;
    }
    struct buf part;
    bool any = false;
    size_t needs = s->rules[rule].n_needs;
    buf_init(&part, GBNF_MAX_TEXT);
    err_code code = (type == SCHEMA_OBJECT ? schema_write_object : schema_write_array)(s, rule, set, shape, &part, &any);
    if (any) {
        write_bar(out, start);
        buf_append(out, part.data, part.len);
        schema_alternative_end(s, rule);
    } else {
        s->rules[rule].n_needs = needs;
    }
    out->failed = out->failed || part.failed;
    buf_done(&part);
    return code;
}

err_code schema_write_shape(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                            bool *ret_any) {
    size_t start = out->len;
    err_code code = ERR_OK;
    if (shape->listed) {
        write_listed(s, rule, shape, out);
    } else {
        code = write_container(s, rule, set, shape, SCHEMA_OBJECT, out, start);
        if (code == ERR_OK) code = write_container(s, rule, set, shape, SCHEMA_ARRAY, out, start);
        size_t simple = out->len;
        write_scalars(shape, out, start);
        if (code == ERR_OK && (shape->types & SCHEMA_STRING)) {
            struct buf part;
            bool any = false;
            buf_init(&part, GBNF_MAX_TEXT);
            code = write_string(s, set, shape, &part, &any);
            if (any) {
                write_bar(out, start);
                buf_append(out, part.data, part.len);
            }
            out->failed = out->failed || part.failed;
            buf_done(&part);
        }
        if (out->len > simple) schema_alternative_end(s, rule);
    }
    *ret_any = out->len > start;
    return code;
}
