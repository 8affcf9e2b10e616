/* SPDX-License-Identifier: MIT
 * See object.h. */
#include "batch/object.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "batch/line.h"
#include "os/os.h"

enum { LEAST_TTL_S = 3600, MOST_TTL_S = 2592000 };

/* ---- what a client asks for ---- */

static err_code read_metadata(yyjson_val *root, struct batch_order *ret, struct err *e) {
    yyjson_val *metadata = yyjson_obj_get(root, "metadata"), *key, *value;
    size_t i, n;
    if (metadata == NULL || yyjson_is_null(metadata)) return ERR_OK;
    if (!yyjson_is_obj(metadata) || yyjson_obj_size(metadata) > BATCH_MAX_METADATA)
        return err_set_field(e, ERR_INVALID, "metadata", "expected an object of at most %d texts", BATCH_MAX_METADATA);
    yyjson_obj_foreach(metadata, i, n, key,
                       value) if (yyjson_get_len(key) > 64 || !yyjson_is_str(value) ||
                                  yyjson_get_len(value) >
                                      512) return err_set_field(e, ERR_INVALID, "metadata",
                                                                "expected texts of at most 512 bytes, under names of at most 64");
    ret->metadata = metadata;
    return ERR_OK;
}

static err_code read_ttl(yyjson_val *root, struct batch_order *ret, struct err *e) {
    yyjson_val *expires = yyjson_obj_get(root, "output_expires_after");
    if (expires == NULL || yyjson_is_null(expires)) return ERR_OK;
    const char *anchor = "created_at";
    err_code code = json_get_str(expires, "anchor", &anchor, e);
    if (code == ERR_OK && strcmp(anchor, "created_at") != 0)
        code = err_set_field(e, ERR_INVALID, "anchor", "expected \"created_at\", got \"%.40s\"", anchor);
    if (code == ERR_OK) code = json_need_i64(expires, "seconds", LEAST_TTL_S, MOST_TTL_S, &ret->output_ttl_s, e);
    if (code != ERR_OK) err_in_object(e, "output_expires_after");
    return code;
}

err_code batch_order_read(yyjson_val *root, struct batch_order *ret, struct err *e) {
    const char *endpoint = NULL, *window = NULL;
    *ret = (struct batch_order){0};
    if (!yyjson_is_obj(root)) return err_set(e, ERR_FORMAT, "the body is not a JSON object");
    err_code code = json_need_str(root, "input_file_id", &ret->input, e);
    if (code == ERR_OK) code = json_need_str(root, "endpoint", &endpoint, e);
    if (code == ERR_OK && (ret->endpoint = batch_endpoint(endpoint)) == NULL)
        code = err_set_field(e, ERR_INVALID, "endpoint", "expected one of %s, got \"%.80s\"", batch_endpoints(), endpoint);
    if (code == ERR_OK) code = json_need_str(root, "completion_window", &window, e);
    if (code == ERR_OK && strcmp(window, "24h") != 0)
        code = err_set_field(e, ERR_INVALID, "completion_window", "expected \"24h\", got \"%.40s\"", window);
    if (code == ERR_OK) code = read_metadata(root, ret, e);
    if (code == ERR_OK) code = read_ttl(root, ret, e);
    return code;
}

/* ---- a batch ---- */

static yyjson_mut_val *root_of(const struct batch_object *o) { return yyjson_mut_doc_get_root(o->doc); }

/* Replaces a field, or adds it. */
static void put(struct batch_object *o, const char *field, yyjson_mut_val *value) {
    yyjson_mut_obj_put(root_of(o), yyjson_mut_strcpy(o->doc, field), value);
}

void batch_new_id(const char *prefix, char ret[BATCH_ID_SIZE]) {
    uint8_t random[12];
    char hex[2 * sizeof(random) + 1];
    os_random(random, sizeof(random));
    str_hex(random, sizeof(random), hex);
    snprintf(ret, BATCH_ID_SIZE, "%.16s%s", prefix, hex);
}

void batch_output_id(const char *batch, bool failed, char ret[BATCH_ID_SIZE]) {
    const char *hex = strchr(batch, '_');
    snprintf(ret, BATCH_ID_SIZE, "file-%.30s-%s", hex != NULL ? hex + 1 : batch, failed ? "errors" : "output");
}

void batch_object_init(struct batch_object *o, const struct batch_order *order, int64_t now) {
    char id[BATCH_ID_SIZE];
    yyjson_mut_doc *doc = o->doc = json_new();
    yyjson_mut_val *root = root_of(o);
    batch_new_id("batch_", id);
    yyjson_mut_obj_add_strcpy(doc, root, "id", id);
    yyjson_mut_obj_add_str(doc, root, "object", "batch");
    yyjson_mut_obj_add_str(doc, root, "endpoint", order->endpoint);
    yyjson_mut_obj_add_null(doc, root, "model");
    yyjson_mut_obj_add_null(doc, root, "errors");
    yyjson_mut_obj_add_strcpy(doc, root, "input_file_id", order->input);
    yyjson_mut_obj_add_str(doc, root, "completion_window", "24h");
    yyjson_mut_obj_add_str(doc, root, "status", "");
    yyjson_mut_obj_add_null(doc, root, "output_file_id");
    yyjson_mut_obj_add_null(doc, root, "error_file_id");
    yyjson_mut_obj_add_int(doc, root, "created_at", now);
    yyjson_mut_obj_add_int(doc, root, "expires_at", now + BATCH_WINDOW_S);
    static const enum batch_state stamped[] = {BATCH_IN_PROGRESS, BATCH_FINALIZING, BATCH_COMPLETED, BATCH_FAILED,
                                               BATCH_EXPIRED,     BATCH_CANCELLING, BATCH_CANCELLED};
    for (size_t i = 0; i < ARRAY_LEN(stamped); i++) {
        char field[32];
        snprintf(field, sizeof(field), "%s_at", batch_state_name(stamped[i]));
        put(o, field, yyjson_mut_null(doc));
    }
    batch_object_set_counts(o, &(struct batch_counts){0});
    yyjson_mut_obj_add_val(doc, root, "metadata",
                           order->metadata != NULL ? yyjson_val_mut_copy(doc, order->metadata) : yyjson_mut_null(doc));
    if (order->output_ttl_s > 0) yyjson_mut_obj_add_int(doc, root, "output_ttl_s", order->output_ttl_s);
    put(o, "status", yyjson_mut_str(doc, batch_state_name(BATCH_VALIDATING)));
}

