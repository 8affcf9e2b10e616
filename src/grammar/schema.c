/* SPDX-License-Identifier: MIT */
#include "grammar/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

/* ---- errors ---- */

/* Appends the JSON pointer of v under `from` to path. */
static bool find_path(yyjson_val *from, yyjson_val *v, struct buf *path) {
    size_t i, n, len = path->len;
    yyjson_val *key, *value;
    if (from == v) return true;
    yyjson_obj_foreach(from, i, n, key, value) {
        buf_append_byte(path, '/');
        for (const char *c = yyjson_get_str(key); *c != '\0'; c++)
            if (*c == '~' || *c == '/') buf_printf(path, "~%d", *c == '/');
            else buf_append_byte(path, (uint8_t)*c);
        if (find_path(value, v, path)) return true;
        path->len = len;
    }
    yyjson_arr_foreach(from, i, n, value) {
        buf_printf(path, "/%zu", i);
        if (find_path(value, v, path)) return true;
        path->len = len;
    }
    return false;
}

static err_code fail_with(struct schema *s, err_code code, yyjson_val *v, const char *text) {
    struct buf path;
    buf_init(&path, SIZE_MAX - 1);
    find_path(s->root, v, &path);
    const char *place = buf_cstr(&path);
    if (path.len == 0) err_set(s->e, code, "schema: %s", text);
    else if (path.len > 100) err_set(s->e, code, "schema at \"...%s\": %s", place + path.len - 90, text);
    else err_set(s->e, code, "schema at \"%s\": %s", place, text);
    buf_done(&path);
    return code;
}

err_code schema_fail(struct schema *s, err_code code, yyjson_val *v, const char *fmt, ...) {
    char text[280];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return fail_with(s, code, v, text);
}

err_code schema_leave_out(struct schema *s, yyjson_val *v, const char *fmt, ...) {
    char text[280];
    va_list args;
    s->partial = true;
    if (s->loose) return ERR_OK;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return fail_with(s, ERR_UNSUPPORTED, v, text);
}

err_code schema_work(struct schema *s, uint64_t steps) {
    s->work += steps + 1;
    return s->work > s->max_work ? err_set(s->e, ERR_LIMIT, "schema: too complicated for a grammar") : ERR_OK;
}

err_code schema_extra(struct schema *s, unsigned *ret) {
    if (s->n_extra == SCHEMA_MAX_EXTRA)
        return err_set(s->e, ERR_LIMIT, "schema: \"properties\" or \"prefixItems\" need more than %d rules of grammar", SCHEMA_MAX_EXTRA);
    *ret = (unsigned)s->n_extra++;
    return schema_work(s, SCHEMA_WORK_RULE);
}

/* ---- sets ---- */

/* Decodes the part of a $ref after "#" (%xx); false: malformed. */
static bool decode_pointer(const char *text, struct buf *out) {
    for (; *text != '\0'; text++) {
        if (*text != '%') {
            buf_append_byte(out, (uint8_t)*text);
            continue;
        }
        char hex[3] = {text[1], text[1] != '\0' ? text[2] : '\0', '\0'}, *end;
        long c = strtol(hex, &end, 16);
        if (end != hex + 2 || c == 0) return false;
        buf_append_byte(out, (uint8_t)c);
        text += 2;
    }
    return true;
}

/* *ret NULL: it refers to nothing that can be expressed. */
static err_code resolve(struct schema *s, yyjson_val *v, yyjson_val *ref, yyjson_val **ret) {
    const char *text = yyjson_get_str(ref);
    *ret = NULL;
    if (text == NULL) return schema_fail(s, ERR_INVALID, v, "\"$ref\": expected a string");
    if (*text != '#' || (text[1] != '\0' && text[1] != '/'))
        return schema_leave_out(s, v, "\"$ref\": only places in this document (\"#/$defs/...\"), not \"%.60s\"", text);
    size_t n = yyjson_obj_size(yyjson_obj_get(s->root, "$defs")) + yyjson_obj_size(yyjson_obj_get(s->root, "definitions"));
    err_code code = schema_work(s, n / SCHEMA_WORK_KEYS);
    if (code != ERR_OK) return code;
    struct buf pointer;
    buf_init(&pointer, SIZE_MAX - 1);
    *ret = decode_pointer(text + 1, &pointer) ? yyjson_ptr_getn(s->root, buf_cstr(&pointer), pointer.len) : NULL;
    buf_done(&pointer);
    return *ret != NULL ? ERR_OK : schema_fail(s, ERR_INVALID, v, "\"$ref\": there is no \"%.60s\"", text);
}

