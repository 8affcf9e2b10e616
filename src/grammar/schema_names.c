/* SPDX-License-Identifier: MIT
 * Undeclared properties: the names that they may have (patternProperties, propertyNames), and the schemas of their values. See
 * schema_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/charset.h"
#include "grammar/check.h"
#include "grammar/product.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

enum { MAX_OVERLAPS = 3 };

/* ---- patterns of names ---- */

struct pattern {
    yyjson_val *text, *schema;
    struct regex_parts parts;   /* n 0: the pattern can't be expressed */
};

/* All conditions of a value's schemas on names. */
struct names {
    struct pattern list[SCHEMA_MAX_TEXTS];
    size_t n;
    struct regex_parts asked;   /* on every name */
};

static void names_done(struct names *names) {
    for (size_t i = 0; i < names->n; i++) regex_parts_done(&names->list[i].parts);
    regex_parts_done(&names->asked);
}

err_code schema_write_matching_schemas(struct schema *s, yyjson_val *v, const struct schema_property *name, struct schema_set *ret,
                                       bool *ret_matched) {
    yyjson_val *patterns = yyjson_obj_get(v, "patternProperties"), *key, *sub;
    size_t i, n;
    err_code code = ERR_OK;
    yyjson_obj_foreach(json_some(patterns), i, n, key, sub) {
        enum check_verdict m = check_pattern(yyjson_get_str(key), yyjson_get_len(key), name->name, name->len);
        if (code == ERR_OK) code = schema_work(s, SCHEMA_WORK_RULE);
        if (m == CHECK_FAILS || code != ERR_OK) continue;
        *ret_matched = true;
        code = m == CHECK_FITS ? schema_add(s, ret, sub)
                               : schema_leave_out(s, v, "\"patternProperties\": \"%.60s\" cannot be judged", yyjson_get_str(key));
    }
    return code;
}

static err_code read_patterns(struct schema *s, yyjson_val *v, struct names *names) {
    yyjson_val *patterns = yyjson_obj_get(v, "patternProperties"), *key, *sub;
    size_t i, n;
    err_code code = ERR_OK;
    if (patterns != NULL && !yyjson_is_obj(patterns)) return schema_fail(s, ERR_INVALID, v, "\"patternProperties\": expected an object");
    yyjson_obj_foreach(json_some(patterns), i, n, key, sub) {
        const char *why = "";
        if (code != ERR_OK) break;
        if (names->n == SCHEMA_MAX_TEXTS) return schema_leave_out(s, v, "more than %d of \"patternProperties\"", SCHEMA_MAX_TEXTS);
        struct pattern *p = &names->list[names->n];
        *p = (struct pattern){.text = key, .schema = sub};
        code = regex_read(yyjson_get_str(key), yyjson_get_len(key), &p->parts, &why);
        if (code != ERR_OK && !(code == ERR_INVALID && !s->loose)) code = schema_leave_out(s, v, "\"patternProperties\": %s", why);
        else if (code != ERR_OK) code = schema_fail(s, code, v, "\"patternProperties\": %s", why);
        names->n++;
    }
    return code;
}

/* The propertyNames of all schemas, merged like conditions on any text. */
static err_code read_asked(struct schema *s, const struct schema_set *set, struct names *names) {
    struct schema_set sub = {0};
    struct schema_shape shape;
    err_code code = ERR_OK;
    bool any = false;
    for (size_t i = 0; i < set->n && code == ERR_OK; i++) {
        yyjson_val *asked = yyjson_obj_get(set->items[i].v, "propertyNames");
        any = any || asked != NULL;
        if (asked != NULL) code = schema_add(s, &sub, asked);
    }
    if (!any || code != ERR_OK) return code;
    for (size_t i = 0; i < sub.n; i++)
        if (yyjson_obj_get(sub.items[i].v, "anyOf") != NULL || yyjson_obj_get(sub.items[i].v, "oneOf") != NULL)
            return schema_leave_out(s, sub.items[i].v, "\"propertyNames\" with alternatives cannot be expressed");
    schema_shape_prune(&sub);
    if (sub.never) { /* no name is allowed */
        names->asked.list[names->asked.n++] = (struct regex_part){.text = mem_strdup("\"\\x00\"")};
        return ERR_OK;
    }
    if ((code = schema_shape_make(s, &sub, &shape)) != ERR_OK) return code;
    code = schema_write_string_parts(s, &sub, &shape, &names->asked);
    schema_shape_done(&shape);
    return code;
}

