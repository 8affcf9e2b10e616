/* SPDX-License-Identifier: MIT
 * The text of a shape's rule; literals, and the rules that all grammars share. See schema_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

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

/* A JSON string with this text as a literal, without its first and last `cut` bytes. */
static void write_text(struct buf *out, const char *text, size_t len, size_t cut) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    size_t json_len = 0;
    char *json = yyjson_mut_val_write(yyjson_mut_strn(doc, text, len), YYJSON_WRITE_NOFLAG, &json_len);
    if (json == NULL) out->failed = true;
    else write_literal(out, json + cut, json_len - 2 * cut);
    free(json);
    yyjson_mut_doc_free(doc);
}

void schema_write_name(struct buf *out, const char *text, size_t len) { write_text(out, text, len, 0); }
void schema_write_inside(struct buf *out, const char *text, size_t len) { write_text(out, text, len, 1); }

void schema_write_generic(struct buf *out) {
    buf_append_str(out, "ws ::= ( \" \" | \"\\n\" [ \\t]{0,20} )?\n");
    regex_write_rules(out);
    buf_append_str(out, "string ::= \"\\\"\" char* \"\\\"\"\n"
                        "integer ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,17} )\n"
                        "number ::= integer ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
                        "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
                        "object ::= \"{\" ws ( string \":\" ws value ( \",\" ws string \":\" ws value )* ws )? \"}\"\n"
                        "array ::= \"[\" ws ( value ( \",\" ws value )* ws )? \"]\"\n");
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

static err_code write_scalars(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                              size_t start) {
    if (shape->types & SCHEMA_BOOLEAN) {
        write_bar(out, start);
        buf_append_str(out, "\"true\" | \"false\"");
    }
    if (shape->types & SCHEMA_NULL) {
        write_bar(out, start);
        buf_append_str(out, "\"null\"");
    }
    static err_code (*const kinds[])(struct schema *, const struct schema_set *, const struct schema_shape *, struct buf *,
                                     bool *) = {schema_write_number, schema_write_string};
    err_code code = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && code == ERR_OK; i++) {
        struct buf part;
        bool any = false;
        buf_init(&part, GBNF_MAX_TEXT);
        if (shape->types & (unsigned)(i == 0 ? SCHEMA_NUMBER : SCHEMA_STRING)) code = kinds[i](s, set, shape, &part, &any);
        if (any) {
            write_bar(out, start);
            buf_append(out, part.data, part.len);
        }
        out->failed = out->failed || part.failed;
        buf_done(&part);
    }
    return code;
}

/* An object or array: by its keywords, or any. */
static err_code write_container(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, unsigned type,
                                struct buf *out, size_t start) {
    const char *keyword;
    if (!(shape->types & type)) return ERR_OK;
    if (!schema_shape_speaks_of(set, type, &keyword)) {
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
        if (code == ERR_OK) code = write_scalars(s, set, shape, out, start);
        if (out->len > simple) schema_alternative_end(s, rule);
    }
    *ret_any = out->len > start;
    return code;
}

void schema_write_types(struct schema *s, int rule, const struct schema_shape *shape, struct buf *out, bool *ret_any) {
    static const struct {
        unsigned type;
        const char *text;
    } kinds[] = {{SCHEMA_OBJECT, "object"},  {SCHEMA_ARRAY, "array"},   {SCHEMA_STRING, "string"},
                 {SCHEMA_DECIMAL, "number"}, {SCHEMA_WHOLE, "integer"}, {SCHEMA_BOOLEAN, "\"true\" | \"false\""},
                 {SCHEMA_NULL, "\"null\""}};
    size_t start = out->len;
    unsigned types = shape->listed ? 0 : shape->types;
    for (size_t i = 0; shape->listed && i < shape->n_values; i++) types |= schema_shape_type_of(shape->values[i]);
    if (types & SCHEMA_DECIMAL) types &= ~(unsigned)SCHEMA_WHOLE;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!(types & kinds[i].type)) continue;
        write_bar(out, start);
        buf_append_str(out, kinds[i].text);
        schema_alternative_end(s, rule);
    }
    s->partial = true;
    *ret_any = out->len > start;
}
