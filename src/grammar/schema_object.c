/* SPDX-License-Identifier: MIT
 * Objects and arrays. See schema_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

/* ---- properties ---- */

static struct schema_property *property_named(struct schema_properties *p, const char *name, size_t len) {
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].len == len && memcmp(p->list[i].name, name, len) == 0) return &p->list[i];
    return NULL;
}

static err_code note_property(struct schema *s, struct schema_properties *p, yyjson_val *at, yyjson_val *name, bool required) {
    const char *text = yyjson_get_str(name);
    size_t len = yyjson_get_len(name);
    struct schema_property *found = property_named(p, text, len);
    err_code code = schema_work(s, p->n);
    if (code != ERR_OK) return code;
    if (found == NULL) {
        if (p->n == SCHEMA_MAX_PROPERTIES) return schema_fail(s, ERR_LIMIT, at, "\"properties\": more than %d", SCHEMA_MAX_PROPERTIES);
        found = &p->list[p->n++];
        *found = (struct schema_property){.name = text, .len = len};
    }
    found->required = found->required || required;
    return ERR_OK;
}

static err_code list_properties(struct schema *s, const struct schema_set *set, struct schema_properties *p) {
    size_t at, n;
    yyjson_val *key, *value;
    err_code code = ERR_OK;
    for (size_t i = 0; i < set->n; i++) {
        yyjson_val *v = set->items[i].v, *properties = yyjson_obj_get(v, "properties");
        if (properties != NULL && !yyjson_is_obj(properties)) return schema_fail(s, ERR_INVALID, v, "\"properties\": expected an object");
        yyjson_obj_foreach(json_some(properties), at, n, key, value) if (code == ERR_OK) code = note_property(s, p, v, key, false);
    }
    for (size_t i = 0; i < set->n; i++) {
        yyjson_val *v = set->items[i].v, *required = yyjson_obj_get(v, "required");
        if (required != NULL && !yyjson_is_arr(required)) return schema_fail(s, ERR_INVALID, v, "\"required\": expected an array");
        yyjson_arr_foreach(json_some(required), at, n, value) {
            if (!yyjson_is_str(value)) return schema_fail(s, ERR_INVALID, v, "\"required\": expected strings");
            if (code == ERR_OK) code = note_property(s, p, v, value, true);
        }
    }
    return code;
}

/* The schemas for the property `name`; NULL: for all undeclared ones. *ret_spoken: some schema has a condition on it. */
static err_code property_set(struct schema *s, const struct schema_set *set, const struct schema_property *name, struct schema_set *ret,
                             bool *ret_spoken) {
    err_code code = ERR_OK;
    *ret = (struct schema_set){0};
    *ret_spoken = false;
    for (size_t i = 0; i < set->n && code == ERR_OK; i++) {
        yyjson_val *v = set->items[i].v;
        yyjson_val *own = name != NULL ? yyjson_obj_getn(yyjson_obj_get(v, "properties"), name->name, name->len) : NULL;
        bool matched = false;
        if (name != NULL) code = schema_write_matching_schemas(s, v, name, ret, &matched);
        if (own == NULL && !matched) own = yyjson_obj_get(v, "additionalProperties");
        *ret_spoken = *ret_spoken || own != NULL;
        if (own != NULL && code == ERR_OK) code = schema_add(s, ret, own);
    }
    return code;
}

static bool declares_any(const struct schema_set *set) {
    for (size_t i = 0; i < set->n; i++)
        if (yyjson_obj_size(yyjson_obj_get(set->items[i].v, "properties")) > 0 ||
            yyjson_obj_size(yyjson_obj_get(set->items[i].v, "patternProperties")) > 0)
            return true;
    return false;
}

