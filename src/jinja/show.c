/* SPDX-License-Identifier: MIT
 * Values as text: Python's str() and repr(), and JSON as json.dumps() writes it. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "jinja/node_priv.h"
#include "jinja/run_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/number_priv.h"
#include "jinja/show_priv.h"
#include "jinja/text.h"

/* ---- repr ---- */

static bool write_literal(struct jinja_run *r, struct jinja_out *o, const char *text) { return jinja_out_write(r, o, text, strlen(text)); }

static bool repr_char(struct jinja_run *r, struct jinja_out *o, uint32_t c, char quote) {
    switch (c) {
    case '\n': return write_literal(r, o, "\\n");
    case '\r': return write_literal(r, o, "\\r");
    case '\t': return write_literal(r, o, "\\t");
    case '\\': return write_literal(r, o, "\\\\");
    default: break;
    }
    if (c == (uint32_t)quote) return jinja_out_byte(r, o, '\\') && jinja_out_byte(r, o, quote);
    if (jinja_char_is_printable(c)) return jinja_out_char(r, o, c);
    if (c < 0x100) return jinja_out_printf(r, o, "\\x%02x", c);
    return jinja_out_printf(r, o, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

static bool repr_text(struct jinja_run *r, struct jinja_out *o, const struct jinja_str *s) {
    bool single = memchr(s->data, '\'', s->len) != NULL, twice = memchr(s->data, '"', s->len) != NULL;
    char quote = single && !twice ? '"' : '\'';
    if (!jinja_out_byte(r, o, quote)) return false;
    for (size_t i = 0, n = 0; i < s->len; i += n) {
        uint32_t c = jinja_char_at(s->data + i, s->len - i, &n);
        if (!repr_char(r, o, c, quote)) return false;
    }
    return jinja_out_byte(r, o, quote);
}

static bool repr_items(struct jinja_run *r, struct jinja_out *o, const struct jinja_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if ((i > 0 && !write_literal(r, o, ", ")) || !jinja_show_repr(r, o, l->items[i])) return false;
    return true;
}

static bool repr_tuple(struct jinja_run *r, struct jinja_out *o, const struct jinja_list *l) {
    return jinja_out_byte(r, o, '(') && repr_items(r, o, l) && write_literal(r, o, l->n == 1 ? ",)" : ")");
}

/* which: the parts of each entry to show. */
static bool repr_entries(struct jinja_run *r, struct jinja_out *o, const struct jinja_dict *d, enum jinja_view which, const char *between) {
    for (uint32_t i = 0; i < d->n; i++) {
        if (i > 0 && !write_literal(r, o, ", ")) return false;
        if (which == JINJA_ITEMS && *between == ',' && !jinja_out_byte(r, o, '(')) return false;
        if (which != JINJA_VALUES && !jinja_show_repr(r, o, d->entries[i].key)) return false;
        if (which == JINJA_ITEMS && !write_literal(r, o, between)) return false;
        if (which != JINJA_KEYS && !jinja_show_repr(r, o, d->entries[i].value)) return false;
        if (which == JINJA_ITEMS && *between == ',' && !jinja_out_byte(r, o, ')')) return false;
    }
    return true;
}

static bool repr_range(struct jinja_run *r, struct jinja_out *o, const struct jinja_range *range) {
    if (!jinja_out_printf(r, o, "range(%" PRId64 ", %" PRId64, range->start, range->stop)) return false;
    if (range->step != 1 && !jinja_out_printf(r, o, ", %" PRId64, range->step)) return false;
    return jinja_out_byte(r, o, ')');
}

static bool repr_deep(struct jinja_run *r, struct jinja_out *o, struct jinja_value v) {
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};
    switch (v.type) {
    case JINJA_LIST: return jinja_out_byte(r, o, '[') && repr_items(r, o, v.list) && jinja_out_byte(r, o, ']');
    case JINJA_TUPLE: return repr_tuple(r, o, v.list);
    case JINJA_DICT: return jinja_out_byte(r, o, '{') && repr_entries(r, o, v.dict, JINJA_ITEMS, ": ") && jinja_out_byte(r, o, '}');
    case JINJA_VIEW: return write_literal(r, o, views[v.aux]) && repr_entries(r, o, v.dict, v.aux, ", ") && write_literal(r, o, "])");
    case JINJA_NAMESPACE:
        return write_literal(r, o, "<Namespace {") && repr_entries(r, o, v.dict, JINJA_ITEMS, ": ") && write_literal(r, o, "}>");
    default: return jinja_out_printf(r, o, "<%s>", jinja_type_name(v));
    }
}

static bool repr_number(struct jinja_run *r, struct jinja_out *o, struct jinja_value v) {
    char text[JINJA_NUMBER_TEXT];
    if (v.type == JINJA_FLOAT && !jinja_spend(r, 16)) return false;
    if (v.type == JINJA_INT) return jinja_out_printf(r, o, "%" PRId64, v.i);
    if (v.type == JINJA_BIG) return jinja_out_write(r, o, v.s->data, v.s->len);
    return jinja_out_write(r, o, text, jinja_number_text(v.f, text));
}

bool jinja_show_repr(struct jinja_run *r, struct jinja_out *o, struct jinja_value v) {
    switch (v.type) {
    case JINJA_UNDEFINED: return write_literal(r, o, "Undefined");
    case JINJA_NONE: return write_literal(r, o, "None");
    case JINJA_BOOL: return write_literal(r, o, v.b ? "True" : "False");
    case JINJA_INT:
    case JINJA_BIG:
    case JINJA_FLOAT: return repr_number(r, o, v);
    case JINJA_STR:
        if (!v.s->safe) return repr_text(r, o, v.s);
        return write_literal(r, o, "Markup(") && repr_text(r, o, v.s) && jinja_out_byte(r, o, ')');
    case JINJA_RANGE: return repr_range(r, o, v.range);
    case JINJA_MACRO: return jinja_macro_show(r, o, v.macro);
    default: break;
    }
    if (!jinja_enter(r)) return false;
    bool ok = repr_deep(r, o, v);
    jinja_leave(r);
    return ok;
}

bool jinja_show(struct jinja_run *r, struct jinja_out *o, struct jinja_value v) {
    if (v.type == JINJA_STR) return jinja_out_write(r, o, v.s->data, v.s->len);
    if (v.type == JINJA_UNDEFINED) return true;
    return jinja_show_repr(r, o, v);
}

bool jinja_to_str(struct jinja_run *r, struct jinja_value v, const struct jinja_str **ret) {
    struct jinja_value text = v;
    struct jinja_out o = {0};
    if (v.type != JINJA_STR && (!jinja_show(r, &o, v) || !jinja_out_take(r, &o, &text))) return false;
    *ret = text.s;
    return true;
}

/* ---- JSON ---- */

static bool json_char(struct jinja_run *r, struct jinja_out *o, uint32_t c, bool ascii) {
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    const char *found = c < 0x80 && c > 0 ? strchr(letters, (int)c) : NULL;
    for (size_t i = 0; found != NULL && i + 1 < sizeof(letters); i += 2)
        if (letters[i] == (char)c) return jinja_out_byte(r, o, '\\') && jinja_out_byte(r, o, letters[i + 1]);
    if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) return jinja_out_printf(r, o, "\\u%04x", c);
    if (ascii && c >= 0x10000)
        return jinja_out_printf(r, o, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    return jinja_out_char(r, o, c);
}

static bool json_plain(unsigned char c, bool ascii) { return c >= 0x20 && c != '"' && c != '\\' && (c < 0x7F || !ascii); }

static bool json_text(struct jinja_run *r, struct jinja_out *o, const char *data, size_t len, bool ascii) {
    if (!jinja_out_byte(r, o, '"')) return false;
    for (size_t i = 0, n; i < len; i += n) {
        for (n = 0; i + n < len && json_plain((unsigned char)data[i + n], ascii);) n++;
        if (n > 0) {
            if (!jinja_out_write(r, o, data + i, n)) return false;
            continue;
        }
        uint32_t c = jinja_char_at(data + i, len - i, &n);
        if (!json_char(r, o, c, ascii)) return false;
    }
    return jinja_out_byte(r, o, '"');
}

static bool json_number(struct jinja_run *r, struct jinja_out *o, struct jinja_value v) {
    if (v.type != JINJA_FLOAT || isfinite(v.f)) return repr_number(r, o, v);
    return write_literal(r, o, isnan(v.f) ? "NaN" : v.f > 0 ? "Infinity" : "-Infinity");
}

static bool json_value(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_json *how, size_t level);

static bool json_line(struct jinja_run *r, struct jinja_out *o, const struct jinja_json *how, size_t level) {
    if (how->indent == NULL) return true;
    if (!jinja_out_byte(r, o, '\n')) return false;
    for (size_t i = 0; i < level; i++)
        if (!jinja_out_write(r, o, how->indent, how->indent_len)) return false;
    return true;
}

static bool json_list(struct jinja_run *r, struct jinja_out *o, const struct jinja_list *l, const struct jinja_json *how, size_t level) {
    if (l->n == 0) return write_literal(r, o, "[]");
    for (size_t i = 0; i < l->n; i++) {
        if (i == 0 ? !jinja_out_byte(r, o, '[') : !jinja_out_write(r, o, how->comma, how->comma_len)) return false;
        if (!json_line(r, o, how, level + 1) || !json_value(r, o, l->items[i], how, level + 1)) return false;
    }
    return json_line(r, o, how, level) && jinja_out_byte(r, o, ']');
}

static bool json_key(struct jinja_run *r, struct jinja_out *o, struct jinja_value key, bool ascii) {
    if (key.type == JINJA_STR) return json_text(r, o, key.s->data, key.s->len, ascii);
    if (key.type == JINJA_NONE) return write_literal(r, o, "\"null\"");
    if (key.type == JINJA_BOOL) return write_literal(r, o, key.b ? "\"true\"" : "\"false\"");
    if (jinja_is_number(key)) return jinja_out_byte(r, o, '"') && json_number(r, o, key) && jinja_out_byte(r, o, '"');
    return jinja_fail(r, "keys must be str, int, float, bool or None, not %s", jinja_type_name(key));
}

static bool json_dict(struct jinja_run *r, struct jinja_out *o, const struct jinja_dict *d, const struct jinja_json *how, size_t level) {
    struct jinja_value items = {.type = JINJA_VIEW, .aux = JINJA_ITEMS, .dict = (struct jinja_dict *)(uintptr_t)d}, list;
    if (d->n == 0) return write_literal(r, o, "{}");
    if (!jinja_to_list(r, items, JINJA_LIST, &list) || (how->sorted && !jinja_sort(r, list.list, false, NULL))) return false;
    for (size_t i = 0; i < list.list->n; i++) {
        const struct jinja_value *pair = list.list->items[i].list->items;
        if (i == 0 ? !jinja_out_byte(r, o, '{') : !jinja_out_write(r, o, how->comma, how->comma_len)) return false;
        if (!json_line(r, o, how, level + 1) || !json_key(r, o, pair[0], how->ascii)) return false;
        if (!jinja_out_write(r, o, how->colon, how->colon_len) || !json_value(r, o, pair[1], how, level + 1)) return false;
    }
    return json_line(r, o, how, level) && jinja_out_byte(r, o, '}');
}

static bool json_value(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_json *how, size_t level) {
    switch (v.type) {
    case JINJA_NONE: return write_literal(r, o, "null");
    case JINJA_BOOL: return write_literal(r, o, v.b ? "true" : "false");
    case JINJA_INT:
    case JINJA_BIG:
    case JINJA_FLOAT: return json_number(r, o, v);
    case JINJA_STR: return json_text(r, o, v.s->data, v.s->len, how->ascii);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT: break;
    default: return jinja_fail(r, "Object of type %s is not JSON serializable", jinja_type_name(v));
    }
    if (!jinja_enter(r)) return false;
    bool ok = v.type == JINJA_DICT ? json_dict(r, o, v.dict, how, level) : json_list(r, o, v.list, how, level);
    jinja_leave(r);
    return ok;
}

bool jinja_show_json(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_json *options) {
    return json_value(r, o, v, options, 0);
}
