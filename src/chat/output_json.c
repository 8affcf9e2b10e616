/* SPDX-License-Identifier: MIT
 * Tool calls as JSON: {"name": ..., "arguments": ...}, and JSON arguments after a name. The arguments are given as the model writes them,
 * checked byte by byte; only bare control characters in strings are escaped. */
#include <string.h>

#include "chat/output_step_priv.h"

/* ---- a value ---- */

/* Reads the value to its end, or to the end of the text, and appends it to `to`, up to max bytes in all. */
static enum scan_result use_value(struct output *o, struct buf *to, size_t max) {
    while (output_left(o) > 0) {
        if (to->len >= max || (!o->begun && o->raw.len >= OUTPUT_MAX_HELD)) return SCAN_BAD;
        char c = *output_at(o);
        bool in_string = scan_in_string(&o->scan);
        enum scan_result r = scan_push(&o->scan, c);
        if (r == SCAN_END_BEFORE) return SCAN_END;
        if (r == SCAN_BAD) return SCAN_BAD;
        output_append_clean(to, c, in_string);
        output_use(o, 1);
        if (r == SCAN_END) return SCAN_END;
    }
    return SCAN_MORE;
}

static void give_held(struct output *o) {
    output_put_arguments(o, (const char *)o->held.data, o->held.len);
    buf_clear(&o->held);
}

bool output_step_arguments(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    if (!o->have_arguments) {
        output_use_blanks(o);
        if (output_left(o) == 0) return false;
        enum output_match m = output_match(o, f->close, output_at(o), output_left(o));
        if (m == MATCH_PART) return false;
        if (m == MATCH_FULL) {
            output_put_arguments(o, "{}", 2);
            output_end_call(o);
            o->state = OUTPUT_IN_END;
            return true;
        }
        if (*output_at(o) != '{') {
            output_give_up(o);
            return true;
        }
        o->have_arguments = true;
        scan_init(&o->scan);
    }
    enum scan_result r = use_value(o, &o->held, SIZE_MAX);
    give_held(o);
    if (r == SCAN_MORE) return false;
    if (r == SCAN_BAD) {
        output_give_up(o);
    } else {
        output_end_call(o);
        o->state = OUTPUT_IN_END;
    }
    return true;
}

/* ---- {"name": ..., "arguments": ...} ---- */

static bool key_is(const struct output *o, const char *a) {
    return a != NULL && o->key.len == strlen(a) && memcmp(o->key.data, a, o->key.len) == 0;
}

/* The family's own keys, and keys that models write in their place. */
static bool is_name_key(const struct output *o) {
    return key_is(o, o->o.format->name_key) || key_is(o, "name") || key_is(o, "tool_name") || key_is(o, "function");
}

static bool is_arguments_key(const struct output *o) {
    return key_is(o, o->o.format->arguments_key) || key_is(o, "arguments") || key_is(o, "parameters") || key_is(o, "args");
}

static bool give_up(struct output *o) {
    output_give_up(o);
    return true;
}

static bool object_open(struct output *o, char c) {
    if (c == '[' && !o->array && (!o->bare || o->o.format->array)) {
        o->array = true;
    } else if (c == '{') {
        o->have_arguments = o->nested = o->textual = false;
        buf_clear(&o->held);
        o->object_at = OBJECT_FIRST;
    } else {
        return give_up(o);
    }
    output_use(o, 1);
    return true;
}

static bool object_key(struct output *o) {
    while (output_left(o) > 0) {
        char c = *output_at(o);
        if (c == '\\' || o->key.len == OUTPUT_MAX_KEY) return give_up(o);
        output_use(o, 1);
        if (c == '"') {
            o->object_at = OBJECT_COLON;
            return true;
        }
        buf_append_byte(&o->key, (uint8_t)c);
    }
    return false;
}