static err_code compile_properties(struct schema *s, const struct schema_set *set, struct schema_properties *p) {
    err_code code = list_properties(s, set, p);
    struct schema_set sub;
    bool spoken;
    for (size_t i = 0; i < p->n && code == ERR_OK; i++) {
        code = property_set(s, set, &p->list[i], &sub, &spoken);
        if (code == ERR_OK) code = schema_compile(s, &sub, &p->list[i].rule);
    }
    if (code == ERR_OK) code = property_set(s, set, NULL, &sub, &spoken);
    if (code != ERR_OK) return code;
    p->additional = SCHEMA_NEVER;
    if (!spoken && s->closed && declares_any(set) && !schema_shape_opens(set)) return ERR_OK;
    return schema_compile(s, &sub, &p->additional);
}

/* ---- objects ---- */

static void write_property(struct buf *out, const struct schema_property *p) {
    schema_write_name(out, p->name, p->len);
    buf_printf(out, " \":\" ws s%d", p->rule);
}

/* Writes a rule for each index in the list: the properties from there on, each with the comma before it. */
static err_code write_rests(struct schema *s, const struct schema_properties *p, const char *additional, unsigned *rests) {
    err_code code = schema_extra(s, &rests[p->n]);
    if (code != ERR_OK) return code;
    if (*additional != '\0') buf_printf(&s->text, "x%u ::= (\",\" ws %s)*\n", rests[p->n], additional);
    else buf_printf(&s->text, "x%u ::= \"\"\n", rests[p->n]);
    for (size_t i = p->n; i-- > 0;) {
        if (p->list[i].rule == SCHEMA_NEVER) {
            rests[i] = rests[i + 1];
            continue;
        }
        if ((code = schema_extra(s, &rests[i])) != ERR_OK) return code;
        buf_printf(&s->text, "x%u ::= (\",\" ws ", rests[i]);
        write_property(&s->text, &p->list[i]);
        buf_printf(&s->text, ")%s x%u\n", p->list[i].required ? "" : "?", rests[i + 1]);
    }
    return ERR_OK;
}

/* Writes every possible first property: those up to the first that is required. */
static void write_members(const struct schema_properties *p, const unsigned *rests, const char *additional, bool may_be_empty,
                          struct buf *out) {
    bool any = false, required = false;
    buf_append_str(out, "\"{\" ws ((");
    for (size_t i = 0; i < p->n && !required; i++) {
        if (p->list[i].rule == SCHEMA_NEVER) continue;
        if (any) buf_append_str(out, " | ");
        write_property(out, &p->list[i]);
        buf_printf(out, " x%u", rests[i + 1]);
        any = true;
        required = p->list[i].required;
    }
    if (!required && *additional != '\0') {
        if (any) buf_append_str(out, " | ");
        buf_printf(out, "%s x%u", additional, rests[p->n]);
        any = true;
    }
    if (!any) {
        out->len -= 2; /* the parentheses */
        buf_append_str(out, "\"}\"");
        return;
    }
    buf_printf(out, ") ws)%s \"}\"", !required && may_be_empty ? "?" : "");
}

/* Repeats the element before it from min to max times. */
static void write_times(struct buf *out, uint64_t min, uint64_t max) {
    unsigned least = min > GBNF_MAX_REPEAT ? GBNF_MAX_REPEAT : (unsigned)min;
    if (max >= GBNF_MAX_REPEAT) buf_printf(out, "{%u,}", least);
    else buf_printf(out, "{%u,%u}", least, (unsigned)max);
}

/* Writes an object whose properties are all additional, so that they can be counted. */
static err_code write_counted(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, const char *additional,
                              struct buf *out, bool *ret_any) {
    uint64_t min = shape->min_properties, max = *additional != '\0' ? shape->max_properties : 0;
    if (min > max) return ERR_OK;
    *ret_any = true;
    (void)s, (void)set;
    if (max == 0) {
        buf_append_str(out, "\"{\" ws \"}\"");
        return ERR_OK;
    }
    buf_append_str(out, "\"{\" ws (");
    buf_append_str(out, additional);
    buf_append_str(out, " (\",\" ws ");
    buf_append_str(out, additional);
    buf_append_byte(out, ')');
    write_times(out, min > 0 ? min - 1 : 0, max != UINT64_MAX ? max - 1 : max);
    buf_printf(out, " ws)%s \"}\"", min == 0 ? "?" : "");
    return ERR_OK;
}