err_code schema_add(struct schema *s, struct schema_set *set, yyjson_val *v) {
    err_code code = schema_work(s, set->n);
    if (code != ERR_OK || yyjson_is_true(v)) return code;
    if (yyjson_is_false(v)) {
        set->never = true;
        return ERR_OK;
    }
    if (!yyjson_is_obj(v)) return schema_fail(s, ERR_INVALID, v, "expected a schema: an object, true or false");
    for (size_t i = 0; i < set->n; i++) {
        if (set->items[i].v != v) continue;
        set->circular = set->circular || set->items[i].done != 0;
        return ERR_OK;
    }
    if (set->n == SCHEMA_MAX_SET && s->loose) return schema_leave_out(s, v, " ");
    if (set->n == SCHEMA_MAX_SET) return schema_fail(s, ERR_LIMIT, v, "one value has to fit more than %d schemas", SCHEMA_MAX_SET);
    if ((code = schema_work(s, yyjson_obj_size(v))) != ERR_OK || (code = schema_shape_admit(s, v)) != ERR_OK) return code;
    set->items[set->n++] = (struct schema_item){.v = v};
    yyjson_val *ref = yyjson_obj_get(v, "$ref"), *all_of = yyjson_obj_get(v, "allOf"), *target = NULL;
    if (ref != NULL) {
        if ((code = resolve(s, v, ref, &target)) == ERR_OK && target != NULL) code = schema_add(s, set, target);
        if (code != ERR_OK) return code;
    }
    if (all_of != NULL && !yyjson_is_arr(all_of)) return schema_fail(s, ERR_INVALID, v, "\"allOf\": expected an array");
    size_t i, n;
    yyjson_arr_foreach(json_some(all_of), i, n, target) if (code == ERR_OK) code = schema_add(s, set, target);
    return code;
}

/* ---- rules ---- */

static void push_need(struct schema *s, int rule, int n) {
    struct schema_rule *r = &s->rules[rule];
    if (r->n_needs == r->cap_needs) {
        r->cap_needs = r->cap_needs > 0 ? r->cap_needs * 2 : 8;
        r->needs = mem_realloc(r->needs, r->cap_needs, sizeof(*r->needs));
    }
    r->needs[r->n_needs++] = n;
}

void schema_need(struct schema *s, int rule, int needed) { push_need(s, rule, needed); }
void schema_alternative_end(struct schema *s, int rule) { push_need(s, rule, -1); }

static bool same_set(const struct schema_set *a, const struct schema_set *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t k = 0;
        while (k < b->n && (b->items[k].v != a->items[i].v || b->items[k].done != a->items[i].done)) k++;
        if (k == b->n) return false;
    }
    return true;
}

static int rule_of(const struct schema *s, const struct schema_set *set) {
    for (size_t i = 0; i < s->n_rules; i++)
        if (same_set(&s->rules[i].set, set)) return (int)i;
    return -1;
}

static err_code add_rule(struct schema *s, const struct schema_set *set, int *ret) {
    if (s->n_rules == SCHEMA_MAX_RULES) return err_set(s->e, ERR_LIMIT, "schema: needs more than %d rules of grammar", SCHEMA_MAX_RULES);
    if (s->n_rules == s->cap_rules) {
        s->cap_rules = s->cap_rules > 0 ? s->cap_rules * 2 : 16;
        s->rules = mem_realloc(s->rules, s->cap_rules, sizeof(*s->rules));
    }
    s->rules[s->n_rules] = (struct schema_rule){.set = *set};
    *ret = (int)s->n_rules++;
    return ERR_OK;
}

/* ---- alternatives ---- */

static err_code own_shape(struct schema *s, yyjson_val *v, struct schema_shape *ret, struct schema_set *set) {
    *set = (struct schema_set){0};
    err_code code = schema_add(s, set, v);
    return code == ERR_OK ? schema_shape_make(s, set, ret) : code;
}

static bool is_required(const struct schema_set *set, const char *name, size_t len) {
    size_t at, n;
    yyjson_val *value;
    for (size_t i = 0; i < set->n; i++)
        yyjson_arr_foreach(json_some(yyjson_obj_get(set->items[i].v, "required")), at, n,
                           value) if (yyjson_get_len(value) == len && yyjson_is_str(value) &&
                                      memcmp(yyjson_get_str(value), name, len) == 0) return true;
    return false;
}

static yyjson_val *declared(const struct schema_set *set, const char *name, size_t len) {
    for (size_t i = 0; i < set->n; i++) {
        yyjson_val *v = yyjson_obj_getn(yyjson_obj_get(set->items[i].v, "properties"), name, len);
        if (v != NULL) return v;
    }
    return NULL;
}

