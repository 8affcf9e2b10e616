/* SPDX-License-Identifier: MIT
 * See line.h. */
#include "batch/line.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const char *const endpoints[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"};

const char *batch_endpoint(const char *path) {
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++)
        if (strcmp(endpoints[i], path) == 0) return endpoints[i];
    return NULL;
}

const char *batch_endpoints(void) { return "/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses"; }

static err_code read_id(yyjson_val *root, struct batch_line *ret, struct err *e) {
    err_code code = json_need_str(root, "custom_id", &ret->custom_id, e);
    if (code != ERR_OK) return code;
    size_t len = yyjson_get_len(yyjson_obj_get(root, "custom_id"));
    if (len > 0 && len <= BATCH_MAX_CUSTOM_ID && strlen(ret->custom_id) == len) return ERR_OK;
    return err_set_field(e, ERR_INVALID, "custom_id", "expected 1 to %d letters", BATCH_MAX_CUSTOM_ID);
}

static err_code read_target(yyjson_val *root, const char *endpoint, struct err *e) {
    const char *method = NULL, *url = NULL;
    err_code code = json_need_str(root, "method", &method, e);
    if (code == ERR_OK && strcmp(method, "POST") != 0)
        return err_set_field(e, ERR_INVALID, "method", "expected \"POST\", got \"%.20s\"", method);
    if (code == ERR_OK) code = json_need_str(root, "url", &url, e);
    if (code == ERR_OK && strcmp(url, endpoint) != 0)
        return err_set_field(e, ERR_INVALID, "url", "expected the batch's endpoint, \"%s\", got \"%.80s\"", endpoint, url);
    return code;
}

static err_code read_body(yyjson_val *root, struct batch_line *ret, struct err *e) {
    yyjson_val *body = ret->body = yyjson_obj_get(root, "body"), *stream = yyjson_obj_get(body, "stream");
    if (!yyjson_is_obj(body)) return err_set_field(e, ERR_INVALID, "body", "expected an object");
    err_code code = json_need_str(body, "model", &ret->model, e);
    if (code == ERR_OK && ret->model[0] == '\0') code = err_set_field(e, ERR_INVALID, "model", "it is empty");
    if (code == ERR_OK && yyjson_is_true(stream)) code = err_set_field(e, ERR_UNSUPPORTED, "stream", "a batch cannot stream");
    if (code != ERR_OK) err_in_object(e, "body");
    return code;
}

err_code batch_line_read(const char *text, size_t len, const char *endpoint, struct batch_line *ret, struct err *e) {
    struct batch_line line = {0};
    err_code code = json_parse_body(text, len, &line.doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(line.doc);
    if (!yyjson_is_obj(root)) code = err_set(e, ERR_JSON, "the line is not a JSON object");
    if (code == ERR_OK) code = read_id(root, &line, e);
    if (code == ERR_OK) code = read_target(root, endpoint, e);
    if (code == ERR_OK) code = read_body(root, &line, e);
    if (code == ERR_OK) *ret = line;
    else batch_line_done(&line);
    return code;
}

void batch_line_done(struct batch_line *line) {
    yyjson_doc_free(line->doc);
    *line = (struct batch_line){0};
}

/* ---- results ---- */

/* JSON text as it is; its ends of line, which can't stand inside strings, become blanks. */
static void append_body(struct buf *out, const char *body, size_t len) {
    size_t from = out->len;
    buf_append(out, body, len);
    if (out->failed) return;
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r') out->data[i] = ' ';
}

static void append_text(struct buf *out, const char *name, const char *text) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_str(doc, text));
    buf_append_str(out, name);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void batch_result_write(const struct batch_result *r, struct buf *out) {
    append_text(out, "{\"id\":", r->id);
    append_text(out, ",\"custom_id\":", r->custom_id);
    if (r->status != 0) {
        buf_printf(out, ",\"response\":{\"status_code\":%d", r->status);
        append_text(out, ",\"request_id\":", r->request_id);
        if (r->served_by[0] != '\0') append_text(out, ",\"served_by\":", r->served_by);
        buf_append_str(out, ",\"body\":");
        append_body(out, r->body_len > 0 ? r->body : "null", r->body_len > 0 ? r->body_len : 4);
        buf_append_str(out, "},\"error\":null}");
        return;
    }
    append_text(out, ",\"response\":null,\"error\":{\"code\":", r->error);
    append_text(out, ",\"message\":", r->message);
    buf_append_str(out, "}}");
}
