/* SPDX-License-Identifier: MIT
 * References: a JSON pointer, an anchor, or the name of a schema in the same document. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/check_priv.h"

/* Does the URI `id` (of an embedded schema, maybe relative) end like `ref`? Base URIs are not computed: the last part of the path
 * decides. */
static bool is_named(const char *id, const char *ref, size_t len) {
    size_t n = strlen(id);
    while (n > 0 && (id[n - 1] == '#')) n--;
    if (n == len && memcmp(id, ref, len) == 0) return true;
    const char *a = mem_find_last(id, '/', n), *b = mem_find_last(ref, '/', len);
    size_t a_len = a != NULL ? (size_t)(id + n - a - 1) : n, b_len = b != NULL ? (size_t)(ref + len - b - 1) : len;
    bool relative = mem_find(id, n, ":", 1) == NULL || mem_find(ref, len, ":", 1) == NULL;
    return relative && a_len == b_len && a_len > 0 && memcmp(id + n - a_len, ref + len - b_len, a_len) == 0;
}

static const char *text_at(yyjson_val *v, const char *key) {
    yyjson_val *text = yyjson_obj_get(v, key);
    return yyjson_is_str(text) ? yyjson_get_str(text) : NULL;
}

/* The first schema with this id (anchor NULL), or with this anchor. */
static yyjson_val *find(struct check *c, yyjson_val *v, const char *ref, size_t len, const char *anchor) {
    static const char *const ids[] = {"$id", "id"}, *const anchors[] = {"$anchor", "$dynamicAnchor"};
    size_t i, n;
    yyjson_val *key, *sub, *found;
    if (!check_work(c, 1) || !yyjson_is_ctn(v)) return NULL;
    for (i = 0; i < 2 && yyjson_is_obj(v); i++) {
        const char *id = text_at(v, ids[i]), *name = text_at(v, anchors[i]);
        if (anchor == NULL && id != NULL && is_named(id, ref, len)) return v;
        if (anchor != NULL && name != NULL && strcmp(name, anchor) == 0) return v;
        if (anchor != NULL && id != NULL && id[0] == '#' && strcmp(id + 1, anchor) == 0) return v;
    }
    yyjson_obj_foreach(json_some(v), i, n, key, sub) {
        bool values = yyjson_equals_str(key, "enum") || yyjson_equals_str(key, "const");
        if (!values && (found = find(c, sub, ref, len, anchor)) != NULL) return found;
    }
    yyjson_arr_foreach(json_some(v), i, n, sub) if ((found = find(c, sub, ref, len, anchor)) != NULL) return found;
    return NULL;
}

/* The innermost schema with an id of its own that contains v: "#" refers to it. */
static yyjson_val *base_of(yyjson_val *at, yyjson_val *v, yyjson_val *base) {
    size_t i, n;
    yyjson_val *key, *sub, *found;
    if (yyjson_is_obj(at)) {
        const char *id = text_at(at, "$id");
        if (id != NULL && id[0] != '#') base = at;
    }
    if (at == v) return base;
    yyjson_obj_foreach(json_some(at), i, n, key, sub) if (yyjson_is_ctn(sub) && (found = base_of(sub, v, base)) != NULL) return found;
    yyjson_arr_foreach(json_some(at), i, n, sub) if (yyjson_is_ctn(sub) && (found = base_of(sub, v, base)) != NULL) return found;
    return NULL;
}

bool check_has_ids(yyjson_val *v, int depth) {
    size_t i, n;
    yyjson_val *key, *sub;
    const char *id = depth > 0 && yyjson_is_obj(v) ? text_at(v, "$id") : NULL;
    if (id != NULL && id[0] != '#') return true;
    yyjson_obj_foreach(json_some(v), i, n, key, sub) if (yyjson_is_ctn(sub) && check_has_ids(sub, depth + 1)) return true;
    yyjson_arr_foreach(json_some(v), i, n, sub) if (yyjson_is_ctn(sub) && check_has_ids(sub, depth + 1)) return true;
    return false;
}

static bool decode(const char *text, struct buf *out) {
    for (; *text != '\0'; text++) {
        char hex[3] = {text[0] == '%' ? text[1] : '\0', text[0] == '%' && text[1] != '\0' ? text[2] : '\0', '\0'}, *end;
        long c = strtol(hex, &end, 16);
        if (*text == '%' && (end != hex + 2 || c == 0)) return false;
        buf_append_byte(out, *text == '%' ? (uint8_t)c : (uint8_t)*text);
        if (*text == '%') text += 2;
    }
    return true;
}

yyjson_val *check_resolve(struct check *c, yyjson_val *from, const char *ref) {
    size_t len = strcspn(ref, "#");
    const char *fragment = ref[len] == '#' ? ref + len + 1 : "";
    yyjson_val *base = len > 0 ? find(c, c->root, ref, len, NULL) : c->has_ids ? base_of(c->root, from, c->root) : c->root, *found = NULL;
    struct buf pointer;
    if (base == NULL || *fragment == '\0') return base;
    buf_init(&pointer, SIZE_MAX - 1);
    if (decode(fragment, &pointer))
        found = *fragment == '/' ? yyjson_ptr_getn(base, buf_cstr(&pointer), pointer.len) : find(c, base, NULL, 0, buf_cstr(&pointer));
    buf_done(&pointer);
    return found;
}
