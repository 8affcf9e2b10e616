/* SPDX-License-Identifier: MIT
 * Finds the form of one rendered call: JSON, a name and JSON, a name and elements, or a name and literals. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "chat/derive_priv.h"

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

struct piece derive_trim(struct piece piece) {
    while (piece.n > 0 && is_blank(piece.p[piece.n - 1])) piece.n--;
    for (; piece.n > 0 && is_blank(*piece.p); piece.p++) piece.n--;
    return piece;
}

struct piece derive_from_sign(struct piece piece) {
    piece = derive_trim(piece);
    for (; piece.n > 0 && strchr("<[{(|`", *piece.p) == NULL; piece.p++) piece.n--;
    return piece;
}

struct piece derive_common_end(struct piece a, struct piece b) {
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[a.n - 1 - n] == b.p[b.n - 1 - n]) n++;
    return (struct piece){a.p + a.n - n, n};
}

struct piece derive_common_start(struct piece a, struct piece b) {
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) n++;
    return (struct piece){a.p, n};
}

struct piece derive_between(const char *from, const char *to) { return (struct piece){from, (size_t)(to - from)}; }

bool derive_equal(struct piece a, const char *b) { return strlen(b) == a.n && memcmp(a.p, b, a.n) == 0; }

static const char *find(struct piece text, const char *from, const char *word) {
    size_t left = (size_t)(text.p + text.n - from);
    return left > 0 ? mem_find(from, left, word, strlen(word)) : NULL;
}

/* ---- JSON ---- */

/* Reads the JSON object that begins at p; *ret_end: its end. NULL: none begins there. */
static yyjson_doc *read_object(struct piece text, const char *p, const char **ret_end) {
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)p, (size_t)(text.p + text.n - p), YYJSON_READ_STOP_WHEN_DONE, NULL, NULL);
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return NULL;
    }
    *ret_end = p + yyjson_doc_get_read_size(doc);
    return doc;
}

static bool are_arguments(yyjson_val *v) {
    return yyjson_obj_get(v, "probe_key") != NULL || (yyjson_is_str(v) && strstr(yyjson_get_str(v), "probe_key") != NULL);
}

/* Finds the key's text in the rendered text. */
static struct piece place_of(struct piece core, yyjson_val *key) {
    const char *p = core.p;
    size_t n = yyjson_get_len(key);
    while ((p = find(core, p, yyjson_get_str(key))) != NULL && (p == core.p || p[-1] != '"' || p[n] != '"')) p++;
    return (struct piece){p, p != NULL ? n : 0};
}

/* Takes {"name": NAME, "arguments": {...}} or {NAME: {...}}. False: the object is neither. */
static bool take_object(yyjson_val *object, const char *name, struct derive_form *f) {
    yyjson_val *key, *v;
    size_t i, n;
    bool named = false, arguments = false;
    yyjson_obj_foreach(object, i, n, key, v) {
        if (yyjson_equals_str(v, name)) {
            f->name_key = place_of(f->core, key);
            named = true;
        } else if (yyjson_equals_str(key, name) && are_arguments(v)) {
            f->name_is_key = named = arguments = true;
        } else if (are_arguments(v)) {
            f->arguments_key = place_of(f->core, key);
            arguments = true;
        }
    }
    return named && arguments;
}

static bool find_json(struct piece text, const char *at, const char *name, struct derive_form *f) {
    for (const char *p = at; p >= text.p; p--) {
        const char *end = NULL;
        yyjson_doc *doc = *p == '{' ? read_object(text, p, &end) : NULL;
        f->core = derive_between(p, end != NULL ? end : p);
        bool fits = doc != NULL && end > at && take_object(yyjson_doc_get_root(doc), name, f);
        yyjson_doc_free(doc);
        if (fits) return true;
    }
    return false;
}

static bool find_named_json(struct piece text, const char *at, const char *name, struct derive_form *f) {
    const char *behind = at + strlen(name), *p = find(text, behind, "{"), *end = NULL;
    yyjson_doc *doc = p != NULL ? read_object(text, p, &end) : NULL;
    bool fits = doc != NULL && are_arguments(yyjson_doc_get_root(doc)) && p > behind;
    yyjson_doc_free(doc);
    if (!fits) return false;
    f->core = derive_between(at, end);
    f->name_end = derive_trim(derive_between(behind, p));
    if (f->name_end.n == 0) f->name_end = derive_between(behind, p); /* a line end */
    return true;
}

/* ---- elements and literals ---- */

/* The text between names and values: NAME a KEY b VALUE c KEY d VALUE e */
struct gaps {
    struct piece a, b, c, d, e;
};

