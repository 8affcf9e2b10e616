/* SPDX-License-Identifier: MIT
 * Walks the rows of a field table: defaults and JSON. field_bytes.c does bytes and documentation. */
#include "base/field.h"

#include <assert.h>
#include <stdlib.h>

#include "base/field_priv.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- members of a struct, by their place ---- */

static void *at(void *value, const struct field *f) { return (char *)value + f->at; }
static const void *at_const(const void *value, const struct field *f) { return (const char *)value + f->at; }

static uint32_t *list_count(const void *value, const struct field *f) { return (uint32_t *)(uintptr_t)((const char *)value + f->count_at); }
static size_t *length_of(const void *value, const struct field *f) { return (size_t *)(uintptr_t)((const char *)value + f->count_at); }

/* The first element of a list. */
static char *elements(const void *value, const struct field *f) {
    const void *p = at_const(value, f);
    return f->type == FIELD_OWNED ? *(char *const *)p : (char *)(uintptr_t)p;
}

/* ---- defaults ---- */

static void init_one(const struct field *f, void *value) {
    switch (f->type) {
    case FIELD_BOOL: *(bool *)at(value, f) = f->preset != 0; break;
    case FIELD_UINT:
    case FIELD_INT:
    case FIELD_WORD: field_set_uint(value, f, (uint64_t)f->preset); break;
    case FIELD_TEXT:
    case FIELD_PATH:
    case FIELD_LINE:
    case FIELD_CHOICE:
        assert(strlen(f->preset_text) < f->size);
        memcpy(at(value, f), f->preset_text, strlen(f->preset_text) + 1);
        break;
    case FIELD_OBJECT: field_init(f->of(), at(value, f)); break;
    case FIELD_CUSTOM: f->custom->init(at(value, f)); break;
    default: break; /* the default of all other types is zero */
    }
}

void field_init(const struct field_set *set, void *value) {
    memset(value, 0, set->size);
    for (size_t i = 0; i < set->n_fields; i++) init_one(&set->fields[i], value);
}

static void done_one(const struct field *f, void *value) {
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_BLOB:
    case FIELD_TOKENS:
    case FIELD_HEAP:
    case FIELD_I32S: free(*(void **)at(value, f)); break;
    case FIELD_OBJECT: field_done(f->of(), at(value, f)); break;
    case FIELD_LIST:
    case FIELD_OWNED:
        for (uint32_t i = 0; i < *list_count(value, f); i++) field_done(f->of(), elements(value, f) + i * f->size);
        if (f->type == FIELD_OWNED) free(elements(value, f));
        break;
    case FIELD_CUSTOM: f->custom->done(at(value, f)); break;
    default: break;
    }
}

void field_done(const struct field_set *set, void *value) {
    for (size_t i = 0; i < set->n_fields; i++) done_one(&set->fields[i], value);
    field_init(set, value);
}

/* ---- writing ---- */

static yyjson_mut_val *write_hex(const uint8_t *bytes, size_t n, yyjson_mut_doc *doc) {
    char *hex = mem_alloc(2 * n + 1);
    str_hex(bytes, n, hex);
    yyjson_mut_val *v = yyjson_mut_strcpy(doc, hex);
    free(hex);
    return v;
}

static yyjson_mut_val *write_id(uint64_t id, yyjson_mut_doc *doc) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    return write_hex(bytes, sizeof(bytes), doc);
}

static yyjson_mut_val *write_list(const struct field *f, const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    for (uint32_t i = 0; i < *list_count(value, f); i++) {
        const char *element = elements(value, f) + i * f->size;
        yyjson_mut_arr_append(list, f->type == FIELD_REALS ? yyjson_mut_real(doc, *(const double *)(const void *)element)
                                                           : field_write(f->of(), element, doc));
    }
    return list;
}

/* NULL: a string that is missing. */
static yyjson_mut_val *write_one(const struct field *f, const void *value, yyjson_mut_doc *doc) {
    const void *p = at_const(value, f);
    const void *owned = f->type == FIELD_STRING || f->type == FIELD_BLOB || f->type == FIELD_TOKENS ? *(void *const *)p : NULL;
    switch (f->type) {
    case FIELD_BOOL: return yyjson_mut_bool(doc, *(const bool *)p);
    case FIELD_UINT: return yyjson_mut_uint(doc, field_get_uint(value, f));
    case FIELD_INT: return yyjson_mut_sint(doc, field_get_int(value, f));
    case FIELD_REAL: return yyjson_mut_real(doc, field_get_real(value, f));
    case FIELD_ID: return write_id(*(const uint64_t *)p, doc);
    case FIELD_PATH: return json_path(doc, p);
    case FIELD_TEXT:
    case FIELD_LINE:
    case FIELD_CHOICE: return yyjson_mut_strcpy(doc, p);
    case FIELD_WORD: assert(field_get_uint(value, f) < f->max); return yyjson_mut_str(doc, f->words[field_get_uint(value, f)]);
    case FIELD_HEX: return write_hex(p, f->size, doc);
    case FIELD_CODE: return yyjson_mut_str(doc, err_name(*(const err_code *)p));
    case FIELD_STRING: return owned ? yyjson_mut_strcpy(doc, owned) : NULL;
    case FIELD_BLOB: return owned ? yyjson_mut_strncpy(doc, owned, *length_of(value, f)) : NULL;
    case FIELD_TOKENS: return owned ? yyjson_mut_arr_with_sint32(doc, owned, *length_of(value, f)) : NULL;
    case FIELD_OBJECT: return field_write(f->of(), p, doc);
    case FIELD_LIST:
    case FIELD_OWNED:
    case FIELD_REALS: return write_list(f, value, doc);
    case FIELD_CUSTOM: return f->custom->write(p, doc);
    default: return NULL; /* bytes only */
    }
}

