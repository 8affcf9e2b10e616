/* SPDX-License-Identifier: MIT
 * Arguments as elements, one for each: <parameter=KEY>VALUE</parameter>. They become one JSON object. A value that the tool's schema
 * wants as a string is given as it comes. Other values are held until they are whole, since only then their type is known. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "chat/output_step_priv.h"
#include "chat/text.h"

void output_step_begin_xml(struct output *o) {
    output_value_schema(o);
    o->n_elements = 0;
    if (o->o.format->nested) output_step_begin_nested(o);
    else o->state = OUTPUT_IN_ELEMENTS;
}

/* A broken call ends where it broke. It isn't repaired, since a client would then carry it out. */
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
    enum output_match whole = o->n_elements == 0 ? output_match(o, f->whole_open, output_at(o), output_left(o)) : MATCH_NONE;
    if (whole == MATCH_FULL) {
        output_use(o, strlen(f->whole_open));
        o->have_arguments = false;
        o->state = OUTPUT_IN_ARGUMENTS;
    } else if (open == MATCH_FULL) {
        output_use(o, strlen(f->key_open));
        o->state = OUTPUT_IN_KEY;
    } else if (close == MATCH_FULL) {
        output_put_str(o, o->n_elements == 0 ? "{}" : "}");
        output_end_call(o);
        o->state = OUTPUT_IN_END;
    } else if (open == MATCH_PART || close == MATCH_PART || whole == MATCH_PART) {
        return false;
    } else {
        return give_up(o);
    }
    return true;
}

/* Replaces &quot; and &amp; in the first n bytes. Returns how many are left. */
static size_t unescape(char *text, size_t n) {
    static const struct {
        const char *name;
        char sign;
    } entities[] = {{"&quot;", '"'}, {"&amp;", '&'}};
    size_t to = 0;
    for (size_t from = 0; from < n;) {
        size_t len = 0;
        char sign = text[from];
        for (size_t i = 0; i < ARRAY_LEN(entities) && len == 0; i++)
            if (n - from >= strlen(entities[i].name) && memcmp(text + from, entities[i].name, strlen(entities[i].name)) == 0) {
                len = strlen(entities[i].name);
                sign = entities[i].sign;
            }
        text[to++] = sign;
        from += len > 0 ? len : 1;
    }
    return to;
}

bool output_step_key(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    size_t safe = 0, end = output_find(o, f->key_close, &safe);
    if (end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_KEY + strlen(f->key_close)) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_KEY) return give_up(o);
    char text[OUTPUT_MAX_KEY + 1], *key = text;
    size_t n = end;
    memcpy(text, output_at(o), n);
    for (; n > 0 && output_blank(key[n - 1]); n--) {
    }
    for (; n > 0 && output_blank(*key); key++) n--;
    if (f->attributes) n = unescape(key, n);
    output_put_str(o, o->n_elements++ == 0 ? "{\"" : ", \"");
    output_put_escaped(o, key, n);
    output_put_str(o, "\": ");
    yyjson_val *properties = yyjson_obj_get(yyjson_doc_get_root(o->schema), "properties");
    o->types = output_value_types(yyjson_obj_getn(properties, key, n));
    o->value_begun = false;
    buf_clear(&o->held);
    output_use(o, end + strlen(f->key_close));
    o->state = f->type_end != NULL ? OUTPUT_IN_TYPE : OUTPUT_IN_VALUE;
    return true;
}

/* Reads the attribute (string="true", type="number"). It decides if the schema leaves open whether the value is a string. */
bool output_step_type(struct output *o) {
    const char *end = o->o.format->type_end + 1; /* without the quote: the attribute may be missing */
    size_t safe = 0, n = output_find(o, end, &safe);
    if (n == SIZE_MAX && output_left(o) <= OUTPUT_MAX_KEY && !o->last) return false;
    if (n == SIZE_MAX || n > OUTPUT_MAX_KEY) return give_up(o);
    const char *p = output_at(o);
    size_t word = n > 0 && p[n - 1] == '"' ? n - 1 : n, from = word;
    while (from > 0 && p[from - 1] != '"') from--;
    bool text = (word - from == 4 && memcmp(p + from, "true", 4) == 0) || (word - from == 6 && memcmp(p + from, "string", 6) == 0);
    if (n > 0 && (o->types & TYPE_STRING) != 0 && o->types != TYPE_STRING)
        o->types = text ? TYPE_STRING : o->types & ~(unsigned)TYPE_STRING;
    output_use(o, n + strlen(end));
    o->state = OUTPUT_IN_VALUE;
    return true;
}

/* Uses the text before the value: blanks and a mark, or one line end with value_lines. False: it can't go on, and *ret_go says why. */
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
    if (o->types == TYPE_STRING) output_put_str(o, "\"");
    return true;
}

static void take_text(struct output *o, size_t n) {
    if (o->types == TYPE_STRING) output_put_escaped(o, output_at(o), n);
    else buf_append(&o->held, output_at(o), n);
    output_use(o, n);
}

/* Without the line end before the value's closing mark: it is held until the next text shows whether it belongs to the value. */
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
    if (o->types == TYPE_STRING) output_put_str(o, "\"");
    else output_value_held(o);
    o->state = OUTPUT_IN_ELEMENTS;
    return true;
}
