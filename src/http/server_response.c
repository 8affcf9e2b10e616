/* SPDX-License-Identifier: MIT
 * Responses: status line and headers, whole bodies, and streams whose writes of one turn leave as one chunk. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "http/server_priv.h"

enum { HEAD_SIZE = 512 };

static const char *status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status) return texts[i].text;
    return "Status";
}

const struct http_request *http_request(const struct http_exchange *x) { return &x->request; }

struct buf http_request_take_body(struct http_exchange *x) {
    struct buf body = x->body;
    buf_init(&x->body, body.max);
    x->request.body = "";
    x->request.body_len = 0;
    return body;
}

const char *http_request_header(const struct http_request *r, const char *name) {
    for (size_t i = 0; i < r->n_headers; i++)
        if (strcasecmp(r->headers[i].name, name) == 0) return r->headers[i].value;
    return NULL;
}

void http_request_take_pieces(struct http_exchange *x, uint64_t max, void (*fn)(void *user, const void *data, size_t len), void *user) {
    x->piece_max = max;
    x->piece_fn = fn;
    x->piece_user = user;
}

void *http_request_taker(const struct http_exchange *x) { return x->piece_user; }

void http_exchange_drop_body(struct http_exchange *x) {
    size_t max = x->body.max;
    buf_done(&x->body);
    buf_init(&x->body, max);
    x->request.body = "";
    x->request.body_len = 0;
    if (x->conn != NULL) http_server_release(x->conn->server, &x->held);
}

void http_exchange_on_gone(struct http_exchange *x, void (*fn)(void *user), void *user) {
    x->gone_fn = fn;
    x->gone_user = user;
}

void http_response_header(struct http_exchange *x, const char *name, const char *value) {
    assert(!x->started);
    assert(strpbrk(name, "\r\n:") == NULL &&
           strpbrk(value, "\r\n") == NULL); /* a caller must check foreign bytes before it puts them into a header */
    buf_printf(&x->extra, "%s: %s\r\n", name, value);
}

/* Writes the status line and the server's headers, except Content-Length and Transfer-Encoding. */
static int format_head(struct http_exchange *x, int status, const char *content_type, char *out, size_t size) {
    struct http_conn *c = x->conn;
    bool keep = c->keep_alive && !x->refused;
    int n = snprintf(out, size, "HTTP/1.1 %d %s\r\nDate: %s\r\nx-request-id: %s\r\n%s%s%s%s", status, status_text(status),
                     http_server_date(c->server), x->request.id, content_type != NULL ? "Content-Type: " : "",
                     content_type != NULL ? content_type : "", content_type != NULL ? "\r\n" : "",
                     !keep        ? "Connection: close\r\n"
                     : x->chunked ? ""
                                  : "Connection: keep-alive\r\n");
    assert(n > 0 && (size_t)n < size);
    return n;
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len) {
    assert(!x->started && !x->ended);
    char head[HEAD_SIZE], length[48];
    x->started = true;
    if (x->conn == NULL) {
        http_within_respond(x, status, body, len);
        return;
    }
    if (x->refused) x->conn->keep_alive = false;
    int head_len = format_head(x, status, content_type, head, sizeof(head));
    int length_len = snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", len);
    struct iovec parts[4] = {{head, (size_t)head_len},
                             {x->extra.data, x->extra.len},
                             {length, (size_t)length_len},
                             {(void *)(uintptr_t)body, x->head_only ? 0 : len}};
    io_conn_writev(x->conn->io, parts, ARRAY_LEN(parts));
    http_exchange_finished(x);
}

static const char *error_code(int status) {
    switch (status) {
    case 408: return "request_timeout";
    case 413: return "body_too_large";
    case 415: return "unsupported_encoding";
    case 503: return "server_busy";
    default: return "bad_request";
    }
}

void http_response_error(struct http_exchange *x, int status, const char *message) {
    struct buf body;
    if (status == 503) http_response_header(x, "Retry-After", "1");
    buf_init(&body, 4096);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *error = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, root, "error", error);
    yyjson_mut_obj_add_str(doc, error, "message", message);
    yyjson_mut_obj_add_str(doc, error, "type", "invalid_request_error");
    yyjson_mut_obj_add_null(doc, error, "param");
    yyjson_mut_obj_add_str(doc, error, "code", error_code(status));
    json_write(&body, doc);
    http_respond(x, status, "application/json", body.data, body.len);
    yyjson_mut_doc_free(doc);
    buf_done(&body);
}