static bool is_closed(const struct schema *s, const struct schema_set *set) {
    bool declares = false, speaks = false;
    for (size_t i = 0; i < set->n; i++) {
        yyjson_val *v = yyjson_obj_get(set->items[i].v, "additionalProperties");
        if (yyjson_is_false(v)) return true;
        speaks = speaks || v != NULL;
        declares = declares || yyjson_obj_get(set->items[i].v, "properties") != NULL;
    }
    return s->closed && declares && !speaks && !schema_shape_opens(set);
}

/* Two objects are told apart by a property that both must have with disjoint values, or that one must have and the other can't have. */
static err_code told_apart(struct schema *s, const struct schema_set *a, const struct schema_set *b, bool *ret) {
    for (size_t i = 0; i < a->n && !*ret; i++) {
        size_t at, n;
        yyjson_val *name;
        yyjson_arr_foreach(json_some(yyjson_obj_get(a->items[i].v, "required")), at, n, name) {
            if (*ret || !yyjson_is_str(name)) continue;
            const char *text = yyjson_get_str(name);
            size_t len = yyjson_get_len(name);
            yyjson_val *x = declared(a, text, len), *y = declared(b, text, len);
            struct schema_shape one, other;
            struct schema_set ignored;
            if (y == NULL) *ret = is_closed(s, b);
            if (x == NULL || y == NULL || !is_required(b, text, len)) continue;
            err_code code = own_shape(s, x, &one, &ignored);
            if (code != ERR_OK) return code;
            code = own_shape(s, y, &other, &ignored);
            if (code == ERR_OK) {
                *ret = schema_shape_disjoint(&one, &other);
                schema_shape_done(&other);
            }
            schema_shape_done(&one);
            if (code != ERR_OK) return code;
        }
    }
    return ERR_OK;
}

static err_code are_disjoint(struct schema *s, yyjson_val *a, yyjson_val *b, bool *ret) {
    struct schema_set a_set, b_set;
    struct schema_shape a_shape, b_shape;
    *ret = yyjson_is_false(a) || yyjson_is_false(b);
    if (*ret) return ERR_OK;
    err_code code = own_shape(s, a, &a_shape, &a_set);
    if (code != ERR_OK) return code;
    if ((code = own_shape(s, b, &b_shape, &b_set)) == ERR_OK) {
        *ret = a_set.never || b_set.never || schema_shape_disjoint(&a_shape, &b_shape);
        if (!*ret && (a_shape.types & b_shape.types) == SCHEMA_OBJECT) {
            code = told_apart(s, &a_set, &b_set, ret);
            if (code == ERR_OK && !*ret) code = told_apart(s, &b_set, &a_set, ret);
        }
        schema_shape_done(&b_shape);
    }
    schema_shape_done(&a_shape);
    return code;
}

/* If branches may overlap, oneOf is treated like anyOf: a grammar can't make sure that only one fits. */
static err_code check_one_of(struct schema *s, yyjson_val *v, yyjson_val *list) {
    size_t n = yyjson_arr_size(list);
    if (n > 64) return schema_leave_out(s, v, "\"oneOf\": more than 64 branches");
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            bool disjoint = false;
            err_code code = are_disjoint(s, yyjson_arr_get(list, i), yyjson_arr_get(list, k), &disjoint);
            if (code != ERR_OK) return code;
            if (!disjoint) return schema_leave_out(s, v, "\"oneOf\": a value might fit branches %zu and %zu at once; use \"anyOf\"", i, k);
        }
    return ERR_OK;
}

/* The next item of the set whose alternatives are still to be chosen; NULL: none. */
static yyjson_val *next_alternatives(const struct schema_set *set, size_t *ret_item, unsigned *ret_flag) {
    static const struct {
        const char *name;
        unsigned flag;
    } kinds[] = {{"anyOf", SCHEMA_DID_ANY_OF}, {"oneOf", SCHEMA_DID_ONE_OF}};
    for (size_t i = 0; i < set->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            yyjson_val *list = yyjson_obj_get(set->items[i].v, kinds[k].name);
            if (list == NULL || (set->items[i].done & kinds[k].flag)) continue;
            *ret_item = i;
            *ret_flag = kinds[k].flag;
            return list;
        }
    return NULL;
}

static bool has_alternative(const struct schema_rule *r, int to) {
    for (size_t i = 0; i < r->n_needs; i++)
        if (r->needs[i] == to) return true;
    return false;
}

