/* SPDX-License-Identifier: MIT
 * Grammar of arguments that are written as elements. A text is written as it is, any other value as JSON. */
#include <stdio.h>
#include <string.h>

#include "chat/toolcall_grammar_priv.h"

static bool is_plain(const char *text) { return strpbrk(text, "<>\n") == NULL; }

/* Appends a list of words: "a" | "b". False: the list has other values. */
static bool append_words(struct buf *out, yyjson_val *list) {
    yyjson_val *v;
    size_t i, n;
    if (yyjson_arr_size(list) == 0) return false;
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_str(v) || !is_plain(yyjson_get_str(v))) return false;
    }
    buf_append_byte(out, '(');
    yyjson_arr_foreach(list, i, n, v) {
        if (i > 0) buf_append_str(out, "| ");
        toolcall_grammar_literal(out, yyjson_get_str(v));
    }
    buf_append_str(out, ") ");
    return true;
}

/* Appends the value and its closing mark. */
static void append_value(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, const char *prefix, bool json) {
    const char *line = f->value_lines ? "\"\\n\"? " : "";
    buf_append_str(out, line);
    if (json) {
        buf_printf(out, "%sroot %s", prefix, line);
    } else if (append_words(out, yyjson_obj_get(schema, "enum"))) {
        buf_append_str(out, line);
    } else {
        buf_append_str(out, "value ");
        return;
    }
    toolcall_grammar_literal(out, f->value_close);
}

/* Appends the attribute that says the value's type. */
static void append_type(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, bool json) {
    const char *type = yyjson_get_str(yyjson_obj_get(schema, "type")), *word = json ? "false" : "true";
    if (f->type_open == NULL) return;
    if (f->type_words) word = !json || type == NULL ? "string" : strcmp(type, "integer") == 0 ? "number" : type;
    toolcall_grammar_literal(out, f->type_open);
    toolcall_grammar_literal(out, word);
    toolcall_grammar_literal(out, f->type_end);
}

/* An argument's name, as the model writes it. */
static void append_key(struct buf *out, const struct toolcall_format *f, yyjson_val *key) {
    struct buf text;
    buf_init(&text, 1 << 16);
    for (const char *p = yyjson_get_str(key); *p != '\0'; p++)
        if (f->attributes && *p == '"') buf_append_str(&text, "&quot;");
        else if (f->attributes && *p == '&') buf_append_str(&text, "&amp;");
        else buf_append_byte(&text, (uint8_t)*p);
    toolcall_grammar_literal(out, buf_cstr(&text));
    buf_done(&text);
}

/* Rule NAME: an element of which the key is known. */
static void append_element(struct buf *out, const struct toolcall_format *f, yyjson_val *key, yyjson_val *schema, const char *name,
                           uint64_t *budget) {
    char prefix[48];
    struct err e = {0};
    snprintf(prefix, sizeof(prefix), "%s-", name);
    yyjson_val *type = yyjson_obj_get(schema, "type");
    bool text = type == NULL || !yyjson_is_str(type) || yyjson_equals_str(type, "string");
    bool json = !text && toolcall_grammar_schema(out, schema, prefix, budget, NULL, &e) ==
                             ERR_OK; /* a schema that no grammar can express allows any text */
    buf_printf(out, "%s ::= ws ", name);
    toolcall_grammar_literal(out, f->key_open);
    append_key(out, f, key);
    toolcall_grammar_literal(out, f->key_close);
    append_type(out, f, schema, json);
    if (f->value_open != NULL) {
        buf_append_str(out, "ws ");
        toolcall_grammar_literal(out, f->value_open);
    }
    append_value(out, f, schema, prefix, json);
    buf_append_byte(out, '\n');
}

static void append_any(struct buf *out, const struct toolcall_format *f, size_t i) {
    buf_printf(out, "args-%zu ::= (ws ", i);
    toolcall_grammar_literal(out, f->key_open);
    buf_append_str(out, "[a-zA-Z0-9_-]{1,64} ");
    toolcall_grammar_literal(out, f->key_close);
    append_type(out, f, NULL, false);
    if (f->value_open != NULL) {
        buf_append_str(out, "ws ");
        toolcall_grammar_literal(out, f->value_open);
    }
    buf_append_str(out, f->nested ? "value [a-zA-Z0-9_-]{1,64} \">\")*\n" : "value)*\n");
}

