/* SPDX-License-Identifier: MIT
 * Merges the keywords of a set of schemas into one shape. See schema_priv.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/check.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"

/* ---- values ---- */

unsigned schema_shape_type_of(yyjson_val *value) {
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_NULL: return SCHEMA_NULL;
    case YYJSON_TYPE_BOOL: return SCHEMA_BOOLEAN;
    case YYJSON_TYPE_STR: return SCHEMA_STRING;
    case YYJSON_TYPE_ARR: return SCHEMA_ARRAY;
    case YYJSON_TYPE_OBJ: return SCHEMA_OBJECT;
    default: return yyjson_is_int(value) || floor(yyjson_get_num(value)) == yyjson_get_num(value) ? SCHEMA_WHOLE : SCHEMA_DECIMAL;
    }
}

/* ---- keywords ---- */

/* HIDDEN: no grammar can say it. OPENS: also, it may have conditions on properties that the schema doesn't declare. */
enum keyword_use { READ, HIDDEN, OPENS };

/* Keywords with conditions on values, and the types that they are about. All others are annotations (or, like `then`, mean nothing
 * without one of these). */
static const struct keyword {
    const char *name;
    enum keyword_use use;
    unsigned about;
} keywords[] = {
    {"type", READ, 0},
    {"nullable", READ, 0},
    {"enum", READ, 0},
    {"const", READ, 0},
    {"$ref", READ, 0},
    {"allOf", READ, 0},
    {"anyOf", READ, 0},
    {"oneOf", READ, 0},
    {"properties", READ, SCHEMA_OBJECT},
    {"required", READ, SCHEMA_OBJECT},
    {"additionalProperties", READ, SCHEMA_OBJECT},
    {"minProperties", READ, SCHEMA_OBJECT},
    {"maxProperties", READ, SCHEMA_OBJECT},
    {"items", READ, SCHEMA_ARRAY},
    {"prefixItems", READ, SCHEMA_ARRAY},
    {"additionalItems", READ, SCHEMA_ARRAY},
    {"minItems", READ, SCHEMA_ARRAY},
    {"maxItems", READ, SCHEMA_ARRAY},
    {"minLength", READ, SCHEMA_STRING},
    {"maxLength", READ, SCHEMA_STRING},
    {"pattern", READ, SCHEMA_STRING},
    {"format", READ, 0},
    {"minimum", READ, SCHEMA_NUMBER},
    {"maximum", READ, SCHEMA_NUMBER},
    {"exclusiveMinimum", READ, SCHEMA_NUMBER},
    {"exclusiveMaximum", READ, SCHEMA_NUMBER},
    {"multipleOf", READ, SCHEMA_NUMBER},
    {"divisibleBy", READ, SCHEMA_NUMBER},
    {"propertyNames", READ, SCHEMA_OBJECT},
    {"patternProperties", READ, SCHEMA_OBJECT},
    {"not", HIDDEN, 0},
    {"if", OPENS, 0},
    {"dependentSchemas", OPENS, SCHEMA_OBJECT},
    {"dependentRequired", OPENS, SCHEMA_OBJECT},
    {"dependencies", OPENS, SCHEMA_OBJECT},
    {"unevaluatedProperties", OPENS, SCHEMA_OBJECT},
    {"unevaluatedItems", HIDDEN, SCHEMA_ARRAY},
    {"contains", HIDDEN, SCHEMA_ARRAY},
    {"$dynamicRef", OPENS, 0},
    {"$recursiveRef", OPENS, 0},
    {"disallow", HIDDEN, 0},
    {"extends", OPENS, 0},
};

static const struct keyword *keyword_named(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0) return &keywords[i];
    return NULL;
}

bool schema_shape_speaks_of(const struct schema_set *set, unsigned types, const char **ret_keyword) {
    for (size_t i = 0; i < set->n; i++) {
        size_t at, n;
        yyjson_val *key, *value;
        yyjson_obj_foreach(set->items[i].v, at, n, key, value) {
            const struct keyword *k = keyword_named(yyjson_get_str(key));
            if (k == NULL || !(k->about & types)) continue;
            *ret_keyword = k->name;
            return true;
        }
    }
    return false;
}

static bool asks_something(const struct schema_item *item) {
    static const struct {
        const char *name;
        unsigned done;
    } passed_on[] = {
        {"$ref", ~0u},
        {"allOf", ~0u},
        {"anyOf", SCHEMA_DID_ANY_OF},
        {"oneOf", SCHEMA_DID_ONE_OF},
    };
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(item->v, i, n, key, value) {
        bool asks = keyword_named(yyjson_get_str(key)) != NULL;
        for (size_t k = 0; k < ARRAY_LEN(passed_on) && asks; k++)
            asks = !yyjson_equals_str(key, passed_on[k].name) || !(passed_on[k].done == ~0u || (item->done & passed_on[k].done));
        if (asks) return true;
    }
    return false;
}