static err_code write_branches(struct schema *s, int rule, const struct schema_set *set, yyjson_val *list, size_t item, unsigned flag,
                               struct buf *out, bool *ret_any) {
    yyjson_val *branch, *v = set->items[item].v;
    size_t i, n;
    const char *keyword = flag == SCHEMA_DID_ONE_OF ? "oneOf" : "anyOf";
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return schema_fail(s, ERR_INVALID, v, "\"%s\": expected schemas in an array", keyword);
    err_code code = flag == SCHEMA_DID_ONE_OF ? check_one_of(s, v, list) : ERR_OK;
    yyjson_arr_foreach(json_some(list), i, n, branch) {
        struct schema_set sub = *set;
        int to = SCHEMA_NEVER;
        sub.items[item].done |= flag;
        if (code == ERR_OK) code = schema_add(s, &sub, branch);
        if (code == ERR_OK && sub.circular) continue; /* a value that fits by this branch also fits by another one */
        if (code == ERR_OK) code = schema_compile(s, &sub, &to);
        if (code != ERR_OK) return code;
        if (to == SCHEMA_NEVER || has_alternative(&s->rules[rule], to)) continue;
        buf_printf(out, "%ss%d", *ret_any ? " | " : "", to);
        schema_need(s, rule, to);
        schema_alternative_end(s, rule);
        *ret_any = true;
    }
    return code;
}

/* ---- compiling ---- */

static err_code write_rule(struct schema *s, int rule, const struct schema_set *set, bool *ret_any) {
    struct buf out;
    size_t item;
    unsigned flag;
    buf_init(&out, GBNF_MAX_TEXT);
    yyjson_val *list = next_alternatives(set, &item, &flag);
    err_code code;
    *ret_any = false;
    s->rules[rule].branches = list != NULL && s->depth <= s->max_depth;
    if (list != NULL && s->depth > s->max_depth) {
        s->partial = *ret_any = true;
        buf_append_str(&out, "value");
        schema_alternative_end(s, rule);
        code = ERR_OK;
    } else if (list != NULL) {
        code = write_branches(s, rule, set, list, item, flag, &out, ret_any);
    } else {
        struct schema_shape shape;
        code = schema_shape_make(s, set, &shape);
        if (code == ERR_OK) {
            if (s->depth > s->max_depth) schema_write_types(s, rule, &shape, &out, ret_any);
            else code = schema_write_shape(s, rule, set, &shape, &out, ret_any);
            schema_shape_done(&shape);
        }
    }
    if (code == ERR_OK) code = schema_work(s, out.len / SCHEMA_WORK_TEXT);
    if (code == ERR_OK && *ret_any) {
        buf_printf(&s->text, "s%d ::= ", rule);
        buf_append(&s->text, out.data, out.len);
        buf_append_byte(&s->text, '\n');
    }
    if (code == ERR_OK && (out.failed || s->text.failed)) {
        yyjson_val *at = set->n > 0 ? set->items[0].v : s->root;
        bool listed = yyjson_obj_get(at, "enum") != NULL;
        code = schema_fail(s, ERR_LIMIT, at, "%sthe grammar is longer than %d bytes", listed ? "\"enum\": " : "", GBNF_MAX_TEXT);
    }
    buf_done(&out);
    return code;
}

err_code schema_compile(struct schema *s, struct schema_set *set, int *ret_rule) {
    *ret_rule = SCHEMA_NEVER;
    if (set->never) return ERR_OK;
    schema_shape_prune(set);
    err_code code = schema_work(s, s->n_rules / 16);
    if (code != ERR_OK) return code;
    int rule = rule_of(s, set);
    if (rule >= 0) {
        struct schema_rule *r = &s->rules[rule];
        r->used_early = r->used_early || !r->complete;
        if (!r->never) *ret_rule = rule;
        return ERR_OK;
    }
    if ((code = add_rule(s, set, &rule)) != ERR_OK) return code;
    if (s->depth == SCHEMA_MAX_DEPTH)
        return schema_fail(s, ERR_LIMIT, set->n > 0 ? set->items[0].v : s->root, "schemas nest deeper than %d", SCHEMA_MAX_DEPTH);
    s->depth++;
    bool any = false;
    code = write_rule(s, rule, set, &any);
    s->depth--;
    if (code != ERR_OK) return code;
    s->rules[rule].complete = true;
    s->rules[rule].never = !any;
    if (any) *ret_rule = rule;
    return ERR_OK;
}

