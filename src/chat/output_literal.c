/* SPDX-License-Identifier: MIT
 * Arguments as literals: f(city='Ulm', days=2) in Python, or f{city:<|"|>Ulm<|"|>,days:2}. They become JSON as they come. A word that is no
 * literal becomes a string, since models leave out quotes, and so do their templates. */
#include <stdio.h>
#include <string.h>

#include "chat/output_step_priv.h"

static bool give_up(struct output *o) {
    output_give_up(o);
    return true;
}

void output_step_begin_literal(struct output *o) {
    output_value_schema(o);
    buf_clear(&o->held);
    o->literal = (struct output_literal){.at = LITERAL_ITEM};
    o->literal.closes[0] = *o->o.format->arguments_end;
    o->state = OUTPUT_IN_LITERAL;
    output_put_str(o, "{");
}

/* ---- levels ---- */

static bool in_object(const struct output_literal *l) { return l->depth == 0 || l->closes[l->depth] == '}'; }

/* Models mix up "=" and ":". */
static bool is_assign(const struct output *o, char c) { return c == ':' || (c == '=' && o->literal.depth == 0); }

static bool open_level(struct output *o, char closes) {
    struct output_literal *l = &o->literal;
    if (l->depth + 1 == OUTPUT_MAX_DEPTH) return give_up(o);
    l->closes[++l->depth] = closes;
    l->some = false;
    l->at = LITERAL_ITEM;
    output_put_str(o, closes == '}' ? "{" : "[");
    output_use(o, 1);
    return true;
}

static bool close_level(struct output *o) {
    struct output_literal *l = &o->literal;
    output_put_str(o, in_object(l) ? "}" : "]");
    output_use(o, 1);
    if (l->depth == 0) {
        output_end_call(o);
        o->state = OUTPUT_IN_END;
        return true;
    }
    l->depth--;
    l->some = true;
    l->at = LITERAL_AFTER;
    return true;
}

/* ---- items ---- */

/* Gives the key of an argument without one: the next key of the schema. False: the schema has no more keys. */
static bool put_positional(struct output *o) {
    yyjson_val *key, *v, *properties = yyjson_obj_get(yyjson_doc_get_root(o->schema), "properties");
    size_t i, n, at = o->literal.n_positional++;
    yyjson_obj_foreach(json_some(properties), i, n, key, v) {
        if (i != at) continue;
        output_put_str(o, "\"");
        output_put_escaped(o, yyjson_get_str(key), yyjson_get_len(key));
        output_put_str(o, "\": ");
        return true;
    }
    return false;
}

static void put_comma(struct output *o) {
    if (o->literal.some) output_put_str(o, ", ");
    o->literal.some = false;
}

/* Finds the quote that begins here; *ret is NULL if there is none. False: more text is needed. */
static bool find_quote(const struct output *o, const char **ret, bool *ret_raw) {
    static const char *const quotes[] = {"'''", "\"\"\"", "'", "\""};
    enum output_match m = output_match(o, o->o.format->quote, output_at(o), output_left(o));
    *ret = m == MATCH_FULL ? o->o.format->quote : NULL;
    *ret_raw = m == MATCH_FULL;
    if (m == MATCH_PART) return false;
    for (size_t i = 0; i < sizeof(quotes) / sizeof(*quotes) && *ret == NULL; i++) {
        m = output_match(o, quotes[i], output_at(o), output_left(o));
        if (m == MATCH_PART) return false;
        if (m == MATCH_FULL) *ret = quotes[i];
    }
    return true;
}

static void begin_string(struct output *o, const char *quote, bool raw, bool key) {
    struct output_literal *l = &o->literal;
    l->quote = quote;
    l->raw = raw;
    l->key = key;
    l->at = LITERAL_STRING;
    output_put_str(o, "\"");
    output_use(o, strlen(quote));
}

