/* SPDX-License-Identifier: MIT
 * Arguments as elements, one for each: <parameter=KEY>VALUE</parameter>. They become one JSON object: a value that the tool's schema wants
 * as a string is given as it comes; any other is held until it is whole, since only then is it known what it is. */
#include <string.h>

#include "base/json.h"
#include "chat/output_priv.h"
#include "chat/text.h"

enum {
    TYPE_STRING = 1,
    TYPE_NUMBER = 2,
    TYPE_INTEGER = 4,
    TYPE_BOOLEAN = 8,
    TYPE_NULL = 16,
    TYPE_OBJECT = 32,
    TYPE_ARRAY = 64,
    TYPE_ANY = 127
};

/* ---- what the schema says ---- */

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

/* Which types a schema allows, by "type", or else by its enum; what it says in other ways is taken as anything. */
static unsigned schema_types(yyjson_val *schema) {
    yyjson_val *type = yyjson_obj_get(schema, "type"), *v;
    unsigned types = 0;
    size_t i, n;
    if (yyjson_is_str(type)) return type_named(type);
    if (yyjson_is_arr(type)) yyjson_arr_foreach(type, i, n, v) types |= type_named(v);
    else yyjson_arr_foreach(yyjson_obj_get(schema, "enum"), i, n, v) types |= type_of_value(v);
    return types != 0 ? types : TYPE_ANY;
}

static const char *parameters_of(const struct output *o) {
    for (size_t i = 0; i < o->o.n_tools; i++)
        if (strcmp(o->o.tools[i].name, o->name) == 0) return o->o.tools[i].parameters;
    return NULL;
}

void output_xml_begin(struct output *o) {
    const char *schema = parameters_of(o);
    struct err e = {0};
    yyjson_doc_free(o->schema);
    o->schema = NULL;
    if (schema != NULL) json_parse(schema, strlen(schema), &o->schema, &e); /* NULL where it is none: then anything goes */
    o->n_elements = 0;
    o->state = OUTPUT_IN_ELEMENTS;
}

/* ---- elements ---- */

static void put_str(struct output *o, const char *s) { output_put_arguments(o, s, strlen(s)); }

static void put_escaped(struct output *o, const char *p, size_t n) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    text_append_escaped(&text, p, n);
    output_put_arguments(o, (const char *)text.data, text.len);
    buf_done(&text);
}

/* A broken call ends where it broke: it is not made whole, since then a client would carry it out. */
static bool give_up(struct output *o) {
    output_give_up(o);
    return true;
}

bool output_step_elements(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    enum output_match open = output_match(o, f->key_open, output_at(o), output_left(o));
    enum output_match close = output_match(o, f->close, output_at(o), output_left(o));
    if (open == MATCH_FULL) {
        output_use(o, strlen(f->key_open));
        o->state = OUTPUT_IN_KEY;
    } else if (close == MATCH_FULL) {
        put_str(o, o->n_elements == 0 ? "{}" : "}");
        output_end_call(o);
        o->state = OUTPUT_IN_END;
    } else if (open == MATCH_PART || close == MATCH_PART) {
        return false;
    } else {
        return give_up(o);
    }
    return true;
}

bool output_step_key(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    size_t safe = 0, end = output_find(o, f->key_close, &safe);
    if (end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_KEY + strlen(f->key_close)) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_KEY) return give_up(o);
    const char *key = output_at(o);
    size_t n = end;
    for (; n > 0 && output_blank(key[n - 1]); n--) {
    }
    for (; n > 0 && output_blank(*key); key++) n--;
    put_str(o, o->n_elements++ == 0 ? "{\"" : ", \"");
    put_escaped(o, key, n);
    put_str(o, "\": ");
    yyjson_val *properties = yyjson_obj_get(yyjson_doc_get_root(o->schema), "properties");
    o->types = schema_types(yyjson_obj_getn(properties, key, n));
    o->value_begun = false;
    buf_clear(&o->held);
    output_use(o, end + strlen(f->key_close));
    o->state = OUTPUT_IN_VALUE;
    return true;
}

/* What stands before the value: blanks and its mark, or with value_lines one line end. */
static bool begin_value(struct output *o, bool *ret_go) {
    const struct toolcall_format *f = o->o.format;
    *ret_go = true;
    if (f->value_open != NULL) {
        output_use_blanks(o);
        enum output_match m = output_match(o, f->value_open, output_at(o), output_left(o));
        *ret_go = m != MATCH_PART;
        if (m == MATCH_NONE) return give_up(o);
        if (m == MATCH_PART) return false;
        output_use(o, strlen(f->value_open));
    } else if (f->value_lines) {
        if (output_left(o) == 0) return *ret_go = false;
        if (*output_at(o) == '\n') output_use(o, 1);
    }
    o->value_begun = true;
    if (o->types == TYPE_STRING) put_str(o, "\"");
    return true;
}

/* Words that models of Python write. */
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

/* The whole value: JSON where the schema wants what it is, else a string. */
static void put_held(struct output *o) {
    const char *p = o->held.len > 0 ? (const char *)o->held.data : "";
    const char *word = python_word(p, o->held.len, o->types);
    yyjson_doc *doc = NULL;
    struct err e = {0};
    bool json = o->held.len > 0 && json_parse(p, o->held.len, &doc, &e) == ERR_OK;
    unsigned type = json ? type_of_value(yyjson_doc_get_root(doc)) : TYPE_STRING;
    yyjson_doc_free(doc);
    if (word != NULL) {
        put_str(o, word);
    } else if (json && ((o->types & TYPE_STRING) == 0 || (type != TYPE_STRING && (type & o->types) != 0))) {
        output_put_arguments(o, p, o->held.len);
    } else {
        put_str(o, "\"");
        put_escaped(o, p, o->held.len);
        put_str(o, "\"");
    }
    buf_clear(&o->held);
}

static void take_text(struct output *o, size_t n) {
    if (o->types == TYPE_STRING) put_escaped(o, output_at(o), n);
    else buf_append(&o->held, output_at(o), n);
    output_use(o, n);
}

/* A line end just before the value's end is not part of it: it waits until it is known what follows. */
static size_t without_line_end(const struct output *o, size_t n) {
    return o->o.format->value_lines && n > 0 && output_at(o)[n - 1] == '\n' ? n - 1 : n;
}

bool output_step_value(struct output *o) {
    bool go;
    if (!o->value_begun && (!begin_value(o, &go) || o->state != OUTPUT_IN_VALUE)) return go;
    const char *close = o->o.format->value_close;
    size_t safe = 0, end = output_find(o, close, &safe);
    size_t n = end == SIZE_MAX && o->last ? safe : without_line_end(o, end != SIZE_MAX ? end : safe);
    if (o->types != TYPE_STRING && o->held.len + n > OUTPUT_MAX_HELD) {
        take_text(o, OUTPUT_MAX_HELD - o->held.len);
        return give_up(o);
    }
    take_text(o, n);
    if (end == SIZE_MAX) return false;
    output_use(o, end - n + strlen(close));
    if (o->types == TYPE_STRING) put_str(o, "\"");
    else put_held(o);
    o->state = OUTPUT_IN_ELEMENTS;
    return true;
}
