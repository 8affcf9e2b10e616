/* SPDX-License-Identifier: MIT
 * Names that stand twice in an object. See json_priv.h. */
#include "base/json_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct member {
    const char *name;
    size_t len, place; /* its place in the object */
};

/* Orders members by name, and those of one name by their place. */
static int compare_members(const void *a, const void *b) {
    const struct member *x = a, *y = b;
    if (x->len != y->len) return x->len < y->len ? -1 : 1;
    int order = memcmp(x->name, y->name, x->len);
    return order != 0 ? order : x->place < y->place ? -1 : x->place > y->place;
}

/* The members of an object, ordered; owned by the caller. */
static struct member *ordered_members(yyjson_val *obj) {
    struct member *members = mem_calloc(yyjson_obj_size(obj), sizeof(*members));
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(obj, i, n, key, v) members[i] = (struct member){yyjson_get_str(key), yyjson_get_len(key), i};
    qsort(members, n, sizeof(*members), compare_members);
    return members;
}

static bool same_name(const struct member *a, const struct member *b) { return a->len == b->len && memcmp(a->name, b->name, a->len) == 0; }

/* Few members are compared with each other, without memory. */
static bool small_object_repeats(yyjson_val *obj) {
    yyjson_obj_iter outer = yyjson_obj_iter_with(obj);
    for (yyjson_val *a; (a = yyjson_obj_iter_next(&outer)) != NULL;) {
        yyjson_obj_iter inner = outer;
        for (yyjson_val *b; (b = yyjson_obj_iter_next(&inner)) != NULL;)
            if (yyjson_get_len(a) == yyjson_get_len(b) && memcmp(yyjson_get_str(a), yyjson_get_str(b), yyjson_get_len(a)) == 0) return true;
    }
    return false;
}

static bool object_repeats(yyjson_val *obj) {
    enum { SMALL = 24 };
    size_t n = yyjson_obj_size(obj);
    bool repeats = false;
    if (n <= SMALL) return small_object_repeats(obj);
    struct member *members = ordered_members(obj);
    for (size_t i = 1; i < n && !repeats; i++) repeats = same_name(&members[i - 1], &members[i]);
    free(members);
    return repeats;
}

/* The depth of documents is bounded. */
static bool value_repeats(yyjson_val *v) {
    yyjson_val *key, *one;
    size_t i, n;
    if (yyjson_is_obj(v)) {
        if (object_repeats(v)) return true;
        yyjson_obj_foreach(v, i, n, key, one) if (yyjson_is_ctn(one) && value_repeats(one)) return true;
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, one) if (yyjson_is_ctn(one) && value_repeats(one)) return true;
    }
    return false;
}

static yyjson_mut_val *copy_value(yyjson_mut_doc *doc, yyjson_val *v);

static yyjson_mut_val *copy_object(yyjson_mut_doc *doc, yyjson_val *obj) {
    yyjson_mut_val *copy = yyjson_mut_obj(doc);
    struct member *members = ordered_members(obj);
    bool *shadowed = mem_calloc(yyjson_obj_size(obj), sizeof(*shadowed));
    yyjson_val *key, *v;
    size_t i, n = yyjson_obj_size(obj);
    for (i = 1; i < n; i++) shadowed[members[i - 1].place] = same_name(&members[i - 1], &members[i]);
    yyjson_obj_foreach(obj, i, n, key, v) if (!shadowed[i]) yyjson_mut_obj_add(copy, yyjson_val_mut_copy(doc, key), copy_value(doc, v));
    free(shadowed);
    free(members);
    return copy;
}

static yyjson_mut_val *copy_value(yyjson_mut_doc *doc, yyjson_val *v) {
    yyjson_val *one;
    size_t i, n;
    if (yyjson_is_obj(v)) return copy_object(doc, v);
    if (!yyjson_is_arr(v)) return yyjson_val_mut_copy(doc, v);
    yyjson_mut_val *copy = yyjson_mut_arr(doc);
    yyjson_arr_foreach(v, i, n, one) yyjson_mut_arr_append(copy, copy_value(doc, one));
    return copy;
}

yyjson_doc *json_last_of_each(yyjson_doc *doc) {
    if (!value_repeats(yyjson_doc_get_root(doc))) return doc;
    yyjson_mut_doc *copy = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(copy, copy_value(copy, yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
    doc = yyjson_mut_doc_imut_copy(copy, NULL);
    yyjson_mut_doc_free(copy);
    return doc;
}