static bool step_item(struct output *o) {
    struct output_literal *l = &o->literal;
    const char *quote;
    bool raw;
    char c = *output_at(o);
    if (c == l->closes[l->depth]) return close_level(o);
    if (!find_quote(o, &quote, &raw)) return false;
    put_comma(o);
    bool positional = l->depth == 0 && o->o.format->quote == NULL && (quote != NULL || strchr("[{(", c) != NULL);
    if (positional && !put_positional(o)) return give_up(o);
    if (!in_object(l) || positional) {
        l->at = LITERAL_VALUE;
    } else if (quote != NULL) {
        begin_string(o, quote, raw, true);
    } else {
        l->key = true;
        l->at = LITERAL_WORD;
    }
    return true;
}

static bool step_value(struct output *o) {
    struct output_literal *l = &o->literal;
    const char *quote;
    bool raw;
    char c = *output_at(o);
    if (c == '{') return open_level(o, '}');
    if (c == '[') return open_level(o, ']');
    if (c == '(') return open_level(o, ')');
    if (!find_quote(o, &quote, &raw)) return false;
    l->key = false;
    if (quote != NULL) begin_string(o, quote, raw, false);
    else l->at = LITERAL_WORD;
    return true;
}

/* ---- words ---- */

static bool is_number(const char *text) {
    yyjson_doc *doc = NULL;
    if (json_parse_exact(text, strlen(text), &doc, NULL) != ERR_OK) return false;
    yyjson_val *v = yyjson_doc_get_root(doc);
    bool ok = yyjson_is_num(v) || yyjson_is_raw(v);
    yyjson_doc_free(doc);
    return ok;
}

/* Gives a number that Python may write: 1_000, +5, .5, 1. False: it is no number. */
static bool put_number(struct output *o, const char *text) {
    char made[64];
    size_t n = 0;
    bool negative = *text == '-';
    if (is_number(text)) {
        output_put_str(o, text);
        return true;
    }
    if (strlen(text) > sizeof(made) - 4) return false;
    if (negative) made[n++] = '-';
    if (negative || *text == '+') text++;
    if (*text == '.') made[n++] = '0';
    for (; *text != '\0'; text++)
        if (*text != '_') made[n++] = *text;
    if (n > 0 && made[n - 1] == '.') made[n++] = '0';
    made[n] = '\0';
    if (!is_number(made)) return false;
    output_put_str(o, made);
    return true;
}