static bool find_gaps(struct piece text, const char *at, const char *name, struct gaps *g) {
    const char *name_end = at + strlen(name), *k1 = find(text, name_end, "probe_key");
    const char *v1 = k1 != NULL ? find(text, k1, "probe-value") : NULL, *k2 = v1 != NULL ? find(text, v1, "probe_more") : NULL;
    const char *k2_end = k2 != NULL ? k2 + strlen("probe_more") : NULL, *v2 = k2 != NULL ? find(text, k2_end, "7") : NULL;
    if (v2 == NULL) return false;
    g->a = derive_between(name_end, k1);
    g->b = derive_between(k1 + strlen("probe_key"), v1);
    g->c = derive_between(v1 + strlen("probe-value"), k2);
    g->d = derive_between(k2_end, v2);
    g->e = derive_between(v2 + 1, text.p + text.n);
    return true;
}

/* Takes NAME(KEY='VALUE', KEY=7): the first value has quotes, the second has none. */
static bool find_literals(const char *at, const struct gaps *g, struct derive_form *f) {
    struct piece end = derive_trim(g->e), assign = derive_trim(g->d);
    if (assign.n != 1 || strchr("=:", *assign.p) == NULL || end.n == 0 || strchr(")}", *end.p) == NULL) return false;
    if (g->b.n <= g->d.n || memcmp(g->b.p, g->d.p, g->d.n) != 0) return false;
    struct piece quote = {g->b.p + g->d.n, g->b.n - g->d.n};
    if (g->c.n < quote.n || memcmp(g->c.p, quote.p, quote.n) != 0) return false;
    f->name_end = derive_trim(g->a);
    f->assign = assign;
    f->arguments_end = (struct piece){end.p, 1};
    if (!derive_equal(quote, "'") && !derive_equal(quote, "\"")) f->quote = quote;
    f->core = derive_between(at, end.p + 1);
    return f->name_end.n > 0;
}

/* Takes the attribute that says whether the value is a string, if the marks before the two values differ only in it. */
static bool take_type(const struct gaps *g, struct derive_form *f) {
    static const char *const words[][2] = {{"true", "false"}, {"string", "number"}, {"string", "integer"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const char *p = mem_find(g->b.p, g->b.n, words[i][0], strlen(words[i][0]));
        size_t before = p != NULL ? (size_t)(p - g->b.p) : 0, text = strlen(words[i][0]), other = strlen(words[i][1]);
        const char *blank = p != NULL ? memchr(g->b.p, ' ', before) : NULL;
        if (blank == NULL || g->d.n < before + other || memcmp(g->b.p, g->d.p, before) != 0) continue;
        if (memcmp(g->d.p + before, words[i][1], other) != 0) continue;
        struct piece end = {p + text, g->b.n - before - text};
        if (end.n == 0 || *end.p != '"' || end.n != g->d.n - before - other || memcmp(end.p, g->d.p + before + other, end.n) != 0) continue;
        f->key_close = derive_between(g->b.p, blank);
        f->type_open = derive_between(blank, p);
        f->type_end = end;
        return true;
    }
    return false;
}

static bool take_key_close(const struct gaps *g, struct derive_form *f) {
    if (g->b.n != g->d.n || memcmp(g->b.p, g->d.p, g->b.n) != 0) return take_type(g, f);
    f->value_lines = g->b.n > 1 && g->b.p[g->b.n - 1] == '\n' && g->c.n > 0 && *g->c.p == '\n';
    struct piece mark = derive_trim(g->b);
    for (size_t i = 0; i + 1 < mark.n; i++) {
        if (mark.p[i] != '>' || !is_blank(mark.p[i + 1])) continue;
        f->value_open = derive_trim((struct piece){mark.p + i + 1, mark.n - i - 1});
        mark.n = i + 1;
    }
    f->key_close = mark;
    return mark.n > 0;
}

/* Takes elements: a and c end with the mark before a key; c and e begin with the mark after a value. */
static bool find_elements(const char *at, const struct gaps *g, struct derive_form *f) {
    if (!take_key_close(g, f)) return false;
    f->key_open = derive_from_sign(derive_common_end(g->a, g->c));
    if (f->key_open.n == 0) return false;
    f->name_end = derive_trim(derive_between(g->a.p, g->a.p + g->a.n - f->key_open.n));
    f->value_close = derive_trim(derive_between(g->c.p, g->c.p + g->c.n - f->key_open.n));
    struct piece end = derive_trim(g->e);
    if (f->value_close.n == 0 || end.n < f->value_close.n || memcmp(end.p, f->value_close.p, f->value_close.n) != 0) return false;
    f->core = derive_between(at, end.p + f->value_close.n);
    return true;
}

bool chat_derive_form(struct piece text, const char *name, struct derive_form *ret) {
    struct gaps g;
    const char *at = find(text, text.p, name);
    if (at == NULL) return false;
    *ret = (struct derive_form){.name_is_key = false};
    if (find_json(text, at, name, ret)) return true;
    *ret = (struct derive_form){.name_is_key = false};
    if (find_named_json(text, at, name, ret)) return true;
    return find_gaps(text, at, name, &g) && (find_literals(at, &g, ret) || find_elements(at, &g, ret));
}
