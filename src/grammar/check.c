/* SPDX-License-Identifier: MIT
 * Schemas with subschemas, objects and arrays. For unevaluatedProperties and unevaluatedItems it notes which members of an object or
 * items of an array a schema has evaluated. */
#include "grammar/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/check_priv.h"

/* The members or items of one value that some schema has evaluated; NULL bits: not needed. */
struct spoken {
    bool *bits;
    size_t n;
};

static enum check_verdict judge(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken);

/* ---- verdicts ---- */

/* The verdict if both are required. */
static enum check_verdict both(enum check_verdict a, enum check_verdict b) {
    if (a == CHECK_FAILS || b == CHECK_FAILS) return CHECK_FAILS;
    return a == CHECK_UNKNOWN || b == CHECK_UNKNOWN ? CHECK_UNKNOWN : CHECK_FITS;
}

static enum check_verdict try_judge(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    c->quiet++;
    enum check_verdict v = judge(c, schema, value, spoken);
    c->quiet--;
    return v;
}

static size_t enter(struct check *c, const char *name, size_t len) {
    size_t before = c->path.len;
    buf_append_byte(&c->path, '/');
    for (size_t i = 0; i < len; i++)
        if (name[i] == '~' || name[i] == '/') buf_printf(&c->path, "~%d", name[i] == '/');
        else buf_append_byte(&c->path, (uint8_t)name[i]);
    return before;
}

static enum check_verdict judge_member(struct check *c, yyjson_val *schema, yyjson_val *key, yyjson_val *value) {
    size_t before = enter(c, yyjson_get_str(key), yyjson_get_len(key));
    enum check_verdict v = judge(c, schema, value, NULL);
    c->path.len = before;
    return v;
}

static enum check_verdict judge_item(struct check *c, yyjson_val *schema, size_t i, yyjson_val *value) {
    char text[24];
    size_t before = enter(c, text, (size_t)snprintf(text, sizeof(text), "%zu", i));
    enum check_verdict v = judge(c, schema, value, NULL);
    c->path.len = before;
    return v;
}

/* ---- values ---- */

bool check_equal(yyjson_val *a, yyjson_val *b) {
    if (yyjson_is_num(a) && yyjson_is_num(b)) {
        if (yyjson_is_int(a) && yyjson_is_int(b)) return yyjson_equals(a, b);
        return yyjson_get_num(a) == yyjson_get_num(b);
    }
    if (yyjson_get_type(a) != yyjson_get_type(b) || yyjson_get_len(a) != yyjson_get_len(b)) return false;
    size_t i, n;
    yyjson_val *key, *v;
    if (yyjson_is_arr(a)) {
        yyjson_arr_iter other = yyjson_arr_iter_with(b);
        yyjson_arr_foreach(a, i, n, v) if (!check_equal(v, yyjson_arr_iter_next(&other))) return false;
        return true;
    }
    if (yyjson_is_obj(a)) {
        yyjson_obj_foreach(a, i, n, key, v) {
            yyjson_val *other = yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key));
            if (other == NULL || !check_equal(v, other)) return false;
        }
        return true;
    }
    return yyjson_equals(a, b);
}

/* Equal values have equal hashes. */
static uint64_t hash_of(yyjson_val *v) {
    uint64_t h = 0xCBF29CE484222325u;
    size_t i, n;
    yyjson_val *key, *item;
    if (yyjson_is_num(v)) {
        double d = yyjson_get_num(v);
        memcpy(&h, &d, sizeof(h));
        return h * 0x9E3779B97F4A7C15u;
    }
    const char *text = yyjson_get_str(v);
    for (i = 0; text != NULL && i < yyjson_get_len(v); i++) h = (h ^ (uint8_t)text[i]) * 0x100000001B3u;
    yyjson_arr_foreach(json_some(v), i, n, item) h = (h ^ hash_of(item)) * 0x100000001B3u;
    yyjson_obj_foreach(json_some(v), i, n, key, item) h += hash_of(key) * 31 + hash_of(item);
    return h + (uint64_t)yyjson_get_type(v) + yyjson_is_true(v);
}

struct hashed {
    uint64_t hash;
    yyjson_val *v;
};

