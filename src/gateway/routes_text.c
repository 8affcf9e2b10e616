/* SPDX-License-Identifier: MIT
 * Tokens of a text and text of tokens (llama-server's shapes) */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "api/parse.h"
#include "gateway/server_priv.h"

struct text_call {
    struct gateway *gateway;
    struct http_exchange *x;
    struct backend_call *running;
    char *model;
    bool with_pieces;
    int32_t *tokens;    /* whose pieces are being fetched */
    size_t n_tokens;
};

static void text_call_free(struct text_call *t) {
    struct gateway *g = t->gateway;
    if (t->running != NULL) g->backend.cancel(g->backend.self, t->running);
    free(t->model);
    free(t->tokens);
    free(t);
}

static void text_call_gone(void *user) { text_call_free(user); }

static void text_call_fail(struct text_call *t, err_code code, const struct err *e) {
    gateway_respond_error(t->x, code, e);
    text_call_free(t);
}

static void text_call_answer(struct text_call *t, struct buf *body) {
    gateway_respond(t->x, 200, "application/json", body);
    text_call_free(t);
}

/* A piece that is no UTF-8 by itself is told as its bytes. */
static void append_piece(struct buf *out, const char *piece, size_t len) {
    if (str_utf8_valid(piece, len)) {
        text_append_json(out, piece, len);
        return;
    }
    buf_append_byte(out, '[');
    for (size_t i = 0; i < len; i++) buf_printf(out, i > 0 ? ",%u" : "%u", (uint8_t)piece[i]);
    buf_append_byte(out, ']');
}

static void on_pieces(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct text_call *t = user;
    t->running = NULL;
    if (code != ERR_OK) {
        text_call_fail(t, code, e);
        return;
    }
    struct buf body;
    buf_init(&body, SIZE_MAX - 1);
    buf_append_str(&body, t->with_pieces ? "{\"tokens\":[" : "{\"content\":");
    for (size_t i = 0, at = 0; t->with_pieces && i < text->n; i++) {
        buf_printf(&body, "%s{\"id\":%d,\"piece\":", i > 0 ? "," : "", t->tokens[i]);
        append_piece(&body, text->bytes + at, text->ends[i] - at);
        buf_append_byte(&body, '}');
        at = text->ends[i];
    }
    if (!t->with_pieces) text_append_json(&body, text->bytes, text->n > 0 ? text->ends[text->n - 1] : 0);
    buf_append_str(&body, t->with_pieces ? "]}" : "}");
    text_call_answer(t, &body);
}

static void fetch_pieces(struct text_call *t) {
    struct backend *b = &t->gateway->backend;
    struct err e = {0};
    err_code code = b->detokenize(b->self, t->model, t->tokens, t->n_tokens, on_pieces, t, &t->running, &e);
    if (code != ERR_OK) text_call_fail(t, code, &e);
}

static void on_tokens(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct text_call *t = user;
    t->running = NULL;
    if (code != ERR_OK) {
        text_call_fail(t, code, e);
        return;
    }
    if (t->with_pieces) {
        t->tokens = mem_calloc(text->n, sizeof(*t->tokens));
        t->n_tokens = text->n;
        if (text->n > 0) memcpy(t->tokens, text->tokens, text->n * sizeof(*t->tokens));
        fetch_pieces(t);
        return;
    }
    struct buf body;
    buf_init(&body, SIZE_MAX - 1);
    buf_append_str(&body, "{\"tokens\":[");
    for (size_t i = 0; i < text->n; i++) buf_printf(&body, i > 0 ? ",%d" : "%d", text->tokens[i]);
    buf_append_str(&body, "]}");
    text_call_answer(t, &body);
}

static err_code parse_body(struct text_call *t, yyjson_doc **ret_doc, struct err *e) {
    const struct http_request *http = http_request(t->x);
    const struct backend_model *model = NULL;
    struct api_request r;
    yyjson_doc *doc = NULL;
    err_code code = json_parse(http->body, http->body_len, &doc, e);
    if (code != ERR_OK) return e->code = ERR_FORMAT;
    api_request_init(&r);
    code = api_parse_model(yyjson_doc_get_root(doc), &r, e);
    if (code == ERR_OK) code = gateway_find_model(t->gateway, r.model, &model, e);
    if (code == ERR_OK) t->model = mem_strdup(model->id);
    api_request_done(&r);
    if (code != ERR_OK) yyjson_doc_free(doc);
    else *ret_doc = doc;
    return code;
}

static err_code start_tokenize(struct text_call *t, yyjson_val *root, struct err *e) {
    struct backend *b = &t->gateway->backend;
    yyjson_val *content = yyjson_obj_get(root, "content");
    bool bos = false, special = true;
    err_code code;
    if (!yyjson_is_str(content)) return api_wrong(e, "content", "a string");
    if ((code = json_get_bool(root, "add_special", &bos, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "parse_special", &special, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "with_pieces", &t->with_pieces, e)) != ERR_OK) return code;
    return b->tokenize(b->self, t->model, yyjson_get_str(content), yyjson_get_len(content), bos, special, on_tokens, t, &t->running, e);
}

static err_code start_detokenize(struct text_call *t, yyjson_val *root, struct err *e) {
    struct backend *b = &t->gateway->backend;
    yyjson_val *list = yyjson_obj_get(root, "tokens"), *v;
    size_t i, n = yyjson_arr_size(list);
    if (!yyjson_is_arr(list) || n > API_MAX_PROMPT_TOKENS) return api_wrong(e, "tokens", "an array of token ids");
    t->tokens = mem_calloc(n, sizeof(*t->tokens));
    t->n_tokens = n;
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT32_MAX) return api_wrong(e, "tokens", "token ids, whole numbers from 0");
        t->tokens[i] = (int32_t)yyjson_get_uint(v);
    }
    return b->detokenize(b->self, t->model, t->tokens, t->n_tokens, on_pieces, t, &t->running, e);
}

static void text_call_start(struct gateway *g, struct http_exchange *x,
                            err_code (*start)(struct text_call *t, yyjson_val *root, struct err *e)) {
    struct text_call *t = MEM_NEW(struct text_call);
    struct err e = {0};
    yyjson_doc *doc = NULL;
    t->gateway = g;
    t->x = x;
    err_code code = parse_body(t, &doc, &e);
    if (code == ERR_OK) code = start(t, yyjson_doc_get_root(doc), &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) text_call_fail(t, code, &e);
    else http_exchange_on_gone(x, text_call_gone, t);
}

void handle_tokenize(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    text_call_start(g, x, start_tokenize);
}

void handle_detokenize(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    text_call_start(g, x, start_detokenize);
}