/* ---- elements within elements ---- */

enum { MAX_DEPTH = 8 };

static void append_tag(struct buf *out, const char *open, const char *key, const struct toolcall_format *f) {
    toolcall_grammar_literal(out, open);
    toolcall_grammar_literal(out, key);
    toolcall_grammar_literal(out, f->key_close);
}

static bool is_type(yyjson_val *schema, const char *type) { return yyjson_equals_str(yyjson_obj_get(schema, "type"), type); }

/* Rule NAME: an element with the key, and the elements in it. Arrays and objects without a schema of their content hold text. */
static void append_nested(struct buf *out, const struct toolcall_format *f, const char *key, yyjson_val *schema, const char *name,
                          uint64_t *budget, unsigned depth) {
    char inner[128];
    struct err e = {0};
    yyjson_val *items = yyjson_obj_get(schema, "items"), *properties = yyjson_obj_get(schema, "properties"), *k, *v;
    bool array = depth < MAX_DEPTH && is_type(schema, "array") && yyjson_is_obj(items);
    bool object = depth < MAX_DEPTH && is_type(schema, "object") && yyjson_obj_size(properties) > 0, words = false;
    bool leaf = is_type(schema, "integer") || is_type(schema, "number") || is_type(schema, "boolean") || is_type(schema, "null");
    size_t i, n;
    snprintf(inner, sizeof(inner), "%s-", name);
    leaf = leaf && toolcall_grammar_schema(out, schema, inner, budget, NULL, &e) == ERR_OK;
    snprintf(inner, sizeof(inner), "%s-i", name);
    if (array) append_nested(out, f, "item", items, inner, budget, depth + 1);
    if (object) yyjson_obj_foreach(json_some(properties), i, n, k, v) {
            snprintf(inner, sizeof(inner), "%s-%zu", name, i);
            append_nested(out, f, yyjson_get_str(k), v, inner, budget, depth + 1);
        }
    buf_printf(out, "%s ::= ws ", name);
    append_tag(out, f->key_open, key, f);
    if (array) {
        buf_printf(out, "%s-i* ws ", name);
    } else if (object) {
        yyjson_obj_foreach(json_some(properties), i, n, k, v)
            buf_printf(out, "%s-%zu%s ", name, i, toolcall_grammar_is_required(schema, k) ? "" : "?");
        buf_append_str(out, "ws ");
    } else if (leaf) {
        buf_printf(out, "%s-root ", name);
    } else {
        words = append_words(out, yyjson_obj_get(schema, "enum"));
    }
    if (array || object || leaf || words) {
        append_tag(out, f->value_close, key, f);
    } else {
        buf_append_str(out, "value ");
        append_tag(out, "", key, f);
    }
    buf_append_byte(out, '\n');
}

/* ---- all ---- */

void toolcall_grammar_elements(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget) {
    yyjson_val *properties = yyjson_obj_get(schema, "properties"), *key, *v;
    size_t k, n;
    char name[32];
    if (!yyjson_is_obj(properties)) {
        append_any(out, f, i);
        return;
    }
    struct buf list;
    buf_init(&list, 1 << 16);
    yyjson_obj_foreach(json_some(properties), k, n, key, v) {
        if (!is_plain(yyjson_get_str(key)) || yyjson_get_len(key) == 0) continue; /* the parser could not read it */
        snprintf(name, sizeof(name), "args-%zu-%zu", i, k);
        if (f->nested) append_nested(out, f, yyjson_get_str(key), v, name, budget, 0);
        else append_element(out, f, key, v, name, budget);
        buf_printf(&list, " %s%s", name, toolcall_grammar_is_required(schema, key) ? "" : "?");
    }
    buf_printf(out, "args-%zu ::= \"\"%s\n", i, buf_cstr(&list));
    buf_done(&list);
}
