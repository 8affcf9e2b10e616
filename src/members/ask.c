/* SPDX-License-Identifier: MIT
 * See ask.h. */
#include "members/ask.h"

#include <string.h>

static yyjson_mut_val *root_of(yyjson_mut_doc **ret_doc) {
    *ret_doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(*ret_doc);
    yyjson_mut_doc_set_root(*ret_doc, root);
    return root;
}

static void write_out(yyjson_mut_doc *doc, struct buf *out) {
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void ask_encode(const struct ask *a, struct buf *out) {
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = root_of(&doc);
    json_add_id(doc, root, "id", a->id);
    yyjson_mut_obj_add_str(doc, root, "op", a->op);
    yyjson_mut_obj_add_str(doc, root, "model", a->model);
    wish_write(&a->wish, doc, root);
    write_out(doc, out);
}

err_code ask_decode(const uint8_t *data, size_t len, struct ask *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    struct ask a = {0};
    err_code code = json_parse((const char *)data, len, &doc, e);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (code == ERR_OK) code = json_need_id(root, "id", &a.id, e);
    if (code == ERR_OK) code = json_get_line(root, "op", a.op, sizeof(a.op), e);
    if (code == ERR_OK) code = json_get_line(root, "model", a.model, sizeof(a.model), e);
    if (code == ERR_OK) code = wish_read(root, &a.wish, e);
    if (code == ERR_OK && (!a.op[0] || !a.model[0])) code = err_set(e, ERR_INVALID, "an ASK without \"%s\"", a.op[0] ? "model" : "op");
    if (code == ERR_OK && strchr(a.model, '/')) code = err_set(e, ERR_PROTOCOL, "a path of another machine");
    yyjson_doc_free(doc);
    if (code == ERR_OK) *ret = a;
    return code;
}

void ask_answer_encode(uint64_t id, const struct err *why, struct buf *out) {
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = root_of(&doc);
    json_add_id(doc, root, "id", id);
    if (why->code != ERR_OK) {
        yyjson_mut_obj_add_str(doc, root, "error", err_name(why->code));
        yyjson_mut_obj_add_str(doc, root, "text", why->text);
        yyjson_mut_obj_add_str(doc, root, "hint", why->hint);
    }
    write_out(doc, out);
}

err_code ask_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *ret_why, struct err *e) {
    yyjson_doc *doc = NULL;
    const char *error = NULL;
    struct err why = {0};
    err_code code = json_parse((const char *)data, len, &doc, e);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (code == ERR_OK) code = json_need_id(root, "id", ret_id, e);
    if (code == ERR_OK) code = json_get_str(root, "error", &error, e);
    if (code == ERR_OK) code = json_get_line(root, "text", why.text, sizeof(why.text), e);
    if (code == ERR_OK) code = json_get_text(root, "hint", why.hint, sizeof(why.hint), e);
    if (error) why.code = err_from_name(error);
    if (error && why.code == ERR_OK) why.code = ERR_INTERNAL;
    yyjson_doc_free(doc);
    if (code == ERR_OK) *ret_why = why;
    return code;
}

void ask_busy_encode(const struct ask_busy *list, size_t n, struct buf *out) {
    yyjson_mut_doc *doc;
    yyjson_mut_val *root = root_of(&doc), *arr = yyjson_mut_obj_add_arr(doc, root, "instances");
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, arr);
        yyjson_mut_obj_add_str(doc, obj, "instance", list[i].instance);
        yyjson_mut_obj_add_uint(doc, obj, "calls", list[i].calls);
        if (list[i].idle_ms != UINT64_MAX) yyjson_mut_obj_add_uint(doc, obj, "idle_ms", list[i].idle_ms);
    }
    write_out(doc, out);
}

err_code ask_busy_decode(const uint8_t *data, size_t len, struct ask_busy *ret, size_t *ret_n, struct err *e) {
    yyjson_doc *doc = NULL;
    yyjson_val *v;
    yyjson_arr_iter it;
    size_t n = 0;
    err_code code = json_parse((const char *)data, len, &doc, e);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "instances");
    if (code == ERR_OK && yyjson_arr_size(list) > RECORD_MAX_STAGES)
        code = err_set(e, ERR_LIMIT, "BUSY of %zu instances, at most %d", yyjson_arr_size(list), RECORD_MAX_STAGES);
    if (code == ERR_OK) yyjson_arr_iter_init(list, &it);
    while (code == ERR_OK && yyjson_is_arr(list) && (v = yyjson_arr_iter_next(&it)) != NULL) {
        struct ask_busy *b = &ret[n++];
        *b = (struct ask_busy){.idle_ms = UINT64_MAX};
        code = json_get_line(v, "instance", b->instance, sizeof(b->instance), e);
        if (code == ERR_OK) code = json_get_u32(v, "calls", INT32_MAX, &b->calls, e);
        if (code == ERR_OK) code = json_get_u64(v, "idle_ms", &b->idle_ms, e);
    }
    yyjson_doc_free(doc);
    if (code == ERR_OK) *ret_n = n;
    return code;
}