err_code batch_object_read(struct batch_object *o, yyjson_val *kept, enum batch_state *ret_state, struct err *e) {
    const char *status = yyjson_get_str(yyjson_obj_get(kept, "status")), *endpoint = yyjson_get_str(yyjson_obj_get(kept, "endpoint"));
    if (status == NULL || !batch_state_of(status, ret_state) || endpoint == NULL || batch_endpoint(endpoint) == NULL ||
        !yyjson_is_str(yyjson_obj_get(kept, "id")))
        return err_set(e, ERR_FORMAT, "a batch in the state file cannot be read");
    o->doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(o->doc, yyjson_val_mut_copy(o->doc, kept));
    return ERR_OK;
}

void batch_object_done(struct batch_object *o) {
    yyjson_mut_doc_free(o->doc);
    o->doc = NULL;
}

const char *batch_object_text(const struct batch_object *o, const char *field) {
    const char *text = yyjson_mut_get_str(yyjson_mut_obj_get(root_of(o), field));
    return text != NULL ? text : "";
}

int64_t batch_object_number(const struct batch_object *o, const char *field) {
    return yyjson_mut_get_sint(yyjson_mut_obj_get(root_of(o), field));
}

void batch_object_set_text(struct batch_object *o, const char *field, const char *text) { put(o, field, yyjson_mut_strcpy(o->doc, text)); }

void batch_object_set_state(struct batch_object *o, enum batch_state state, int64_t now) {
    char field[32];
    snprintf(field, sizeof(field), "%s_at", batch_state_name(state));
    put(o, "status", yyjson_mut_str(o->doc, batch_state_name(state)));
    put(o, field, yyjson_mut_int(o->doc, now));
}

void batch_object_set_counts(struct batch_object *o, const struct batch_counts *c) {
    char id[BATCH_ID_SIZE];
    yyjson_mut_val *counts = yyjson_mut_obj(o->doc);
    yyjson_mut_obj_add_uint(o->doc, counts, "total", c->total);
    yyjson_mut_obj_add_uint(o->doc, counts, "completed", c->completed);
    yyjson_mut_obj_add_uint(o->doc, counts, "failed", c->failed);
    put(o, "request_counts", counts);
    batch_output_id(batch_object_text(o, "id"), false, id);
    if (c->completed > 0) batch_object_set_text(o, "output_file_id", id);
    batch_output_id(batch_object_text(o, "id"), true, id);
    if (c->failed > 0) batch_object_set_text(o, "error_file_id", id);
}

void batch_object_set_faults(struct batch_object *o, const struct batch_fault *faults, size_t n) {
    yyjson_mut_doc *doc = o->doc;
    yyjson_mut_val *errors = yyjson_mut_obj(doc), *data = yyjson_mut_arr(doc);
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *f = yyjson_mut_arr_add_obj(doc, data);
        yyjson_mut_obj_add_str(doc, f, "code", faults[i].code);
        yyjson_mut_obj_add_strcpy(doc, f, "message", faults[i].message);
        yyjson_mut_obj_add_val(doc, f, "param",
                               faults[i].param[0] != '\0' ? yyjson_mut_strcpy(doc, faults[i].param) : yyjson_mut_null(doc));
        yyjson_mut_obj_add_val(doc, f, "line", faults[i].line > 0 ? yyjson_mut_uint(doc, faults[i].line) : yyjson_mut_null(doc));
    }
    yyjson_mut_obj_add_str(doc, errors, "object", "list");
    yyjson_mut_obj_add_val(doc, errors, "data", data);
    put(o, "errors", errors);
}

void batch_object_write(const struct batch_object *o, struct buf *out) { json_write(out, o->doc); }

/* ---- a file ---- */

yyjson_mut_val *batch_file_object(yyjson_mut_doc *doc, yyjson_val *kept) {
    static const struct {
        const char *from, *to;
    } fields[] = {{"id", "id"}, {"bytes", "bytes"}, {"created", "created_at"}, {"name", "filename"}, {"purpose", "purpose"}};
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_str(doc, o, "object", "file");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        yyjson_mut_obj_add_val(doc, o, fields[i].to, yyjson_val_mut_copy(doc, yyjson_obj_get(kept, fields[i].from)));
    int64_t expires = yyjson_get_sint(yyjson_obj_get(kept, "expires"));
    yyjson_mut_obj_add_val(doc, o, "expires_at", expires > 0 ? yyjson_mut_int(doc, expires) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_str(doc, o, "status", "processed");
    return o;
}