/* ---- undeclared names ---- */

static uint32_t char_at(const char *text, size_t at, size_t *ret_next) {
    const unsigned char *s = (const unsigned char *)text + at;
    int more = *s >= 0xF0 ? 3 : *s >= 0xE0 ? 2 : *s >= 0xC0 ? 1 : 0;
    uint32_t v = more == 0 ? *s : *s & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) v = (v << 6) | (s[i] & 0x3F);
    *ret_next = at + (size_t)more + 1;
    return v;
}

/* Writes the rule for what may follow the first `at` bytes, which the names first..end share; the names are sorted. */
static err_code write_names(struct schema *s, const struct schema_property *const *first, const struct schema_property *const *end,
                            size_t at, unsigned *ret) {
    struct charset others = {0};
    struct buf out;
    bool ends_here = false;
    buf_init(&out, GBNF_MAX_TEXT);
    err_code code = schema_extra(s, ret);
    if (code == ERR_OK && at > 256)
        code = schema_fail(s, ERR_LIMIT, s->root, "a property's name longer than 256 bytes beside additional ones");
    while (first < end && code == ERR_OK) {
        if ((*first)->len == at) {
            ends_here = true;
            first++;
            continue;
        }
        size_t next, ignored;
        uint32_t c = char_at((*first)->name, at, &next);
        const struct schema_property *const *same = first + 1;
        while (same < end && (*same)->len > at && char_at((*same)->name, at, &ignored) == c) same++;
        unsigned deeper;
        code = write_names(s, first, same, next, &deeper);
        struct charset one = {0};
        charset_add(&one, c, c);
        charset_write(&one, &out);
        buf_printf(&out, " x%u | ", deeper);
        charset_add(&others, c, c);
        first = same;
    }
    charset_sort(&others);
    charset_invert(&others);
    if (others.full && code == ERR_OK)
        code = schema_fail(s, ERR_LIMIT, s->root, "too many different names of properties beside additional ones");
    charset_write(&others, &out);
    buf_printf(&out, " char* \"\\\"\"%s", ends_here ? "" : " | \"\\\"\"");
    if (code == ERR_OK) buf_printf(&s->text, "x%u ::= %s\n", *ret, buf_cstr(&out));
    buf_done(&out);
    return code;
}