/* Does one of the rule's alternatives need only rules that are known to end? */
static bool comes_to_an_end(const struct schema *s, const struct schema_rule *r) {
    bool ends = true;
    for (size_t i = 0; i < r->n_needs; i++) {
        if (r->needs[i] >= 0) {
            ends = ends && s->rules[r->needs[i]].productive;
            continue;
        }
        if (ends) return true;
        ends = true;
    }
    return false;
}

/* A schema that is one of its own alternatives, directly or in a circle, has no condition that a grammar can say. */
static err_code check_circles(struct schema *s, int rule) {
    struct schema_rule *r = &s->rules[rule];
    if (r->visited || !r->branches) return ERR_OK;
    if (r->visiting)
        return schema_fail(s, ERR_INVALID, r->set.n > 0 ? r->set.items[0].v : s->root, "\"$ref\": the schema is its own alternative");
    r->visiting = true;
    err_code code = ERR_OK;
    for (size_t i = 0; i < r->n_needs && code == ERR_OK; i++)
        if (r->needs[i] >= 0) code = check_circles(s, r->needs[i]);
    r->visited = true;
    return code;
}

/* A rule that can only call itself for ever would let the model begin a value that it can't finish. */
static err_code check_ends(struct schema *s) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < s->n_rules; i++) {
            struct schema_rule *r = &s->rules[i];
            if (r->productive || !comes_to_an_end(s, r)) continue;
            r->productive = changed = true;
        }
    }
    for (size_t i = 0; i < s->n_rules; i++) {
        const struct schema_rule *r = &s->rules[i];
        if (r->productive || (r->never && !r->used_early)) continue;
        return schema_fail(s, ERR_INVALID, r->set.n > 0 ? r->set.items[0].v : s->root, "no finite value fits: it contains itself for ever");
    }
    return ERR_OK;
}

static void schema_done(struct schema *s) {
    for (size_t i = 0; i < s->n_rules; i++) free(s->rules[i].needs);
    free(s->rules);
    buf_done(&s->text);
}

static err_code compile_document(struct schema *s, struct buf *out) {
    struct schema_set set = {0};
    int root = SCHEMA_NEVER;
    buf_init(&s->text, GBNF_MAX_TEXT);
    err_code code = schema_add(s, &set, s->root);
    if (code == ERR_OK) code = schema_compile(s, &set, &root);
    if (code == ERR_OK && root == SCHEMA_NEVER) code = err_set(s->e, ERR_INVALID, "schema: nothing fits it");
    for (size_t i = 0; i < s->n_rules && code == ERR_OK; i++) code = check_circles(s, (int)i);
    if (code == ERR_OK) code = check_ends(s);
    if (code != ERR_OK) return code;
    buf_printf(&s->text, "root ::= s%d\n", root);
    schema_write_generic(&s->text);
    if (s->text.failed || !buf_reserve(out, s->text.len))
        return err_set(s->e, ERR_LIMIT, "schema: the grammar is longer than %d bytes", GBNF_MAX_TEXT);
    buf_append(out, s->text.data, s->text.len);
    return ERR_OK;
}

/* If the whole is too large, tries less and less of it: only one condition on each text, then only the upper levels. */
err_code schema_to_gbnf(yyjson_val *schema, const struct schema_options *options, struct buf *out, struct err *e) {
    static const struct {
        size_t max_depth;
        bool simple;
    } tries[] = {{SIZE_MAX, false}, {SIZE_MAX, true}, {7, true}, {4, true}, {2, true}, {0, true}};
    uint64_t budget = options->budget != NULL ? *options->budget : SCHEMA_BUDGET;
    err_code code = ERR_LIMIT;
    bool loose = options->ret_partial != NULL;
    for (size_t i = 0; code == ERR_LIMIT && i < (loose ? ARRAY_LEN(tries) : 1); i++) {
        uint64_t most = i == 0 ? SCHEMA_MAX_WORK : SCHEMA_MAX_WORK / 4;
        struct schema s = {.root = schema,
                           .closed = options->closed,
                           .loose = loose,
                           .simple = tries[i].simple,
                           .max_depth = tries[i].max_depth,
                           .max_work = budget < most ? budget : most,
                           .e = e};
        code = compile_document(&s, out);
        if (i > 0) s.partial = true;
        if (loose) *options->ret_partial = s.partial;
        if (options->budget != NULL || loose) budget = budget > s.work ? budget - s.work : 0;
        schema_done(&s);
    }
    if (options->budget != NULL) *options->budget = budget;
    return code;
}

void schema_any_object(struct buf *out) {
    buf_append_str(out, "root ::= object\n");
    schema_write_generic(out);
}
