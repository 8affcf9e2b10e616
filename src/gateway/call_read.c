/* SPDX-License-Identifier: MIT
 * JSON texts of clients to requests: a short one at once, a long one in a thread, since it may take longer than a stream's next token. See
 * call_priv.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/call_priv.h"

struct call_reading {
    struct call *call; /* NULL: it has ended */
    call_read_fn fn;
    const struct api *api;
    bool resumes;      /* the text is the conversation before the request, else the request's body */
    struct buf text;
    struct api_request request; /* taken from the call, and given back */
    err_code code;
    struct err err;
};

static err_code read_body(const struct api *api, const char *text, size_t len, struct api_request *r, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse_body(text, len, &doc, e); /* numbers in schemas and arguments are passed on as they were written */
    if (code == ERR_LIMIT) code = e->code = ERR_FORMAT; /* nested too deep: malformed, for the client */
    if (code == ERR_OK) code = api->parse(yyjson_doc_get_root(doc), r, e);
    yyjson_doc_free(doc);
    return code;
}

static err_code read_chain(const struct api *api, const char *text, size_t len, struct api_request *r, struct err *e) {
    yyjson_doc *doc = json_read(text, len);
    err_code code =
        doc == NULL ? err_set(e, ERR_INTERNAL, "the stored conversation cannot be read") : api->resume(yyjson_doc_get_root(doc), r, e);
    yyjson_doc_free(doc);
    return code;
}

static void reading_run(void *job) {
    struct call_reading *j = job;
    j->code = (j->resumes ? read_chain : read_body)(j->api, buf_cstr(&j->text), j->text.len, &j->request, &j->err);
}

static void reading_done(void *job) {
    struct call_reading *j = job;
    struct call *call = j->call;
    if (call == NULL) return;
    call->reading = NULL;
    call->request = j->request;
    j->request = (struct api_request){0};
    if (!j->resumes) http_exchange_drop_body(call->x);
    j->fn(call, j->code, &j->err);
}

static void reading_free(void *job) {
    struct call_reading *j = job;
    buf_done(&j->text);
    api_request_done(&j->request);
    free(j);
}

static err_code start_reading(struct call *call, bool resumes, struct buf *text, call_read_fn fn, struct err *e) {
    static const struct io_work work = {.run = reading_run, .done = reading_done, .free = reading_free};
    struct call_reading *j = MEM_NEW(struct call_reading);
    *j = (struct call_reading){.call = call, .fn = fn, .api = call->api, .resumes = resumes, .text = *text, .request = call->request};
    call->request = (struct api_request){0};
    err_code code = io_works_start(call->gateway->readers, &work, j, e);
    if (code == ERR_OK) {
        call->reading = j;
        return ERR_OK;
    }
    reading_free(j);
    return err_set(e, code, "too many long requests are being read: try again later");
}

err_code call_read_body(struct call *call, call_read_fn fn, struct err *e) {
    const struct http_request *http = http_request(call->x);
    if (http->body_len <= CALL_READ_AT_ONCE) {
        err_code code = read_body(call->api, http->body, http->body_len, &call->request, e);
        http_exchange_drop_body(call->x);
        return code;
    }
    struct buf body = http_request_take_body(call->x);
    return start_reading(call, false, &body, fn, e);
}

err_code call_read_chain(struct call *call, const char *text, size_t len, call_read_fn fn, struct err *e) {
    if (len <= CALL_READ_AT_ONCE) return read_chain(call->api, text, len, &call->request, e);
    struct buf copy;
    buf_init(&copy, SIZE_MAX - 1);
    buf_append(&copy, text, len);
    return start_reading(call, true, &copy, fn, e);
}

void call_read_cancel(struct call *call) {
    if (call->reading == NULL) return;
    call->reading->call = NULL;
    call->reading = NULL;
}
