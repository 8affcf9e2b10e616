/* SPDX-License-Identifier: MIT
 * Arguments as elements within elements, as MiniMax M3 writes them. Each tag has the family's mark before it. The tag's name is the key,
 * and the elements of an array are called "item". The first tag in a value tells whether it is an object or an array. A value without tags
 * is a text, and the schema tells its type. */
#include <string.h>

#include "base/mem.h"
#include "chat/output_step_priv.h"

static bool give_up(struct output *o) {
    output_give_up(o);
    return true;
}

void output_step_begin_nested(struct output *o) {
    o->nest = (struct output_nested){.depth = 0};
    o->nest.closes[0] = '}';
    o->nest.schemas[0] = yyjson_doc_get_root(o->schema);
    o->state = OUTPUT_IN_NESTED;
    output_put_str(o, "{");
}

static yyjson_val *schema_below(const struct output_nested *n, const char *key, size_t len) {
    yyjson_val *schema = n->schemas[n->depth];
    if (n->closes[n->depth] == ']') return yyjson_obj_get(schema, "items");
    return yyjson_obj_getn(yyjson_obj_get(schema, "properties"), key, len);
}

/* Reads an opening tag, after its mark. */
static bool open_element(struct output *o) {
    struct output_nested *n = &o->nest;
    size_t safe = 0, end = output_find(o, o->o.format->key_close, &safe);
    if (end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_KEY && !o->last) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_KEY || end == 0 || n->depth + 1 == OUTPUT_MAX_DEPTH) return give_up(o);
    const char *key = output_at(o);
    yyjson_val *schema = schema_below(n, key, end);
    if (n->some[n->depth]) output_put_str(o, ", ");
    n->some[n->depth] = true;
    if (n->closes[n->depth] == '}') {
        output_put_str(o, "\"");
        output_put_escaped(o, key, end);
        output_put_str(o, "\": ");
    }
    n->depth++;
    n->closes[n->depth] = '\0';
    n->schemas[n->depth] = schema;
    n->some[n->depth] = false;
    n->at = NESTED_BEGUN;
    buf_clear(&o->held);
    output_use(o, end + strlen(o->o.format->key_close));
    return true;
}

/* Reads a closing tag, after its mark. */
static bool close_element(struct output *o) {
    size_t safe = 0, end = output_find(o, o->o.format->key_close, &safe);
    if (end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_KEY && !o->last) return false;
    if (end == SIZE_MAX || end > OUTPUT_MAX_KEY || o->nest.depth == 0) return give_up(o);
    output_use(o, end + strlen(o->o.format->key_close));
    char closes = o->nest.closes[o->nest.depth--];
    if (closes != '\0') output_put_str(o, closes == '}' ? "}" : "]");
    o->nest.at = NESTED_BETWEEN;
    return true;
}

/* Begins a value: an object or an array if it begins with a tag, else a text. */
static bool step_begun(struct output *o) {
    struct output_nested *n = &o->nest;
    const struct toolcall_format *f = o->o.format;
    const char *p = output_at(o);
    size_t i = 0, left = output_left(o);
    while (i < left && output_blank(p[i])) i++;
    enum output_match end = output_match(o, f->value_close, p + i, left - i), tag = output_match(o, f->key_open, p + i, left - i);
    if (i == left ? !o->last && i < OUTPUT_MAX_SPACE : end == MATCH_PART || (tag == MATCH_PART && end != MATCH_FULL)) return false;
    if (tag == MATCH_FULL && end != MATCH_FULL) {
        size_t len = strlen(f->key_open);
        enum output_match item = output_match(o, "item>", p + i + len, left - i - len);
        if (item == MATCH_PART) return false;
        n->closes[n->depth] = item == MATCH_FULL ? ']' : '}';
        n->at = NESTED_BETWEEN;
        output_put_str(o, item == MATCH_FULL ? "[" : "{");
        return true;
    }
    n->at = NESTED_TEXT;
    o->types = output_value_types(n->schemas[n->depth]);
    if (o->types == TYPE_STRING) output_put_str(o, "\"");
    return true;
}

static bool step_text(struct output *o) {
    const char *close = o->o.format->value_close;
    size_t safe = 0, end = output_find(o, close, &safe), n = end != SIZE_MAX ? end : safe;
    bool text = o->types == TYPE_STRING, fits = text || o->held.len + n <= OUTPUT_MAX_HELD;
    if (!fits) n = OUTPUT_MAX_HELD - o->held.len;
    if (text) output_put_escaped(o, output_at(o), n);
    else buf_append(&o->held, output_at(o), n);
    output_use(o, n);
    if (!fits) return give_up(o);
    if (end == SIZE_MAX) return false;
    output_use(o, strlen(close));
    if (text) output_put_str(o, "\"");
    else output_value_held(o);
    o->nest.at = NESTED_CLOSING;
    return true;
}

/* Reads the mark of a tag: an element begins or ends, or the call ends. */
static bool step_between(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    struct output_nested *n = &o->nest;
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    const char *p = output_at(o);
    size_t left = output_left(o);
    enum output_match close = n->depth == 0 ? output_match(o, f->close, p, left) : MATCH_NONE;
    enum output_match end = output_match(o, f->value_close, p, left), tag = output_match(o, f->key_open, p, left);
    if (close == MATCH_PART || (close == MATCH_NONE && (end == MATCH_PART || (tag == MATCH_PART && end == MATCH_NONE)))) return false;
    if (close == MATCH_FULL) {
        output_put_str(o, "}");
        output_end_call(o);
        o->state = OUTPUT_IN_END;
    } else if (end == MATCH_FULL && n->depth > 0) {
        output_use(o, strlen(f->value_close));
        n->at = NESTED_CLOSING;
    } else if (tag == MATCH_FULL && end != MATCH_FULL) {
        output_use(o, strlen(f->key_open));
        n->at = NESTED_OPENING;
    } else {
        return give_up(o);
    }
    return true;
}

bool output_step_nested(struct output *o) {
    switch (o->nest.at) {
    case NESTED_OPENING: return open_element(o);
    case NESTED_BEGUN: return step_begun(o);
    case NESTED_TEXT: return step_text(o);
    case NESTED_CLOSING: return close_element(o);
    default: return step_between(o);
    }
}