static int by_hash(const void *a, const void *b) {
    const struct hashed *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static enum check_verdict judge_unique(struct check *c, yyjson_val *value) {
    size_t i, n;
    yyjson_val *item;
    bool unique = true;
    struct hashed *list = mem_calloc(yyjson_arr_size(value) + 1, sizeof(*list));
    yyjson_arr_foreach(value, i, n, item) list[i] = (struct hashed){hash_of(item), item};
    qsort(list, n, sizeof(*list), by_hash);
    for (i = 0; i < n && unique; i++)
        for (size_t k = i + 1; k < n && list[k].hash == list[i].hash && unique && check_work(c, 1); k++)
            unique = !check_equal(list[i].v, list[k].v);
    free(list);
    return unique ? CHECK_FITS : check_say(c, CHECK_FAILS, "two of the items are equal, and they must all be different");
}

static bool is_type(yyjson_val *value, const char *name) {
    if (strcmp(name, "integer") == 0)
        return yyjson_is_int(value) || (yyjson_is_real(value) && floor(yyjson_get_real(value)) == yyjson_get_real(value));
    if (strcmp(name, "number") == 0) return yyjson_is_num(value);
    if (strcmp(name, "string") == 0) return yyjson_is_str(value);
    if (strcmp(name, "boolean") == 0) return yyjson_is_bool(value);
    if (strcmp(name, "null") == 0) return yyjson_is_null(value);
    if (strcmp(name, "array") == 0) return yyjson_is_arr(value);
    return strcmp(name, "any") == 0 || (strcmp(name, "object") == 0 && yyjson_is_obj(value));
}

static enum check_verdict judge_type(struct check *c, yyjson_val *schema, yyjson_val *value) {
    yyjson_val *type = yyjson_obj_get(schema, "type"), *name;
    size_t i, n;
    if (type == NULL || (yyjson_is_null(value) && yyjson_is_true(yyjson_obj_get(schema, "nullable")))) return CHECK_FITS;
    if (yyjson_is_str(type))
        return is_type(value, yyjson_get_str(type)) ? CHECK_FITS
                                                    : check_say(c, CHECK_FAILS, "expected a value of type %s", yyjson_get_str(type));
    yyjson_arr_foreach(type, i, n, name) {
        if (yyjson_is_str(name) ? is_type(value, yyjson_get_str(name)) : try_judge(c, name, value, NULL) != CHECK_FAILS) return CHECK_FITS;
    }
    return check_say(c, CHECK_FAILS, "its type is none of those that are allowed");
}

static enum check_verdict judge_listed(struct check *c, yyjson_val *schema, yyjson_val *value) {
    yyjson_val *list = yyjson_obj_get(schema, "enum"), *only = yyjson_obj_get(schema, "const"), *v;
    size_t i, n;
    if (only != NULL && !check_equal(only, value)) return check_say(c, CHECK_FAILS, "it is not the value that \"const\" asks for");
    if (!yyjson_is_arr(list)) return CHECK_FITS;
    if (!check_work(c, yyjson_arr_size(list))) return CHECK_UNKNOWN;
    yyjson_arr_foreach(list, i, n, v) if (check_equal(v, value)) return CHECK_FITS;
    return check_say(c, CHECK_FAILS, "it is none of the values of \"enum\"");
}

/* A count that is out of its bounds; what: "items". */
static enum check_verdict judge_count(struct check *c, yyjson_val *schema, const char *min_key, const char *max_key, size_t n,
                                      const char *what) {
    yyjson_val *min = yyjson_obj_get(schema, min_key), *max = yyjson_obj_get(schema, max_key);
    if (yyjson_is_num(min) && (double)n < yyjson_get_num(min))
        return check_say(c, CHECK_FAILS, "it has %zu %s, at least %.0f are needed", n, what, yyjson_get_num(min));
    if (yyjson_is_num(max) && (double)n > yyjson_get_num(max))
        return check_say(c, CHECK_FAILS, "it has %zu %s, at most %.0f are allowed", n, what, yyjson_get_num(max));
    return CHECK_FITS;
}

/* ---- objects ---- */

static void speak(struct spoken *spoken, size_t i) {
    if (spoken != NULL && i < spoken->n) spoken->bits[i] = true;
}

static enum check_verdict judge_required(struct check *c, yyjson_val *list, yyjson_val *value) {
    size_t i, n;
    yyjson_val *name;
    yyjson_arr_foreach(json_some(list), i, n, name) {
        if (!yyjson_is_str(name) || yyjson_obj_getn(value, yyjson_get_str(name), yyjson_get_len(name)) != NULL) continue;
        return check_say(c, CHECK_FAILS, "the property \"%.60s\" is missing", yyjson_get_str(name));
    }
    return CHECK_FITS;
}

/* Judges one member: by its name, by the patterns that its name matches, else as an additional one. */
static enum check_verdict judge_by_name(struct check *c, yyjson_val *schema, size_t at, yyjson_val *key, yyjson_val *value,
                                        struct spoken *spoken) {
    yyjson_val *patterns = yyjson_obj_get(schema, "patternProperties"), *others = yyjson_obj_get(schema, "additionalProperties"), *pattern,
               *sub;
    yyjson_val *own = yyjson_obj_getn(yyjson_obj_get(schema, "properties"), yyjson_get_str(key), yyjson_get_len(key));
    bool known = own != NULL;
    enum check_verdict all = own != NULL ? judge_member(c, own, key, value) : CHECK_FITS;
    size_t i, n;
    yyjson_obj_foreach(json_some(patterns), i, n, pattern, sub) {
        enum check_verdict m = check_matches(c, yyjson_get_str(pattern), yyjson_get_len(pattern), yyjson_get_str(key), yyjson_get_len(key));
        if (m == CHECK_UNKNOWN) all = both(all, CHECK_UNKNOWN);
        if (m != CHECK_FAILS) known = true;
        if (m == CHECK_FITS) all = both(all, judge_member(c, sub, key, value));
    }
    if (!known && others != NULL) {
        if (yyjson_is_false(others)) return check_say(c, CHECK_FAILS, "the property \"%.60s\" is not allowed", yyjson_get_str(key));
        all = both(all, judge_member(c, others, key, value));
        known = true;
    }
    if (known) speak(spoken, at);
    return all;
}

static enum check_verdict judge_dependent(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    static const char *const names[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    enum check_verdict all = CHECK_FITS;
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        yyjson_val *map = yyjson_obj_get(schema, names[k]), *key, *needs;
        size_t i, n;
        yyjson_obj_foreach(json_some(map), i, n, key, needs) {
            if (yyjson_obj_getn(value, yyjson_get_str(key), yyjson_get_len(key)) == NULL) continue;
            all = both(all, yyjson_is_arr(needs) ? judge_required(c, needs, value) : judge(c, needs, value, spoken));
        }
    }
    return all;
}

static enum check_verdict judge_object(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    yyjson_val *names = yyjson_obj_get(schema, "propertyNames"), *key, *v;
    enum check_verdict all = judge_required(c, yyjson_obj_get(schema, "required"), value);
    size_t i, n;
    all = both(all, judge_count(c, schema, "minProperties", "maxProperties", yyjson_obj_size(value), "properties"));
    yyjson_obj_foreach(value, i, n, key, v) {
        if (names != NULL && try_judge(c, names, key, NULL) == CHECK_FAILS)
            all = check_say(c, CHECK_FAILS, "the name \"%.60s\" is not one that \"propertyNames\" allows", yyjson_get_str(key));
        all = both(all, judge_by_name(c, schema, i, key, v, spoken));
        if (all == CHECK_FAILS) return all;
    }
    return both(all, judge_dependent(c, schema, value, spoken));
}

/* ---- arrays ---- */

static enum check_verdict judge_contains(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    yyjson_val *contains = yyjson_obj_get(schema, "contains"), *item;
    yyjson_val *min = yyjson_obj_get(schema, "minContains"), *max = yyjson_obj_get(schema, "maxContains");
    size_t i, n, fit = 0, unknown = 0;
    if (contains == NULL) return CHECK_FITS;
    yyjson_arr_foreach(value, i, n, item) {
        enum check_verdict v = try_judge(c, contains, item, NULL);
        fit += v == CHECK_FITS;
        unknown += v == CHECK_UNKNOWN;
        if (v == CHECK_FITS) speak(spoken, i);
    }
    double least = yyjson_is_num(min) ? yyjson_get_num(min) : 1, most = yyjson_is_num(max) ? yyjson_get_num(max) : (double)n;
    if ((double)(fit + unknown) < least) return check_say(c, CHECK_FAILS, "too few of the items are as \"contains\" asks");
    if ((double)fit > most) return check_say(c, CHECK_FAILS, "too many of the items are as \"contains\" says");
    return unknown > 0 && ((double)fit < least || (double)(fit + unknown) > most) ? CHECK_UNKNOWN : CHECK_FITS;
}

static enum check_verdict judge_array(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    yyjson_val *items = yyjson_obj_get(schema, "items"), *tuple = yyjson_obj_get(schema, "prefixItems"), *item;
    if (tuple == NULL && yyjson_is_arr(items)) { /* before draft 2020-12 */
        tuple = items;
        items = yyjson_obj_get(schema, "additionalItems");
    }
    size_t i, n, n_tuple = yyjson_arr_size(tuple);
    enum check_verdict all = judge_count(c, schema, "minItems", "maxItems", yyjson_arr_size(value), "items");
    yyjson_arr_foreach(value, i, n, item) {
        yyjson_val *sub = i < n_tuple ? yyjson_arr_get(tuple, i) : items;
        if (sub == NULL) continue;
        speak(spoken, i);
        all = both(all, judge_item(c, sub, i, item));
        if (all == CHECK_FAILS) return all;
    }
    if (yyjson_is_true(yyjson_obj_get(schema, "uniqueItems"))) all = both(all, judge_unique(c, value));
    return both(all, judge_contains(c, schema, value, spoken));
}

/* ---- schemas of schemas ---- */

/* Judges a branch. The members and items that it evaluates count only if the branch fits. */
static enum check_verdict judge_branch(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    struct spoken own = {.n = spoken != NULL ? spoken->n : 0};
    if (spoken != NULL) own.bits = mem_calloc(own.n + 1, sizeof(*own.bits));
    enum check_verdict v = try_judge(c, schema, value, spoken != NULL ? &own : NULL);
    for (size_t i = 0; i < own.n; i++) spoken->bits[i] = spoken->bits[i] || (v != CHECK_FAILS && own.bits[i]);
    free(own.bits);
    return v;
}

static enum check_verdict judge_choices(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    enum check_verdict all = CHECK_FITS;
    for (int one = 0; one < 2; one++) {
        yyjson_val *list = yyjson_obj_get(schema, one ? "oneOf" : "anyOf"), *branch;
        size_t i, n, fit = 0, unknown = 0;
        if (!yyjson_is_arr(list)) continue;
        yyjson_arr_foreach(list, i, n, branch) {
            enum check_verdict v = judge_branch(c, branch, value, spoken);
            fit += v == CHECK_FITS;
            unknown += v == CHECK_UNKNOWN;
        }
        if (fit + unknown == 0) all = check_say(c, CHECK_FAILS, "it fits none of the schemas of \"%s\"", one ? "oneOf" : "anyOf");
        else if (one && fit > 1) all = check_say(c, CHECK_FAILS, "it fits %zu schemas of \"oneOf\", and should fit one", fit);
        else if (unknown > 0 && (fit == 0 || one)) all = both(all, CHECK_UNKNOWN);
        if (all == CHECK_FAILS) return all;
    }
    return all;
}

static enum check_verdict judge_condition(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    yyjson_val *condition = yyjson_obj_get(schema, "if"), *not = yyjson_obj_get(schema, "not");
    enum check_verdict all = CHECK_FITS;
    if (not != NULL) {
        enum check_verdict v = try_judge(c, not, value, NULL);
        if (v == CHECK_FITS) return check_say(c, CHECK_FAILS, "it fits the schema of \"not\"");
        all = v == CHECK_UNKNOWN ? v : all;
    }
    if (condition == NULL) return all;
    enum check_verdict v = judge_branch(c, condition, value, spoken);
    yyjson_val *then = yyjson_obj_get(schema, v == CHECK_FAILS ? "else" : "then");
    if (v == CHECK_UNKNOWN) return CHECK_UNKNOWN;
    return then != NULL ? both(all, judge(c, then, value, spoken)) : all;
}

static enum check_verdict judge_refs(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    static const char *const names[] = {"$ref", "$dynamicRef", "$recursiveRef"};
    enum check_verdict all = CHECK_FITS;
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        yyjson_val *ref = yyjson_obj_get(schema, names[k]);
        if (!yyjson_is_str(ref)) continue;
        yyjson_val *target = check_resolve(c, schema, yyjson_get_str(ref));
        if (target == NULL)
            all = both(all, check_say(c, CHECK_UNKNOWN, "\"%s\" to \"%.80s\" is not followed", names[k], yyjson_get_str(ref)));
        else all = both(all, judge(c, target, value, spoken));
    }
    return all;
}