static void put_word(struct output *o, const char *text) {
    static const char *const words[][2] = {{"True", "true"},   {"true", "true"}, {"False", "false"},
                                           {"false", "false"}, {"None", "null"}, {"null", "null"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(text, words[i][0]) == 0) {
            output_put_str(o, words[i][1]);
            return;
        }
    if (put_number(o, text)) return;
    output_put_str(o, "\"");
    output_put_escaped(o, text, strlen(text));
    output_put_str(o, "\"");
}

/* The word ends before c, which tells whether the word is a key or a value. */
static bool end_word(struct output *o, char c) {
    struct output_literal *l = &o->literal;
    while (o->held.len > 0 && output_blank((char)o->held.data[o->held.len - 1])) o->held.len--;
    const char *text = buf_cstr(&o->held);
    if (*text == '\0') return give_up(o);
    if (l->key && is_assign(o, c)) {
        output_put_str(o, "\"");
        output_put_escaped(o, text, o->held.len);
        output_put_str(o, "\": ");
        output_use(o, 1);
        l->at = LITERAL_VALUE;
    } else if (l->key && (l->depth > 0 || o->o.format->quote != NULL || !put_positional(o))) {
        return give_up(o);
    } else {
        put_word(o, text);
        l->some = true;
        l->at = LITERAL_AFTER;
    }
    buf_clear(&o->held);
    return true;
}

static bool step_word(struct output *o) {
    while (output_left(o) > 0) {
        char c = *output_at(o);
        if (c == ',' || c == ')' || c == ']' || c == '}' || (o->literal.key && is_assign(o, c))) return end_word(o, c);
        if (c == '(' || c == '\0' || o->held.len >= OUTPUT_MAX_HELD) return give_up(o);
        buf_append_byte(&o->held, (uint8_t)c);
        output_use(o, 1);
    }
    return false;
}

/* ---- strings ---- */

static void end_string(struct output *o) {
    struct output_literal *l = &o->literal;
    output_put_str(o, l->key ? "\": " : "\"");
    output_use(o, strlen(l->quote));
    l->some = !l->key;
    l->at = l->key ? LITERAL_ASSIGN : LITERAL_AFTER;
}

/* How many hexadecimal digits does the escape have? */
static size_t escape_digits(char c) { return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0; }

static void put_code(struct output *o, uint32_t code) {
    char text[16];
    uint32_t above = code - 0x10000;
    if (code < 0x10000) snprintf(text, sizeof(text), "\\u%04x", (unsigned)code);
    else snprintf(text, sizeof(text), "\\u%04x\\u%04x", 0xD800u | (above >> 10 & 0x3FF), 0xDC00u | (above & 0x3FF));
    output_put_str(o, text);
}

/* Gives an escape of Python or JSON as JSON. False: more text is needed. */
static bool step_escape(struct output *o) {
    static const char from[] = "ntrbfav/\\'\"", to[] = "\n\t\r\b\f\a\v/\\'\"";
    const char *p = output_at(o);
    size_t left = output_left(o), i = 0;
    if (left < 2) return o->last ? give_up(o) : false;
    size_t digits = escape_digits(p[1]);
    uint32_t code = 0;
    for (; i < digits && 2 + i < left; i++) {
        const char *hex = "0123456789abcdef", *at = strchr(hex, p[2 + i] | 0x20);
        if (p[2 + i] == '\0' || at == NULL) break;
        code = code << 4 | (uint32_t)(at - hex);
    }
    if (i < digits && 2 + i == left && !o->last) return false;
    const char *simple = p[1] != '\0' ? strchr(from, p[1]) : NULL;
    if (digits > 0 && i == digits) put_code(o, code);
    else if (simple != NULL) output_put_escaped(o, &to[simple - from], 1);
    else if (p[1] != '\n')
        output_put_escaped(o, p, 2 + i); /* Python keeps other escapes as they are; a backslash before a line end joins two lines */
    output_use(o, 2 + i);
    return true;
}

/* Does the quote here end the string? Models don't always escape quotes inside strings, so one of , ) ] } : has to follow. False: more
 * text is needed. */
static bool ends_string(const struct output *o, bool *ret_ends) {
    const char *p = output_at(o);
    size_t n = strlen(o->literal.quote), left = output_left(o), i = n;
    while (i < left && output_blank(p[i])) i++;
    *ret_ends = n == 3 || i >= left || i > OUTPUT_MAX_SPACE || strchr(",)]}:", p[i]) != NULL;
    return n == 3 || i < left || i > OUTPUT_MAX_SPACE || o->last;
}

static bool step_string(struct output *o) {
    const char *quote = o->literal.quote;
    size_t safe = 0, end = output_find(o, quote, &safe), n = end != SIZE_MAX ? end : safe;
    const char *escape = o->literal.raw || n == 0 ? NULL : memchr(output_at(o), '\\', n);
    bool ends = true;
    if (escape != NULL) n = (size_t)(escape - output_at(o));
    output_put_escaped(o, output_at(o), n);
    output_use(o, n);
    if (escape != NULL) return step_escape(o);
    if (end == SIZE_MAX) return false;
    if (!o->literal.raw && !ends_string(o, &ends)) return false;
    if (ends) {
        end_string(o);
    } else {
        output_put_escaped(o, output_at(o), 1);
        output_use(o, 1);
    }
    return true;
}

/* ---- all ---- */

static bool step_mark(struct output *o) {
    struct output_literal *l = &o->literal;
    char c = *output_at(o);
    if (l->at == LITERAL_AFTER && c == l->closes[l->depth]) return close_level(o);
    if (l->at == LITERAL_AFTER ? c != ',' : !is_assign(o, c)) return give_up(o);
    output_use(o, 1);
    l->at = l->at == LITERAL_AFTER ? LITERAL_ITEM : LITERAL_VALUE;
    return true;
}

bool output_step_literal(struct output *o) {
    if (o->literal.at == LITERAL_STRING) return output_left(o) > 0 && step_string(o);
    if (o->literal.at == LITERAL_WORD) return step_word(o);
    output_use_blanks(o);
    if (output_left(o) == 0) return false;
    if (o->literal.at == LITERAL_ITEM) return step_item(o);
    return o->literal.at == LITERAL_VALUE ? step_value(o) : step_mark(o);
}