static bool object_value(struct output *o, char c) {
    if (key_is(o, "function") && c == '{' && !o->nested) { /* {"type": "function", "function": {...}} */
        o->nested = true;
        output_use(o, 1);
        o->object_at = OBJECT_FIRST;
        return true;
    }
    o->role = ROLE_OTHER;
    if (o->o.format->name_is_key && !o->begun && c == '{') { /* {NAME: {...}} */
        if (!output_begin_call(o, (const char *)o->key.data, o->key.len)) return give_up(o);
        buf_clear(&o->key);
        buf_append_str(&o->key, "arguments");
    }
    if (o->name[0] == '\0' && is_name_key(o)) o->role = ROLE_NAME;
    if (!o->have_arguments && is_arguments_key(o)) o->role = ROLE_ARGUMENTS;
    if (o->role == ROLE_ARGUMENTS) o->textual = c != '{';
    scan_init(&o->scan);
    buf_clear(&o->key);
    o->object_at = OBJECT_IN_VALUE;
    return true;
}

/* Begins the call; o->key holds the name as JSON. */
static bool take_name(struct output *o) {
    yyjson_doc *doc = json_read((const char *)o->key.data, o->key.len);
    yyjson_val *v = yyjson_doc_get_root(doc);
    bool ok = yyjson_is_str(v) && output_begin_call(o, yyjson_get_str(v), yyjson_get_len(v));
    yyjson_doc_free(doc);
    if (ok && o->have_arguments) give_held(o);
    return ok;
}

/* Arguments that are not an object: JSON in a string is taken out of the string; null and "" mean no arguments. */
static void take_textual(struct output *o) {
    yyjson_doc *doc = json_read((const char *)o->held.data, o->held.len);
    yyjson_val *v = yyjson_doc_get_root(doc);
    bool none = yyjson_is_null(v) || (yyjson_is_str(v) && yyjson_get_len(v) == 0);
    yyjson_doc *inner = yyjson_is_str(v) ? json_read(yyjson_get_str(v), yyjson_get_len(v)) : NULL;
    if (none || inner != NULL) {
        buf_clear(&o->held);
        buf_append(&o->held, none ? "{}" : yyjson_get_str(v), none ? 2 : yyjson_get_len(v));
    }
    yyjson_doc_free(inner);
    yyjson_doc_free(doc);
}

static bool object_in_value(struct output *o) {
    struct buf *to = o->role == ROLE_ARGUMENTS ? &o->held : &o->key;
    bool streams = o->role == ROLE_ARGUMENTS && o->begun && !o->textual;
    size_t max = streams || o->role == ROLE_OTHER ? SIZE_MAX : o->role == ROLE_NAME ? OUTPUT_MAX_KEY : OUTPUT_MAX_HELD;
    enum scan_result r = use_value(o, to, max);
    if (o->role == ROLE_OTHER) buf_clear(&o->key);
    if (streams) give_held(o);
    if (r == SCAN_BAD) return give_up(o);
    if (r == SCAN_MORE) return false;
    o->object_at = OBJECT_COMMA;
    if (o->role == ROLE_NAME && !take_name(o)) return give_up(o);
    if (o->role != ROLE_ARGUMENTS) return true;
    o->have_arguments = true;
    if (o->textual) take_textual(o);
    if (o->begun) give_held(o);
    return true;
}

static bool object_close(struct output *o) {
    if (o->nested) {
        o->nested = false;
        o->object_at = OBJECT_COMMA;
        return true;
    }
    if (!o->begun) return give_up(o);
    if (!o->have_arguments) output_put_arguments(o, "{}", 2);
    output_end_call(o);
    o->state = OUTPUT_IN_END;
    return true;
}

bool output_step_object(struct output *o) {
    if (o->object_at == OBJECT_IN_KEY) return object_key(o);
    if (o->object_at == OBJECT_IN_VALUE) return object_in_value(o);
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    char c = *output_at(o);
    if (o->object_at == OBJECT_OPEN) return object_open(o, c);
    if (o->object_at == OBJECT_VALUE) return object_value(o, c);
    bool closes = c == '}' && (o->object_at == OBJECT_FIRST || o->object_at == OBJECT_COMMA);
    bool fits = closes || (o->object_at == OBJECT_COLON && c == ':') || (o->object_at == OBJECT_COMMA && c == ',') ||
                ((o->object_at == OBJECT_FIRST || o->object_at == OBJECT_KEY) && c == '"');
    if (!fits) return give_up(o);
    output_use(o, 1);
    if (closes) return object_close(o);
    if (c == '"') buf_clear(&o->key);
    o->object_at = c == ':' ? OBJECT_VALUE : c == ',' ? OBJECT_KEY : OBJECT_IN_KEY;
    return true;
}