/* minProperties and maxProperties beside declared properties: expressed only if they are already fulfilled, or require one property. */
static err_code check_counts(struct schema *s, const struct schema_set *set, const struct schema_shape *shape,
                             const struct schema_properties *p, bool others) {
    uint64_t required = 0, most = others ? UINT64_MAX : 0;
    for (size_t i = 0; i < p->n; i++) {
        required += p->list[i].required;
        if (!others && p->list[i].rule != SCHEMA_NEVER) most++;
    }
    if (shape->min_properties > required && shape->min_properties > 1)
        return schema_leave_out(s, set->items[0].v, "\"minProperties\" beside \"properties\" cannot be expressed");
    if (shape->max_properties < most)
        return schema_leave_out(s, set->items[0].v, "\"maxProperties\" beside \"properties\" cannot be expressed");
    return ERR_OK;
}

static err_code write_declared(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape,
                               const struct schema_properties *p, const char *additional, struct buf *out, bool *ret_any) {
    err_code code = check_counts(s, set, shape, p, *additional != '\0');
    unsigned *rests = mem_calloc(p->n + 1, sizeof(*rests));
    bool possible = *additional != '\0', may_be_empty = shape->min_properties == 0;
    for (size_t i = 0; i < p->n; i++) {
        possible = possible || p->list[i].rule != SCHEMA_NEVER;
        if (p->list[i].required) schema_need(s, rule, p->list[i].rule);
    }
    if (code == ERR_OK && (possible || may_be_empty)) {
        *ret_any = true;
        code = write_rests(s, p, additional, rests);
        struct buf members;
        buf_init(&members, GBNF_MAX_TEXT);
        if (code == ERR_OK) write_members(p, rests, additional, may_be_empty, &members);
        buf_append(out, members.data, members.len);
        out->failed = out->failed || members.failed;
        buf_done(&members);
    }
    free(rests);
    return code;
}

err_code schema_write_object(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any) {
    struct schema_properties p = {.list = mem_calloc(SCHEMA_MAX_PROPERTIES, sizeof(*p.list))};
    struct buf additional;
    bool impossible = false;
    buf_init(&additional, GBNF_MAX_TEXT);
    err_code code = compile_properties(s, set, &p);
    for (size_t i = 0; i < p.n && code == ERR_OK; i++) impossible = impossible || (p.list[i].required && p.list[i].rule == SCHEMA_NEVER);
    if (code == ERR_OK && !impossible) {
        code = schema_write_others(s, set, &p, &additional);
        if (code == ERR_OK && p.n == 0) code = write_counted(s, set, shape, buf_cstr(&additional), out, ret_any);
        else if (code == ERR_OK) code = write_declared(s, rule, set, shape, &p, buf_cstr(&additional), out, ret_any);
    }
    buf_done(&additional);
    free(p.list);
    return code;
}

/* ---- arrays ---- */

/* The schema of the item at index i; draft 7 has the tuple in `items`. NULL: any value. */
static yyjson_val *item_schema(yyjson_val *v, size_t i) {
    yyjson_val *items = yyjson_obj_get(v, "items"), *prefix = yyjson_obj_get(v, "prefixItems");
    bool draft7 = prefix == NULL && yyjson_is_arr(items);
    if (draft7) {
        prefix = items;
        items = yyjson_obj_get(v, "additionalItems");
    }
    return i < yyjson_arr_size(prefix) ? yyjson_arr_get(prefix, i) : items;
}

static size_t prefix_length(yyjson_val *v) {
    yyjson_val *items = yyjson_obj_get(v, "items"), *prefix = yyjson_obj_get(v, "prefixItems");
    return prefix != NULL ? yyjson_arr_size(prefix) : yyjson_arr_size(items);
}