static enum check_verdict judge_all(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    yyjson_val *list = yyjson_obj_get(schema, "allOf"), *extends = yyjson_obj_get(schema, "extends"), *sub;
    enum check_verdict all = CHECK_FITS;
    size_t i, n;
    yyjson_arr_foreach(json_some(list), i, n, sub) {
        all = both(all, judge(c, sub, value, spoken));
        if (all == CHECK_FAILS) return all;
    }
    if (yyjson_is_obj(extends)) all = both(all, judge(c, extends, value, spoken));
    yyjson_arr_foreach(json_some(extends), i, n, sub) all = both(all, judge(c, sub, value, spoken));
    return all;
}

/* Judges the members and items that no schema has evaluated. */
static enum check_verdict judge_rest(struct check *c, yyjson_val *rest, yyjson_val *value, struct spoken *spoken) {
    enum check_verdict all = CHECK_FITS;
    size_t i, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach(json_some(value), i, n, key, v) {
        if (spoken->bits[i]) continue;
        all = both(all, judge_member(c, rest, key, v));
        speak(spoken, i);
    }
    yyjson_arr_foreach(json_some(value), i, n, v) {
        if (spoken->bits[i]) continue;
        all = both(all, judge_item(c, rest, i, v));
        speak(spoken, i);
    }
    return all;
}

