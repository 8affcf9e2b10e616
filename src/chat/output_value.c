/* SPDX-License-Identifier: MIT
 * Gives values whose type the text doesn't tell: the tool's schema decides whether 5 is a number or a string. */
#include <string.h>

#include "base/json.h"
#include "chat/output_step_priv.h"
#include "chat/text.h"

void output_put_str(struct output *o, const char *s) { output_put_arguments(o, s, strlen(s)); }

void output_put_escaped(struct output *o, const char *p, size_t n) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    text_append_escaped(&text, p, n);
    output_put_arguments(o, (const char *)text.data, text.len);
    buf_done(&text);
}

/* ---- the schema ---- */

static unsigned type_named(yyjson_val *v) {
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"string", TYPE_STRING},   {"number", TYPE_NUMBER | TYPE_INTEGER},
                 {"integer", TYPE_INTEGER}, {"boolean", TYPE_BOOLEAN},
                 {"null", TYPE_NULL},       {"object", TYPE_OBJECT},
                 {"array", TYPE_ARRAY}};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (yyjson_equals_str(v, types[i].name)) return types[i].type;
    return TYPE_ANY;
}

static unsigned type_of_value(yyjson_val *v) {
    if (yyjson_is_str(v)) return TYPE_STRING;
    if (yyjson_is_int(v)) return TYPE_INTEGER;
    if (yyjson_is_num(v)) return TYPE_NUMBER;
    if (yyjson_is_bool(v)) return TYPE_BOOLEAN;
    if (yyjson_is_obj(v)) return TYPE_OBJECT;
    return yyjson_is_arr(v) ? TYPE_ARRAY : TYPE_NULL;
}

unsigned output_value_types(yyjson_val *schema) {
    yyjson_val *type = yyjson_obj_get(schema, "type"), *v;
    unsigned types = 0;
    size_t i, n;
    if (yyjson_is_str(type)) return type_named(type);
    if (yyjson_is_arr(type)) yyjson_arr_foreach(type, i, n, v) types |= type_named(v);
    else yyjson_arr_foreach(json_some(yyjson_obj_get(schema, "enum")), i, n, v) types |= type_of_value(v);
    return types != 0 ? types : TYPE_ANY;
}

static const char *parameters_of(const struct output *o) {
    for (size_t i = 0; i < o->o.n_tools; i++)
        if (strcmp(o->o.tools[i].name, o->name) == 0) return o->o.tools[i].parameters;
    return NULL;
}

void output_value_schema(struct output *o) {
    const char *schema = parameters_of(o);
    struct err e = {0};
    yyjson_doc_free(o->schema);
    o->schema = NULL;
    if (schema != NULL) json_parse(schema, strlen(schema), &o->schema, &e); /* stays NULL if it is no JSON: then any type is allowed */
}

/* ---- a whole value ---- */

/* The JSON for True, False and None, if the schema allows the value. NULL: the text is none of these words. */
static const char *python_word(const char *p, size_t n, unsigned types) {
    static const struct {
        const char *word, *json;
        unsigned type;
    } words[] = {{"True", "true", TYPE_BOOLEAN}, {"False", "false", TYPE_BOOLEAN}, {"None", "null", TYPE_NULL}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if ((types & words[i].type) != 0 && types != TYPE_ANY && strlen(words[i].word) == n && memcmp(p, words[i].word, n) == 0)
            return words[i].json;
    return NULL;
}

void output_value_held(struct output *o) {
    const char *p = o->held.len > 0 ? (const char *)o->held.data : "";
    const char *word = python_word(p, o->held.len, o->types);
    yyjson_doc *doc = NULL;
    struct err e = {0};
    size_t blanks = 0;
    while (blanks < o->held.len && output_blank(p[blanks])) blanks++;
    bool none = blanks == o->held.len && (o->types & TYPE_STRING) == 0;
    bool json = o->held.len > 0 && json_parse(p, o->held.len, &doc, &e) == ERR_OK;
    unsigned type = json ? type_of_value(yyjson_doc_get_root(doc)) : TYPE_STRING;
    yyjson_doc_free(doc);
    if (word != NULL) {
        output_put_str(o, word);
    } else if (none) {
        output_put_str(o, (o->types & TYPE_OBJECT) != 0 ? "{}" : (o->types & TYPE_ARRAY) != 0 ? "[]" : "null");
    } else if (json && ((o->types & TYPE_STRING) == 0 || (type != TYPE_STRING && (type & o->types) != 0))) {
        output_put_arguments(o, p, o->held.len);
    } else {
        output_put_str(o, "\"");
        output_put_escaped(o, p, o->held.len);
        output_put_str(o, "\"");
    }
    buf_clear(&o->held);
}