static err_code compile_place(struct schema *s, const struct schema_set *set, size_t i, int *ret) {
    struct schema_set sub = {0};
    err_code code = ERR_OK;
    for (size_t k = 0; k < set->n && code == ERR_OK; k++) {
        yyjson_val *v = item_schema(set->items[k].v, i);
        if (v != NULL) code = schema_add(s, &sub, v);
    }
    return code == ERR_OK ? schema_compile(s, &sub, ret) : code;
}

/* Writes rules for the indices from the last of the tuple to the second, each with the comma before it and the items after it. */
static err_code write_tuple(struct schema *s, const int *places, size_t n, const struct schema_shape *shape, int rest, struct buf *out) {
    unsigned rule, next = 0;
    err_code code = schema_extra(s, &rule);
    if (code != ERR_OK) return code;
    uint64_t min = shape->min_items > n ? shape->min_items - n : 0;
    uint64_t max = rest == SCHEMA_NEVER ? 0 : shape->max_items == UINT64_MAX ? UINT64_MAX : shape->max_items - n;
    if (max == 0) {
        buf_printf(&s->text, "x%u ::= \"\"\n", rule);
    } else {
        buf_printf(&s->text, "x%u ::= (\",\" ws s%d)", rule, rest);
        write_times(&s->text, min, max);
        buf_append_byte(&s->text, '\n');
    }
    for (size_t i = n; i-- > 1;) {
        next = rule;
        if ((code = schema_extra(s, &rule)) != ERR_OK) return code;
        buf_printf(&s->text, "x%u ::= (\",\" ws s%d x%u)%s\n", rule, places[i], next, i < shape->min_items ? "" : "?");
    }
    buf_printf(out, "\"[\" ws (s%d x%u ws)%s \"]\"", places[0], rule, shape->min_items > 0 ? "" : "?");
    return ERR_OK;
}

static err_code write_items(struct schema *s, int rule, const int *places, size_t n, struct schema_shape *shape, int rest, struct buf *out,
                            bool *ret_any) {
    if (rest == SCHEMA_NEVER && shape->max_items > n) shape->max_items = n;
    if (shape->min_items > shape->max_items) return ERR_OK;
    *ret_any = true;
    for (size_t i = 0; i < n && i < shape->min_items; i++) schema_need(s, rule, places[i]);
    if (shape->min_items > n) schema_need(s, rule, rest);
    if (shape->max_items == 0) {
        buf_append_str(out, "\"[\" ws \"]\"");
        return ERR_OK;
    }
    if (n > 0) return write_tuple(s, places, n, shape, rest, out);
    buf_printf(out, "\"[\" ws (s%d (\",\" ws s%d)", rest, rest);
    write_times(out, shape->min_items > 0 ? shape->min_items - 1 : 0, shape->max_items == UINT64_MAX ? UINT64_MAX : shape->max_items - 1);
    buf_printf(out, " ws)%s \"]\"", shape->min_items > 0 ? "" : "?");
    return ERR_OK;
}

err_code schema_write_array(struct schema *s, int rule, const struct schema_set *set, const struct schema_shape *asked, struct buf *out,
                            bool *ret_any) {
    struct schema_shape shape = *asked;
    size_t n = 0;
    int places[256], rest = SCHEMA_NEVER;
    for (size_t i = 0; i < set->n; i++)
        if (prefix_length(set->items[i].v) > n) n = prefix_length(set->items[i].v);
    if (n > shape.max_items) n = shape.max_items;
    if (n > ARRAY_LEN(places)) return schema_fail(s, ERR_LIMIT, set->items[0].v, "\"prefixItems\": at most %zu", ARRAY_LEN(places));
    err_code code = compile_place(s, set, SIZE_MAX, &rest);
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        code = compile_place(s, set, i, &places[i]);
        if (code != ERR_OK || places[i] != SCHEMA_NEVER) continue;
        if (shape.max_items > i) shape.max_items = i; /* the array ends before an item that no value fits */
        n = i;
    }
    return code == ERR_OK ? write_items(s, rule, places, n, &shape, rest, out, ret_any) : code;
}