static enum check_verdict judge_keywords(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    enum check_verdict all = both(judge_type(c, schema, value), judge_listed(c, schema, value));
    if (all == CHECK_FAILS) return all;
    if (yyjson_is_num(value)) all = both(all, check_number(c, schema, value));
    else if (yyjson_is_str(value)) all = both(all, check_string(c, schema, value));
    else if (yyjson_is_arr(value)) all = both(all, judge_array(c, schema, value, spoken));
    else if (yyjson_is_obj(value)) all = both(all, judge_object(c, schema, value, spoken));
    static enum check_verdict (*const parts[])(struct check *, yyjson_val *, yyjson_val *,
                                               struct spoken *) = {judge_refs, judge_all, judge_choices, judge_condition};
    for (size_t i = 0; i < ARRAY_LEN(parts) && all != CHECK_FAILS; i++) all = both(all, parts[i](c, schema, value, spoken));
    if (yyjson_obj_get(schema, "disallow") != NULL) all = both(all, check_say(c, CHECK_UNKNOWN, "\"disallow\" is not judged"));
    return all;
}

static enum check_verdict judge(struct check *c, yyjson_val *schema, yyjson_val *value, struct spoken *spoken) {
    if (yyjson_is_bool(schema)) return yyjson_is_true(schema) ? CHECK_FITS : check_say(c, CHECK_FAILS, "nothing is allowed here");
    if (!yyjson_is_obj(schema)) return check_say(c, CHECK_UNKNOWN, "its schema is none");
    if (!check_work(c, yyjson_obj_size(schema)) || c->depth == CHECK_MAX_NESTING)
        return check_say(c, CHECK_UNKNOWN, "the schema is too complicated to be checked");
    yyjson_val *rest = yyjson_is_obj(value)   ? yyjson_obj_get(schema, "unevaluatedProperties")
                       : yyjson_is_arr(value) ? yyjson_obj_get(schema, "unevaluatedItems")
                                              : NULL;
    struct spoken own = {.n = yyjson_is_obj(value) ? yyjson_obj_size(value) : yyjson_arr_size(value)};
    c->depth++;
    if (rest != NULL) own.bits = mem_calloc(own.n + 1, sizeof(*own.bits));
    enum check_verdict v = judge_keywords(c, schema, value, rest != NULL ? &own : spoken);
    if (rest != NULL && v != CHECK_FAILS) v = both(v, judge_rest(c, rest, value, &own));
    for (size_t i = 0; rest != NULL && spoken != NULL && i < own.n; i++) spoken->bits[i] = spoken->bits[i] || own.bits[i];
    free(own.bits);
    c->depth--;
    return v;
}

enum check_verdict check_value(yyjson_val *schema, yyjson_val *value, struct buf *why) {
    return check_value_in(schema, schema, value, why);
}

enum check_verdict check_value_in(yyjson_val *root, yyjson_val *schema, yyjson_val *value, struct buf *why) {
    struct check c = {.root = root, .why = why, .has_ids = check_has_ids(root, 0)};
    if (why != NULL) buf_clear(why);
    buf_init(&c.path, SIZE_MAX - 1);
    enum check_verdict v = judge(&c, schema, value, NULL);
    if (v == CHECK_UNKNOWN)
        check_say(&c, v,
                  c.steps > CHECK_MAX_STEPS ? "the schema is too complicated to be checked" : "the schema asks what cannot be judged");
    buf_done(&c.path);
    check_patterns_done(&c);
    return v;
}