void schema_shape_prune(struct schema_set *set) {
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++)
        if (asks_something(&set->items[i])) set->items[kept++] = set->items[i];
    set->n = kept;
}

err_code schema_shape_admit(struct schema *s, yyjson_val *v) {
    size_t i, n;
    yyjson_val *key, *value;
    err_code code = ERR_OK;
    yyjson_obj_foreach(v, i, n, key, value) {
        const char *name = yyjson_get_str(key);
        const struct keyword *k = keyword_named(name);
        bool hidden = (k != NULL && k->use != READ) || (strcmp(name, "uniqueItems") == 0 && !yyjson_is_false(value));
        if (hidden && code == ERR_OK) code = schema_leave_out(s, v, "\"%s\" cannot be expressed in a grammar", name);
        if (strcmp(name, "$id") == 0 && v != s->root && yyjson_get_str(value) != NULL && yyjson_get_str(value)[0] != '#' && code == ERR_OK)
            code = schema_leave_out(s, v, "\"$id\" inside a schema (it would change what \"$ref\" means) is not followed");
    }
    return code;
}

bool schema_shape_opens(const struct schema_set *set) {
    size_t at, n;
    yyjson_val *key, *value;
    for (size_t i = 0; i < set->n; i++) yyjson_obj_foreach(set->items[i].v, at, n, key, value) {
            const struct keyword *k = keyword_named(yyjson_get_str(key));
            if (k != NULL && k->use == OPENS && !yyjson_is_false(value)) return true;
        }
    return false;
}

static err_code read_type_name(struct schema *s, yyjson_val *at, yyjson_val *name, unsigned *types) {
    static const struct {
        const char *name;
        unsigned type;
    } names[] = {
        {"null", SCHEMA_NULL},     {"boolean", SCHEMA_BOOLEAN}, {"integer", SCHEMA_WHOLE}, {"number", SCHEMA_NUMBER},
        {"string", SCHEMA_STRING}, {"array", SCHEMA_ARRAY},     {"object", SCHEMA_OBJECT},
    };
    for (size_t i = 0; i < ARRAY_LEN(names) && yyjson_is_str(name); i++)
        if (yyjson_equals_str(name, names[i].name)) {
            *types |= names[i].type;
            return ERR_OK;
        }
    return schema_fail(s, ERR_INVALID, at, "\"type\": expected null, boolean, integer, number, string, array or object");
}

static err_code read_types(struct schema *s, yyjson_val *v, struct schema_shape *shape) {
    yyjson_val *type = yyjson_obj_get(v, "type"), *name;
    if (type == NULL) return ERR_OK;
    unsigned types = yyjson_is_true(yyjson_obj_get(v, "nullable")) ? SCHEMA_NULL : 0;
    size_t i, n;
    err_code code = ERR_OK;
    if (!yyjson_is_arr(type)) code = read_type_name(s, v, type, &types);
    yyjson_arr_foreach(json_some(type), i, n, name) if (code == ERR_OK) code = read_type_name(s, v, name, &types);
    shape->types &= types;
    return code;
}

/* Keeps those of the values that are in list; the first list gives all values. */
static err_code restrict_values(struct schema *s, struct schema_shape *shape, yyjson_val **list, size_t n) {
    if (!shape->listed) {
        shape->listed = true;
        shape->values = mem_calloc(n > 0 ? n : 1, sizeof(*shape->values));
        memcpy(shape->values, list, n * sizeof(*list));
        shape->n_values = n;
        return schema_work(s, n);
    }
    size_t kept = 0;
    err_code code = schema_work(s, (uint64_t)n * shape->n_values);
    for (size_t i = 0; i < shape->n_values && code == ERR_OK; i++)
        for (size_t k = 0; k < n; k++)
            if (check_equal(shape->values[i], list[k])) {
                shape->values[kept++] = shape->values[i];
                break;
            }
    shape->n_values = kept;
    return code;
}

static err_code read_values(struct schema *s, yyjson_val *v, struct schema_shape *shape) {
    yyjson_val *list = yyjson_obj_get(v, "enum"), *only = yyjson_obj_get(v, "const"), *value;
    err_code code = ERR_OK;
    if (only != NULL) code = restrict_values(s, shape, &only, 1);
    if (list == NULL || code != ERR_OK) return code;
    if (!yyjson_is_arr(list)) return schema_fail(s, ERR_INVALID, v, "\"enum\": expected an array");
    size_t i, n = yyjson_arr_size(list);
    yyjson_val **values = mem_calloc(n > 0 ? n : 1, sizeof(*values));
    yyjson_arr_foreach(json_some(list), i, n, value) values[i] = value;
    code = restrict_values(s, shape, values, n);
    free(values);
    return code;
}

