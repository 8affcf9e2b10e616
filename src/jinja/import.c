/* SPDX-License-Identifier: MIT
 * JSON values to a template's values. Texts are not copied: they live as long as the document. */
#include <stdlib.h>
#include <string.h>

#include "jinja/builtin_priv.h"
#include "jinja/number_priv.h"
#include "jinja/object_priv.h"

/* A number that yyjson kept as text, because it has more than 64 bits or exceeds a double. */
static bool from_raw(struct jinja_run *r, const char *text, size_t len, struct jinja_value *ret) {
    double f = 0;
    if (memchr(text, '.', len) == NULL && memchr(text, 'e', len) == NULL && memchr(text, 'E', len) == NULL)
        return jinja_number_parse_int(r, text, len, 10, ret) || jinja_fail(r, "a number is malformed");
    if (!jinja_number_parse_float(text, len, &f)) return jinja_fail(r, "a number is malformed");
    *ret = jinja_float(f);
    return true;
}

static bool from_number(struct jinja_run *r, yyjson_mut_val *v, struct jinja_value *ret) {
    if (yyjson_mut_is_real(v)) *ret = jinja_float(yyjson_mut_get_real(v));
    else if (yyjson_mut_is_sint(v)) *ret = jinja_int(yyjson_mut_get_sint(v));
    else if (yyjson_mut_get_uint(v) <= INT64_MAX) *ret = jinja_int((int64_t)yyjson_mut_get_uint(v));
    else {
        char text[32];
        int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)yyjson_mut_get_uint(v));
        return from_raw(r, text, (size_t)len, ret);
    }
    return true;
}

static bool from_array(struct jinja_run *r, yyjson_mut_val *v, struct jinja_value *ret) {
    struct jinja_value list, item;
    size_t i, n;
    yyjson_mut_val *one;
    if (!jinja_list_new(r, JINJA_LIST, yyjson_mut_arr_size(v), &list)) return false;
    yyjson_mut_arr_foreach(v, i, n, one) {
        if (!jinja_from_yyjson(r, one, &item) || !jinja_list_add(r, list.list, item)) return false;
    }
    *ret = list;
    return true;
}

static bool from_object(struct jinja_run *r, yyjson_mut_val *v, struct jinja_value *ret) {
    struct jinja_value dict, key, item;
    size_t i, n;
    yyjson_mut_val *name, *one;
    if (!jinja_dict_new(r, JINJA_DICT, &dict)) return false;
    yyjson_mut_obj_foreach(v, i, n, name, one) {
        if (!jinja_str_refer(r, yyjson_mut_get_str(name), yyjson_mut_get_len(name), &key) || !jinja_from_yyjson(r, one, &item) ||
            !jinja_dict_set(r, dict.dict, key, item))
            return false;
    }
    *ret = dict;
    return true;
}

bool jinja_from_yyjson(struct jinja_run *r, yyjson_mut_val *v, struct jinja_value *ret) {
    switch (yyjson_mut_get_type(v)) {
    case YYJSON_TYPE_NULL: *ret = jinja_none(); return true;
    case YYJSON_TYPE_BOOL: *ret = jinja_bool(yyjson_mut_get_bool(v)); return true;
    case YYJSON_TYPE_NUM: return from_number(r, v, ret);
    case YYJSON_TYPE_STR: return jinja_str_refer(r, yyjson_mut_get_str(v), yyjson_mut_get_len(v), ret);
    case YYJSON_TYPE_RAW: return from_raw(r, yyjson_mut_get_raw(v), yyjson_mut_get_len(v), ret);
    default: break;
    }
    if (!jinja_enter(r)) return false;
    bool ok = yyjson_mut_is_arr(v) ? from_array(r, v, ret) : from_object(r, v, ret);
    jinja_leave(r);
    return ok;
}

/* Copies texts into the run's heap: values outlive the document that from_json parses. */
static bool keep_texts(struct jinja_run *r, struct jinja_value *v) {
    if (v->type == JINJA_STR || v->type == JINJA_BIG) {
        uint8_t type = v->type;
        if (!jinja_str_copy(r, v->s->data, v->s->len, v)) return false;
        v->type = type;
    }
    if (!jinja_enter(r)) return false;
    bool ok = true;
    for (size_t i = 0; ok && v->type == JINJA_LIST && i < v->list->n; i++) ok = keep_texts(r, &v->list->items[i]);
    for (uint32_t i = 0; ok && v->type == JINJA_DICT && i < v->dict->n; i++)
        ok = keep_texts(r, &v->dict->entries[i].key) && keep_texts(r, &v->dict->entries[i].value);
    jinja_leave(r);
    return ok;
}

bool jinja_from_json(struct jinja_run *r, const struct jinja_str *text, struct jinja_value *ret) {
    yyjson_doc *doc = NULL;
    struct err why = {0};
    struct jinja_value v;
    if (!jinja_spend_bytes(r, 16 * text->len)) return false;
    if (json_parse_exact(text->data, text->len, &doc, &why) != ERR_OK) return jinja_fail(r, "from_json: %s", why.text);
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
    bool ok = copy != NULL ? jinja_from_yyjson(r, yyjson_mut_doc_get_root(copy), &v) && keep_texts(r, &v) : jinja_fail_memory(r);
    yyjson_mut_doc_free(copy);
    yyjson_doc_free(doc);
    if (ok) *ret = v;
    return ok;
}
