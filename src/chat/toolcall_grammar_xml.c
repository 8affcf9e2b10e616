/* SPDX-License-Identifier: MIT
 * Grammar of arguments that are written as elements. Text stands as it is, anything else as JSON. */
#include <stdio.h>
#include <string.h>

#include "chat/toolcall_grammar_priv.h"

static bool is_required(yyjson_val *schema, yyjson_val *key) {
    yyjson_val *v;
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(schema, "required"), i, n, v) {
        if (yyjson_is_str(v) && yyjson_equals_strn(key, yyjson_get_str(v), yyjson_get_len(v))) return true;
    }
    return false;
}

static bool is_plain(const char *text) { return strpbrk(text, "<>\n") == NULL; }

/* An enum of words: "a" | "b". False: it is not one. */
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
        gbnf_literal(out, yyjson_get_str(v));
    }
    buf_append_str(out, ") ");
    return true;
}

/* The value and what closes it. */
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
    gbnf_literal(out, f->value_close);
}

static void append_element(struct buf *out, const struct toolcall_format *f, yyjson_val *key, yyjson_val *schema, const char *name,
                           uint64_t *budget) {
    char prefix[48];
    struct err e = {0};
    snprintf(prefix, sizeof(prefix), "%s-", name);
    yyjson_val *type = yyjson_obj_get(schema, "type");
    bool text = type == NULL || !yyjson_is_str(type) || yyjson_equals_str(type, "string");
    bool json = !text && gbnf_schema(out, schema, prefix, budget, NULL, &e) == ERR_OK; /* what no grammar can express is text */
    buf_printf(out, "%s ::= ws ", name);
    gbnf_literal(out, f->key_open);
    gbnf_literal(out, yyjson_get_str(key));
    gbnf_literal(out, f->key_close);
    if (f->value_open != NULL) {
        buf_append_str(out, "ws ");
        gbnf_literal(out, f->value_open);
    }
    append_value(out, f, schema, prefix, json);
    buf_append_byte(out, '\n');
}

static void append_any(struct buf *out, const struct toolcall_format *f, size_t i) {
    buf_printf(out, "args-%zu ::= (ws ", i);
    gbnf_literal(out, f->key_open);
    buf_append_str(out, "[a-zA-Z0-9_-]{1,64} ");
    gbnf_literal(out, f->key_close);
    if (f->value_open != NULL) {
        buf_append_str(out, "ws ");
        gbnf_literal(out, f->value_open);
    }
    buf_append_str(out, "value)*\n");
}

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
    yyjson_obj_foreach(properties, k, n, key, v) {
        if (!is_plain(yyjson_get_str(key)) || yyjson_get_len(key) == 0) continue; /* it could not be read back */
        snprintf(name, sizeof(name), "args-%zu-%zu", i, k);
        append_element(out, f, key, v, name, budget);
        buf_printf(&list, " %s%s", name, is_required(schema, key) ? "" : "?");
    }
    buf_printf(out, "args-%zu ::= \"\"%s\n", i, buf_cstr(&list));
    buf_done(&list);
}