static err_code read_count(struct schema *s, yyjson_val *v, const char *key, bool is_max, uint64_t *ret) {
    yyjson_val *value = yyjson_obj_get(v, key);
    if (value == NULL) return ERR_OK;
    double d = yyjson_get_num(value);
    if (!yyjson_is_num(value) || !(d >= 0) || d > 9e15 || d != (double)(uint64_t)d)
        return schema_fail(s, ERR_INVALID, v, "\"%s\": expected a whole number, not negative", key);
    uint64_t n = (uint64_t)d;
    if (is_max ? n < *ret : n > *ret) *ret = n;
    return ERR_OK;
}

static err_code read_bound(struct schema *s, yyjson_val *v, const char *key, bool is_max, bool exclusive, struct schema_bound *b) {
    yyjson_val *value = yyjson_obj_get(v, key);
    struct schema_decimal at;
    if (value == NULL) return ERR_OK;
    if (exclusive && yyjson_is_bool(value)) { /* before draft 6 it belonged to "minimum" */
        value = yyjson_is_true(value) ? yyjson_obj_get(v, is_max ? "maximum" : "minimum") : NULL;
        if (value == NULL) return ERR_OK;
    }
    if (!yyjson_is_num(value)) return schema_fail(s, ERR_INVALID, v, "\"%s\": expected a number", key);
    double d = yyjson_get_num(value);
    if (is_max ? d > 999999999999999999.0 : d < -999999999999999999.0) return ERR_OK; /* beyond any number that is written */
    if (!schema_shape_decimal(value, &at)) return schema_fail(s, ERR_LIMIT, v, "\"%s\": a number with too many digits", key);
    int order = b->set ? schema_shape_decimal_compare(&at, &b->at) : 0;
    if (!b->set || (is_max ? order < 0 : order > 0)) *b = (struct schema_bound){.set = true, .exclusive = exclusive, .at = at};
    else if (order == 0) b->exclusive = b->exclusive || exclusive;
    return ERR_OK;
}

/* Adds a keyword's value to a list, once. */
static err_code read_one(struct schema *s, yyjson_val *v, const char *key, bool text, yyjson_val **list, size_t *n) {
    yyjson_val *value = yyjson_obj_get(v, key);
    if (value == NULL) return ERR_OK;
    if (!(text ? yyjson_is_str(value) : yyjson_is_num(value) && yyjson_get_num(value) > 0))
        return schema_fail(s, ERR_INVALID, v, "\"%s\": expected a %s", key, text ? "string" : "number above 0");
    for (size_t i = 0; i < *n; i++)
        if (check_equal(list[i], value)) return ERR_OK;
    if (*n == SCHEMA_MAX_TEXTS)
        return schema_leave_out(s, v, "more than %d of \"%s\" for one value cannot be expressed", SCHEMA_MAX_TEXTS, key);
    list[(*n)++] = value;
    return ERR_OK;
}

static err_code read_limits(struct schema *s, yyjson_val *v, struct schema_shape *shape) {
    err_code code = read_count(s, v, "minLength", false, &shape->min_length);
    if (code == ERR_OK) code = read_count(s, v, "maxLength", true, &shape->max_length);
    if (code == ERR_OK) code = read_count(s, v, "minItems", false, &shape->min_items);
    if (code == ERR_OK) code = read_count(s, v, "maxItems", true, &shape->max_items);
    if (code == ERR_OK) code = read_count(s, v, "minProperties", false, &shape->min_properties);
    if (code == ERR_OK) code = read_count(s, v, "maxProperties", true, &shape->max_properties);
    if (code == ERR_OK) code = read_bound(s, v, "minimum", false, false, &shape->low);
    if (code == ERR_OK) code = read_bound(s, v, "exclusiveMinimum", false, true, &shape->low);
    if (code == ERR_OK) code = read_bound(s, v, "maximum", true, false, &shape->high);
    if (code == ERR_OK) code = read_bound(s, v, "exclusiveMaximum", true, true, &shape->high);
    if (code == ERR_OK) code = read_one(s, v, "pattern", true, shape->patterns, &shape->n_patterns);
    if (code == ERR_OK) code = read_one(s, v, "multipleOf", false, shape->steps, &shape->n_steps);
    if (code == ERR_OK) code = read_one(s, v, "divisibleBy", false, shape->steps, &shape->n_steps);
    return code;
}