/* ---- streams ---- */

static void schedule_flush(struct http_exchange *x) { io_task_post(x->conn->server->loop, &x->conn->flush_task); }

void http_stream_start(struct http_exchange *x, int status, const char *content_type) {
    assert(!x->started && !x->ended && !x->refused);
    x->started = true;
    if (x->conn == NULL) {
        http_within_start(x, status);
        return;
    }
    if (!x->chunked) x->conn->keep_alive = false; /* HTTP/1.0: the end of the connection is the end of the body */
    char head[HEAD_SIZE];
    int len = format_head(x, status, content_type, head, sizeof(head));
    struct iovec parts[3] = {{head, (size_t)len},
                             {x->extra.data, x->extra.len},
                             {x->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n", x->chunked ? 30 : 2}};
    io_conn_writev(x->conn->io, parts, ARRAY_LEN(parts));
}

void http_stream_probe(struct http_exchange *x, const char *bytes) { x->probe = bytes; }

bool http_stream_started(const struct http_exchange *x) { return x->started; }

void http_stream_write(struct http_exchange *x, const void *data, size_t len) {
    assert(x->started && !x->ended);
    if (x->conn == NULL) {
        buf_append(&x->out, data, len);
        return;
    }
    if (x->head_only || x->conn->state != CONN_BUSY) return;
    if (io_conn_queued(x->conn->io) > x->conn->server->o.max_queued) { /* from earlier turns of the loop */
        http_conn_kill(x->conn); /* the gone callback comes from the loop */
        return;
    }
    buf_append(&x->out, data, len);
    schedule_flush(x);
}

static void send_pending(struct http_exchange *x, bool last) {
    char size[24] = "";
    int size_len = 0;
    size_t len = x->out.len;
    if (x->chunked && len > 0) size_len = snprintf(size, sizeof(size), "%zx\r\n", len);
    const char *tail = !x->chunked || x->head_only ? "" : len > 0 ? (last ? "\r\n0\r\n\r\n" : "\r\n") : last ? "0\r\n\r\n" : "";
    struct iovec parts[3] = {{size, (size_t)size_len}, {x->out.data, len}, {(void *)(uintptr_t)tail, strlen(tail)}};
    io_conn_writev(x->conn->io, parts, ARRAY_LEN(parts));
    buf_clear(&x->out);
}

void http_response_taken(struct http_conn *c) {
    struct http_exchange *x = c->exchange;
    if (x == NULL || x->taken_fn == NULL || io_conn_queued(c->io) > HTTP_HIGH_WATER) return;
    void (*fn)(void *user) = x->taken_fn;
    x->taken_fn = NULL;
    fn(x->taken_user);
}

void http_response_flush(void *user) {
    struct http_conn *c = user;
    if (c->exchange == NULL || c->state != CONN_BUSY) return;
    if (c->exchange->out.len > 0) send_pending(c->exchange, false);
    http_response_taken(c);
}

void http_stream_when_taken(struct http_exchange *x, void (*fn)(void *user), void *user) {
    assert(x->started && !x->ended && x->conn != NULL);
    x->taken_fn = fn;
    x->taken_user = user;
    schedule_flush(x);
}

void http_stream_end(struct http_exchange *x) {
    assert(x->started && !x->ended);
    struct http_conn *c = x->conn;
    if (c == NULL) {
        http_within_respond(x, 0, x->out.data, x->out.len);
        return;
    }
    io_task_cancel(&c->flush_task);
    x->ended = true; /* no gone callback from here on */
    if (c->state != CONN_BUSY) return; /* the connection is being cut, and its task frees the exchange */
    send_pending(x, true);
    http_exchange_finished(x);
}

void http_stream_abort(struct http_exchange *x) {
    struct http_conn *c = x->conn;
    if (c == NULL) {
        http_within_respond(x, 502, "", 0);
        return;
    }
    x->ended = true;
    io_task_cancel(&c->flush_task);
    c->reset = true;
    http_conn_kill(c);
}