static int by_name(const void *a, const void *b) {
    const struct schema_property *x = *(const struct schema_property *const *)a, *y = *(const struct schema_property *const *)b;
    int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* ---- together ---- */

static err_code write_undeclared(struct schema *s, const struct schema_properties *p, unsigned *ret) {
    const struct schema_property **sorted = mem_calloc(p->n, sizeof(*sorted));
    for (size_t i = 0; i < p->n; i++) sorted[i] = &p->list[i];
    qsort(sorted, p->n, sizeof(*sorted), by_name);
    err_code code = write_names(s, sorted, sorted + p->n, 0, ret);
    free(sorted);
    return code;
}

static char *declared_text(const struct schema_properties *p) {
    struct buf out;
    size_t len;
    buf_init(&out, GBNF_MAX_TEXT);
    for (size_t i = 0; i < p->n; i++) {
        buf_append_str(&out, i > 0 ? " | " : "(");
        schema_write_inside(&out, p->list[i].name, p->list[i].len);
    }
    buf_append_str(&out, ")");
    buf_cstr(&out);
    return (char *)buf_detach(&out, &len);
}

static void add_all(struct regex_parts *to, const struct regex_parts *from, bool negated) {
    for (size_t i = 0; i < from->n && to->n < REGEX_MAX_PARTS; i++) {
        to->list[to->n] = from->list[i]; /* borrowed */
        to->list[to->n++].negated ^= negated;
    }
}

/* Writes the names that match the patterns of `which` (a bit for each) and no others. A pattern of several parts can't be negated: then
 * the grammar allows more than it should. */
static err_code write_matching(struct schema *s, yyjson_val *at, const struct schema_properties *p, const struct names *names,
                               unsigned which, unsigned *ret, bool *ret_any) {
    struct regex_parts parts = {0};
    char *declared = p->n > 0 ? declared_text(p) : NULL, any[] = "char*";
    bool more = false;
    parts.list[parts.n++] = (struct regex_part){.text = any};
    add_all(&parts, &names->asked, false);
    for (size_t i = 0; i < names->n; i++) {
        bool matches = (which >> i & 1) != 0;
        if (!matches && names->list[i].parts.n != 1) more = true;
        else add_all(&parts, &names->list[i].parts, !matches);
    }
    if (declared != NULL && parts.n < REGEX_MAX_PARTS) parts.list[parts.n++] = (struct regex_part){.text = declared, .negated = true};
    else more = more || declared != NULL;
    more = more || parts.n == REGEX_MAX_PARTS;
    err_code code = schema_extra(s, ret);
    if (code == ERR_OK) code = schema_write_product(s, parts.list, parts.n, "", *ret, ret_any);
    if (code == ERR_OK && more) code = schema_leave_out(s, at, "which names \"patternProperties\" leave over cannot be expressed");
    free(declared);
    return code;
}

static void write_member(struct buf *out, const char *name, int value) {
    buf_printf(out, "%s%s \":\" ws s%d", out->len > 1 ? " | " : "", name, value);
}

/* Writes one kind of undeclared names, with their values. */
static err_code write_kind(struct schema *s, yyjson_val *at, const struct schema_properties *p, const struct names *names, unsigned which,
                           int value, struct buf *out) {
    char name[40];
    unsigned number = 0;
    bool any = false;
    err_code code = write_matching(s, at, p, names, which, &number, &any);
    if (code == ERR_LIMIT && s->loose) { /* any name */
        write_member(out, "string", value);
        return schema_leave_out(s, at, "the names of properties are too much for a grammar");
    }
    snprintf(name, sizeof(name), "\"\\\"\" p%u-0 \"\\\"\"", number);
    if (code == ERR_OK && any) write_member(out, name, value);
    return code;
}

/* Writes the names that match these patterns, with a value that fits all their schemas. */
static err_code write_pattern(struct schema *s, yyjson_val *at, const struct schema_properties *p, const struct names *names,
                              unsigned which, struct buf *out) {
    struct schema_set sub = {0};
    int value = SCHEMA_NEVER;
    err_code code = ERR_OK;
    for (size_t i = 0; i < names->n && code == ERR_OK; i++) {
        if ((which >> i & 1) == 0) continue;
        if (names->list[i].parts.n == 0) return ERR_OK;
        code = schema_add(s, &sub, names->list[i].schema);
    }
    if (code == ERR_OK) code = schema_compile(s, &sub, &value);
    return code == ERR_OK && value != SCHEMA_NEVER ? write_kind(s, at, p, names, which, value, out) : code;
}

err_code schema_write_others(struct schema *s, const struct schema_set *set, const struct schema_properties *p, struct buf *out) {
    struct names names = {0};
    yyjson_val *at = set->n > 0 ? set->items[0].v : s->root;
    char name[40] = "string";
    unsigned number = 0;
    err_code code = read_asked(s, set, &names);
    for (size_t i = 0; i < set->n && code == ERR_OK; i++) code = read_patterns(s, set->items[i].v, &names);
    buf_append_byte(out, '(');
    for (unsigned which = 1; which < 1u << names.n && code == ERR_OK; which++) {
        if (names.n > MAX_OVERLAPS && (which & (which - 1)) != 0) continue; /* leaving these names out allows less */
        code = write_pattern(s, at, p, &names, which, out);
    }
    if (code == ERR_OK && p->additional != SCHEMA_NEVER) {
        if (names.n > 0 || names.asked.n > 0) {
            code = write_kind(s, at, p, &names, 0, p->additional, out);
        } else {
            if (p->n > 0) code = write_undeclared(s, p, &number);
            if (p->n > 0) snprintf(name, sizeof(name), "\"\\\"\" x%u", number);
            write_member(out, name, p->additional);
        }
    }
    buf_append_byte(out, ')');
    if (out->len == 2) buf_clear(out);
    names_done(&names);
    return code;
}
