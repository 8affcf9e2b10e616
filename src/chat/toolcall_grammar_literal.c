/* SPDX-License-Identifier: MIT
 * Grammar of arguments that are written as literals. With Python's quotes, a value is written as JSON: all of JSON but true, false and null
 * are literals of Python, too, and the parser reads these. With the family's own quotes, strings and objects have their own form. */
#include <stdio.h>
#include <string.h>

#include "chat/toolcall_grammar_priv.h"

enum { MAX_DEPTH = 8, MAX_RULE = 96 };

struct maker {
    struct buf *out;
    const struct toolcall_format *format;
    uint64_t *budget;
    bool *partial; /* may be NULL */
};

static void note_partial(const struct maker *m) {
    if (m->partial != NULL) *m->partial = true;
}

void toolcall_grammar_literal_rules(struct buf *out, const struct toolcall_format *f) {
    uint64_t budget = UINT64_MAX;
    struct err ignored = {0};
    yyjson_doc *any = json_read("{}", 2);
    if (f->quote == NULL) {
        toolcall_grammar_schema(out, yyjson_doc_get_root(any), "literal-", &budget, NULL, &ignored);
        buf_append_str(out, "literal ::= literal-root\n");
    } else {
        toolcall_grammar_until(out, "quoted", f->quote);
        buf_append_str(out, "string ::= ");
        toolcall_grammar_literal(out, f->quote);
        buf_append_str(out, "quoted\n"
                            "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,15})?\n"
                            "key ::= [a-zA-Z0-9_-]{1,64}\n"
                            "array ::= \"[\" (literal (\",\" literal)*)? \"]\"\n"
                            "object ::= \"{\" (key \":\" literal (\",\" key \":\" literal)*)? \"}\"\n"
                            "literal ::= string | number | \"true\" | \"false\" | \"null\" | array | object\n");
    }
    yyjson_doc_free(any);
}

static bool is_plain_key(const char *key) {
    return *key != '\0' && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$.") == strlen(key);
}

static void append_value(const struct maker *m, yyjson_val *schema, const char *name, unsigned depth);

/* Rules NAME, NAME-s0.. and NAME-r0..: the properties in the schema's order; those that are not required may be left out. s: no property
 * has been written yet; r: at least one has. */
static void append_properties(const struct maker *m, yyjson_val *schema, const char *name, const char *assign, const char *end,
                              unsigned depth) {
    yyjson_val *key, *v;
    size_t i, max, n = 0;
    char value[MAX_RULE + 24];
    yyjson_obj_foreach(json_some(yyjson_obj_get(schema, "properties")), i, max, key, v) {
        bool required = toolcall_grammar_is_required(schema, key);
        if (!is_plain_key(yyjson_get_str(key))) { /* the parser could not read it */
            note_partial(m);
            continue;
        }
        snprintf(value, sizeof(value), "%s-%zu", name, n);
        append_value(m, v, value, depth + 1);
        for (int some = 0; some < 2; some++) {
            buf_printf(m->out, "%s-%c%zu ::= ", name, some ? 'r' : 's', n);
            if (some) buf_append_str(m->out, m->format->quote != NULL ? "\",\" " : "\", \" ");
            toolcall_grammar_literal(m->out, yyjson_get_str(key));
            buf_printf(m->out, "\"%s\" %s %s-r%zu", assign, value, name, n + 1);
            if (!required) buf_printf(m->out, " | %s-%c%zu", name, some ? 'r' : 's', n + 1);
            buf_append_byte(m->out, '\n');
        }
        n++;
    }
    buf_printf(m->out, "%s-s%zu ::= \"%s\"\n%s-r%zu ::= \"%s\"\n%s ::= %s-s0\n", name, n, end, name, n, end, name, name);
}

static bool is_type(yyjson_val *schema, const char *type) { return yyjson_equals_str(yyjson_obj_get(schema, "type"), type); }

static void append_json(const struct maker *m, yyjson_val *schema, const char *name) {
    char prefix[MAX_RULE + 32];
    struct err e = {0};
    snprintf(prefix, sizeof(prefix), "%s-", name);
    if (toolcall_grammar_schema(m->out, schema, prefix, m->budget, m->partial, &e) == ERR_OK) {
        buf_printf(m->out, "%s ::= %sroot\n", name, prefix);
        return;
    }
    note_partial(m);
    buf_printf(m->out, "%s ::= literal\n", name);
}

/* False: the schema is no list of words. */
static bool append_words(const struct maker *m, yyjson_val *list, const char *name) {
    yyjson_val *v;
    size_t i, n;
    if (yyjson_arr_size(list) == 0) return false;
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_str(v) || strstr(yyjson_get_str(v), m->format->quote) != NULL) return false;
    }
    buf_printf(m->out, "%s ::= ", name);
    yyjson_arr_foreach(list, i, n, v) {
        if (i > 0) buf_append_str(m->out, "| ");
        toolcall_grammar_literal(m->out, m->format->quote);
        toolcall_grammar_literal(m->out, yyjson_get_str(v));
        toolcall_grammar_literal(m->out, m->format->quote);
    }
    buf_append_byte(m->out, '\n');
    return true;
}

/* Rule NAME: a value that fits the schema. */
static void append_value(const struct maker *m, yyjson_val *schema, const char *name, unsigned depth) {
    bool number = is_type(schema, "integer") || is_type(schema, "number") || is_type(schema, "boolean") || is_type(schema, "null");
    if (m->format->quote == NULL || number) {
        append_json(m, schema, name);
    } else if (append_words(m, yyjson_obj_get(schema, "enum"), name)) {
        return;
    } else if (is_type(schema, "string")) {
        if (yyjson_obj_size(schema) > 1 + (yyjson_obj_get(schema, "description") != NULL)) note_partial(m);
        buf_printf(m->out, "%s ::= string\n", name);
    } else if (depth < MAX_DEPTH && is_type(schema, "array") && yyjson_is_obj(yyjson_obj_get(schema, "items"))) {
        char item[MAX_RULE];
        note_partial(m);
        snprintf(item, sizeof(item), "%s-i", name);
        append_value(m, yyjson_obj_get(schema, "items"), item, depth + 1);
        buf_printf(m->out, "%s ::= \"[\" (%s (\",\" %s)*)? \"]\"\n", name, item, item);
    } else if (depth < MAX_DEPTH && is_type(schema, "object") && yyjson_obj_size(yyjson_obj_get(schema, "properties")) > 0) {
        char inner[MAX_RULE];
        snprintf(inner, sizeof(inner), "%s-o", name);
        append_properties(m, schema, inner, ":", "}", depth);
        buf_printf(m->out, "%s ::= \"{\" %s\n", name, inner);
    } else {
        note_partial(m);
        buf_printf(m->out, "%s ::= %s\n", name, is_type(schema, "array") ? "array" : is_type(schema, "object") ? "object" : "literal");
    }
}

void toolcall_grammar_literals(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget,
                               bool *partial) {
    const struct maker m = {out, f, budget, partial};
    char name[MAX_RULE];
    snprintf(name, sizeof(name), "args-%zu", i);
    if (yyjson_is_obj(yyjson_obj_get(schema, "properties"))) {
        append_properties(&m, schema, name, f->assign, f->arguments_end, 0);
        return;
    }
    buf_printf(out, "%s ::= (%s-p (\",\" \" \"? %s-p)*)? \"%s\"\n", name, name, name, f->arguments_end);
    buf_printf(out, "%s-p ::= [a-zA-Z_] [a-zA-Z0-9_]{0,63} \"%s\" literal\n", name, f->assign);
}