yyjson_mut_val *field_write(const struct field_set *set, const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    for (size_t i = 0; i < set->n_fields; i++) {
        yyjson_mut_val *v = write_one(&set->fields[i], value, doc);
        if (v) yyjson_mut_obj_add_val(doc, obj, set->fields[i].name, v);
    }
    return obj;
}

void field_encode(const struct field_set *set, const void *value, struct buf *out) {
    if (set->bytes) {
        field_append_bytes(set, value, out);
        return;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, field_write(set, value, doc));
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- reading ---- */

static err_code wrong(const struct field *f, const char *expected, struct err *e) {
    return err_set_field(e, ERR_INVALID, f->name, "expected %s", expected);
}

static err_code read_uint(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    uint64_t v = field_get_uint(value, f);
    int64_t small = (int64_t)v;
    bool large = f->max > INT64_MAX;
    err_code code = large ? json_get_u64(obj, f->name, &v, e) : json_get_i64(obj, f->name, f->min, (int64_t)f->max, &small, e);
    if (code == ERR_OK) field_set_uint(value, f, large ? v : (uint64_t)small);
    return code;
}

static err_code read_int(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    int64_t v = field_get_int(value, f);
    err_code code = json_get_i64(obj, f->name, f->min, (int64_t)f->max, &v, e);
    if (code == ERR_OK) field_set_uint(value, f, (uint64_t)v);
    return code;
}

static err_code read_real(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    double v = field_get_real(value, f);
    err_code code = json_get_double(obj, f->name, (double)f->min, (double)f->max, &v, e);
    if (code == ERR_OK) field_set_real(value, f, v);
    return code;
}

/* The index of the text among the field's words. */
static err_code find_word(const struct field *f, const char *text, uint64_t *ret, struct err *e) {
    struct buf list;
    uint64_t i = 0;
    while (i < f->max && strcmp(f->words[i], text) != 0) i++;
    *ret = i;
    if (i < f->max) return ERR_OK;
    buf_init(&list, sizeof(e->text));
    for (i = 0; i < f->max; i++) buf_printf(&list, "%s%s", i > 0 ? ", " : "", f->words[i]);
    err_code code = err_set_field(e, ERR_INVALID, f->name, "expected one of %s, got \"%.40s\"", buf_cstr(&list), text);
    buf_done(&list);
    return code;
}

static err_code read_word(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    const char *text = NULL;
    uint64_t i = 0;
    err_code code = json_get_str(obj, f->name, &text, e);
    if (code == ERR_OK && text) code = find_word(f, text, &i, e);
    if (code == ERR_OK && text && f->type == FIELD_WORD) field_set_uint(value, f, i);
    return code == ERR_OK && f->type == FIELD_CHOICE ? json_get_text(obj, f->name, at(value, f), f->size, e) : code;
}

static err_code read_hex(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    const char *hex = NULL;
    err_code code = json_get_str(obj, f->name, &hex, e);
    if (code != ERR_OK || !hex || str_unhex(hex, at(value, f), f->size)) return code;
    return err_set_field(e, ERR_INVALID, f->name, "expected %zu hexadecimal digits", 2 * f->size);
}

static err_code read_code(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    const char *name = NULL;
    err_code code = json_get_str(obj, f->name, &name, e);
    if (code == ERR_OK && name) *(err_code *)at(value, f) = err_from_name(name);
    return code;
}

static err_code read_string(const struct field *f, void *value, yyjson_val *v, struct err *e) {
    if (!yyjson_is_str(v)) return wrong(f, "a string", e);
    size_t len = yyjson_get_len(v);
    if (len > f->max) return err_set_field(e, ERR_LIMIT, f->name, "%zu bytes, the limit is %zu", len, (size_t)f->max);
    if (f->type == FIELD_STRING && strlen(yyjson_get_str(v)) != len) return err_set_field(e, ERR_INVALID, f->name, "a NUL in it");
    char **text = at(value, f);
    free(*text);
    *text = mem_alloc(len + 1);
    memcpy(*text, yyjson_get_str(v), len + 1);
    if (f->type == FIELD_BLOB) *length_of(value, f) = len;
    return ERR_OK;
}

static err_code read_tokens(const struct field *f, void *value, yyjson_val *v, struct err *e) {
    if (!yyjson_is_arr(v)) return wrong(f, "an array of token ids", e);
    size_t i, n, count = yyjson_arr_size(v);
    yyjson_val *one;
    int32_t *tokens = mem_calloc(count > 0 ? count : 1, sizeof(*tokens));
    yyjson_arr_foreach(v, i, n, one) {
        int64_t id = yyjson_is_int(one) ? yyjson_get_sint(one) : -1;
        if (id < 0 || id > INT32_MAX) {
            free(tokens);
            return err_set_field(e, ERR_INVALID, f->name, "entry %zu is not a token id", i);
        }
        tokens[i] = (int32_t)id;
    }
    int32_t **old = at(value, f);
    free(*old);
    *old = tokens;
    *length_of(value, f) = count;
    return ERR_OK;
}

static err_code read_element(const struct field *f, char *element, yyjson_val *v, struct err *e) {
    if (f->type != FIELD_REALS) {
        if (!yyjson_is_obj(v)) return wrong(f, "an array of objects", e);
        field_init(f->of(), element);
        return field_read(f->of(), v, element, e);
    }
    if (!yyjson_is_num(v)) return wrong(f, "an array of numbers", e);
    *(double *)(void *)element = yyjson_get_num(v);
    return ERR_OK;
}

static err_code read_list(const struct field *f, void *value, yyjson_val *v, struct err *e) {
    if (!yyjson_is_arr(v)) return wrong(f, "an array", e);
    size_t i, max, n = yyjson_arr_size(v);
    yyjson_val *one;
    err_code code = ERR_OK;
    if (n > f->max) return err_set_field(e, ERR_LIMIT, f->name, "more than %zu entries", (size_t)f->max);
    if (f->type == FIELD_OWNED && n > 0) *(void **)at(value, f) = mem_calloc(n, f->size);
    yyjson_arr_foreach(v, i, max, one) {
        uint32_t *count = list_count(value, f);
        if (code == ERR_OK) code = read_element(f, elements(value, f) + *count * f->size, one, e);
        if (code == ERR_OK || yyjson_is_obj(one)) (*count)++; /* a half-read element may own memory */
        if (code != ERR_OK) break;
    }
    return code;
}

static err_code read_one(const struct field *f, void *value, yyjson_val *obj, struct err *e) {
    yyjson_val *v = yyjson_obj_get(obj, f->name);
    if (v == NULL || yyjson_is_null(v)) return f->needed ? json_need(obj, f->name, e) : ERR_OK;
    switch (f->type) {
    case FIELD_BOOL: return json_get_bool(obj, f->name, at(value, f), e);
    case FIELD_UINT: return read_uint(f, value, obj, e);
    case FIELD_INT: return read_int(f, value, obj, e);
    case FIELD_REAL: return read_real(f, value, obj, e);
    case FIELD_ID: return json_get_id(obj, f->name, at(value, f), e);
    case FIELD_TEXT: return json_get_text(obj, f->name, at(value, f), f->size, e);
    case FIELD_PATH: return json_get_path(obj, f->name, at(value, f), f->size, e);
    case FIELD_LINE: return json_get_line(obj, f->name, at(value, f), f->size, e);
    case FIELD_CHOICE:
    case FIELD_WORD: return read_word(f, value, obj, e);
    case FIELD_HEX: return read_hex(f, value, obj, e);
    case FIELD_CODE: return read_code(f, value, obj, e);
    case FIELD_STRING:
    case FIELD_BLOB: return read_string(f, value, v, e);
    case FIELD_TOKENS: return read_tokens(f, value, v, e);
    case FIELD_OBJECT: return yyjson_is_obj(v) ? field_read(f->of(), v, at(value, f), e) : wrong(f, "an object", e);
    case FIELD_LIST:
    case FIELD_OWNED:
    case FIELD_REALS: return read_list(f, value, v, e);
    case FIELD_CUSTOM: return f->custom->read(at(value, f), v, e);
    default: return ERR_OK; /* bytes only */
    }
}

err_code field_read(const struct field_set *set, yyjson_val *obj, void *value, struct err *e) {
    if (!yyjson_is_obj(obj)) return err_set(e, ERR_FORMAT, "%s: expected a JSON object", set->name);
    err_code code = ERR_OK;
    for (size_t i = 0; i < set->n_fields && code == ERR_OK; i++) code = read_one(&set->fields[i], value, obj, e);
    return code;
}

static err_code read_json(const struct field_set *set, const uint8_t *data, size_t len, void *value, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code == ERR_OK) code = field_read(set, yyjson_doc_get_root(doc), value, e);
    yyjson_doc_free(doc);
    return code;
}

err_code field_decode(const struct field_set *set, const uint8_t *data, size_t len, void *ret, struct err *e) {
    void *value = mem_alloc(set->size);
    field_init(set, value);
    err_code code = set->bytes ? field_read_bytes(set, data, len, value, e) : read_json(set, data, len, value, e);
    if (code == ERR_OK) memcpy(ret, value, set->size);
    else field_done(set, value);
    free(value);
    return code;
}