/* The types that the keywords are about; for options.closed. */
static unsigned implied_types(const struct schema_set *set) {
    unsigned types = 0;
    for (size_t i = 0; i < set->n; i++) {
        size_t at, n;
        yyjson_val *key, *value;
        yyjson_obj_foreach(set->items[i].v, at, n, key, value) {
            const struct keyword *k = keyword_named(yyjson_get_str(key));
            if (k != NULL) types |= k->about;
        }
    }
    return types != 0 ? types : SCHEMA_ANY;
}

/* Has the set more conditions on a listed value than its type? */
static bool asks_more(const struct schema_set *set) {
    size_t at, n;
    yyjson_val *key, *value;
    for (size_t i = 0; i < set->n; i++) yyjson_obj_foreach(set->items[i].v, at, n, key, value) {
            const char *name = yyjson_get_str(key);
            if (keyword_named(name) == NULL && strcmp(name, "uniqueItems") != 0) continue;
            if (strcmp(name, "type") != 0 && strcmp(name, "enum") != 0 && strcmp(name, "const") != 0 && strcmp(name, "nullable") != 0)
                return true;
        }
    return false;
}

/* Does a listed value fit all conditions? */
static err_code keep_value(struct schema *s, const struct schema_set *set, unsigned types, bool more, yyjson_val *v, bool *ret) {
    *ret = (schema_shape_type_of(v) & types) != 0;
    err_code code = ERR_OK;
    for (size_t i = 0; i < set->n && more && *ret && code == ERR_OK; i++) {
        code = schema_work(s, SCHEMA_WORK_RULE);
        enum check_verdict verdict = check_value_in(s->root, set->items[i].v, v, NULL);
        *ret = verdict != CHECK_FAILS;
        if (verdict == CHECK_UNKNOWN && code == ERR_OK)
            code = schema_leave_out(s, v, "what is asked beside listed values cannot be judged");
    }
    return code;
}

static err_code filter_values(struct schema *s, const struct schema_set *set, struct schema_shape *shape) {
    size_t kept = 0;
    bool more = asks_more(set);
    err_code code = schema_work(s, shape->n_values);
    for (size_t i = 0; i < shape->n_values && code == ERR_OK; i++) {
        bool keep = false;
        code = keep_value(s, set, shape->types, more, shape->values[i], &keep);
        if (keep) shape->values[kept++] = shape->values[i];
    }
    shape->n_values = kept;
    return code;
}

err_code schema_shape_make(struct schema *s, const struct schema_set *set, struct schema_shape *ret) {
    *ret = (struct schema_shape){.types = SCHEMA_ANY, .max_length = UINT64_MAX, .max_items = UINT64_MAX, .max_properties = UINT64_MAX};
    bool typed = false;
    err_code code = ERR_OK;
    for (size_t i = 0; i < set->n && code == ERR_OK; i++) {
        yyjson_val *v = set->items[i].v;
        typed = typed || yyjson_obj_get(v, "type") != NULL;
        code = read_types(s, v, ret);
        if (code == ERR_OK) code = read_limits(s, v, ret);
        if (code == ERR_OK) code = read_values(s, v, ret);
    }
    if (s->closed && !typed && !ret->listed) ret->types &= implied_types(set);
    for (size_t i = 0; i < set->n && code == ERR_OK; i++) /* formats of numbers ("int32") are annotations */
        if (ret->types & SCHEMA_STRING) code = read_one(s, set->items[i].v, "format", true, ret->formats, &ret->n_formats);
    if (code == ERR_OK && ret->listed) code = filter_values(s, set, ret);
    if (code != ERR_OK) schema_shape_done(ret);
    return code;
}

void schema_shape_done(struct schema_shape *shape) {
    free(shape->values);
    shape->values = NULL;
}

bool schema_shape_disjoint(const struct schema_shape *a, const struct schema_shape *b) {
    if ((a->types & b->types) == 0) return true;
    if (a->listed && b->listed) {
        for (size_t i = 0; i < a->n_values; i++)
            for (size_t k = 0; k < b->n_values; k++)
                if (check_equal(a->values[i], b->values[k])) return false;
        return true;
    }
    if (a->listed || b->listed) {
        const struct schema_shape *list = a->listed ? a : b, *other = a->listed ? b : a;
        for (size_t i = 0; i < list->n_values; i++)
            if (schema_shape_type_of(list->values[i]) & other->types) return false;
        return true;
    }
    if ((a->types & b->types) & ~(unsigned)SCHEMA_NUMBER) return false;
    for (int i = 0; i < 2; i++) {
        const struct schema_bound *high = i ? &b->high : &a->high, *low = i ? &a->low : &b->low;
        if (!high->set || !low->set) continue;
        int order = schema_shape_decimal_compare(&high->at, &low->at);
        if (order < 0 || (order == 0 && (high->exclusive || low->exclusive))) return true;
    }
    return false;
}
