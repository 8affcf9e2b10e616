/* SPDX-License-Identifier: MIT
 * One connection of the HTTP server: bytes go through llhttp into an exchange; the parser is stopped behind the headers (to judge them) and
 * behind the message (to answer it), so no handler ever runs inside the parser. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/server_priv.h"
#include "io/address.h"

/* ---- states ---- */

static const char *const state_names[CONN_STATE_COUNT] = {"idle", "head", "body", "busy", "closing", "dead"};

#define TO(state) (1u << (state))
static const unsigned legal_edges[CONN_STATE_COUNT] = {
    [CONN_IDLE] = TO(CONN_HEAD) | TO(CONN_CLOSING) | TO(CONN_DEAD),
    [CONN_HEAD] = TO(CONN_BODY) | TO(CONN_BUSY) | TO(CONN_CLOSING) | TO(CONN_DEAD),
    [CONN_BODY] = TO(CONN_BUSY) | TO(CONN_CLOSING) | TO(CONN_DEAD),
    [CONN_BUSY] = TO(CONN_IDLE) | TO(CONN_CLOSING) | TO(CONN_DEAD),
    [CONN_CLOSING] = TO(CONN_DEAD),
    [CONN_DEAD] = 0,
};

void http_conn_set_state(struct http_conn *c, enum http_state state) {
    assert(legal_edges[c->state] & TO(state));
    log_debug("http", "connection %p: %s -> %s", (void *)c, state_names[c->state], state_names[state]);
    c->state = state;
    c->since = io_loop_now(c->server->loop);
}

/* ---- exchange ---- */

/* Printable ASCII, and nothing that would have to be quoted in JSON. */
static bool is_id(const char *text) {
    size_t len = 0;
    for (; text[len] != '\0'; len++)
        if (text[len] <= ' ' || text[len] > '~' || text[len] == '"' || text[len] == '\\') return false;
    return len > 0 && len < HTTP_ID_SIZE;
}

/* sent: the client's x-request-id, or NULL. A good one is kept, so that the logs of both sides speak of the same thing. */
static void exchange_name(struct http_exchange *x, const char *sent) {
    if (sent != NULL && is_id(sent)) snprintf(x->request.id, HTTP_ID_SIZE, "%s", sent);
    else
        snprintf(x->request.id, HTTP_ID_SIZE, "req_%016llx%08llx", (unsigned long long)x->conn->server->id_base,
                 (unsigned long long)x->number);
}

void http_exchange_init(struct http_exchange *x, struct http_conn *c, size_t max_body) {
    x->conn = c;
    x->arena = arena_create();
    buf_init(&x->head, HTTP_MAX_HEAD);
    buf_init(&x->body, max_body);
    buf_init(&x->extra, HTTP_MAX_RESPONSE_HEADERS);
    buf_init(&x->out, SIZE_MAX - 1); /* what one turn of the loop writes */
}

void http_exchange_done(struct http_exchange *x) {
    arena_free(x->arena);
    buf_done(&x->head);
    buf_done(&x->body);
    buf_done(&x->extra);
    buf_done(&x->out);
}

static struct http_exchange *exchange_create(struct http_conn *c) {
    struct http_exchange *x = MEM_NEW(struct http_exchange);
    http_exchange_init(x, c, c->server->o.max_body);
    x->number = ++c->server->n_exchanges;
    exchange_name(x, NULL);
    return x;
}

static void exchange_free(struct http_exchange *x) {
    if (x == NULL) return;
    http_server_release(x->conn->server, &x->held);
    http_exchange_done(x);
    free(x);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Decodes %-escapes in place; false: a broken escape, or one that hides a NUL. */
static bool decode_path(char *path) {
    char *out = path;
    for (const char *in = path; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || high * 16 + low == 0) return false;
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool valid_utf8(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    while (*p != 0) {
        unsigned more = *p < 0x80 ? 0 : *p >= 0xC2 && *p <= 0xDF ? 1 : (*p & 0xF0) == 0xE0 ? 2 : *p >= 0xF0 && *p <= 0xF4 ? 3 : 9;
        if (more == 9) return false;
        if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F))
            return false;
        for (unsigned i = 1; i <= more; i++)
            if ((p[i] & 0xC0) != 0x80) return false;
        p += more + 1;
    }
    return true;
}

/* Makes the request's strings from the raw head; returns why it cannot, or NULL. */
static const char *exchange_finish_head(struct http_exchange *x) {
    struct http_request *r = &x->request;
    const char *raw = buf_cstr(&x->head);
    if (x->head.len > 0 && memchr(raw, 0, x->head.len) != NULL) return "a NUL byte in the headers";
    char *url = arena_strndup(x->arena, raw, x->url_len);
    if (*url != '/') { /* absolute form, as to a proxy: RFC 9112 section 3.2.2 wants it understood */
        char *slash = strncasecmp(url, "http://", 7) == 0 ? strchr(url + 7, '/') : NULL;
        url = slash != NULL ? slash : arena_strdup(x->arena, strcmp(url, "*") == 0 ? "*" : "/");
    }
    url[strcspn(url, "#")] = '\0';
    char *query = strchr(url, '?');
    if (query != NULL) *query++ = '\0';
    if (!decode_path(url) || !valid_utf8(url)) return "malformed path";
    struct http_header *headers = arena_alloc(x->arena, (x->n_marks + 1) * sizeof(*headers));
    for (size_t i = 0; i < x->n_marks; i++) {
        headers[i].name = arena_strndup(x->arena, raw + x->marks[i].name, x->marks[i].name_len);
        headers[i].value = arena_strndup(x->arena, raw + x->marks[i].value, x->marks[i].value_len);
    }
    *r = (struct http_request){
        .method = llhttp_method_name((llhttp_method_t)llhttp_get_method(&x->conn->parser)),
        .path = url,
        .query = query != NULL ? query : "",
        .headers = headers,
        .n_headers = x->n_marks,
        .body = "",
        .note = &x->note,
        .from_loopback = x->conn->from_loopback,
    };
    exchange_name(x, http_request_header(r, "x-request-id"));
    buf_done(&x->head);
    return NULL;
}

/* ---- parser callbacks ---- */

static int refuse(struct http_conn *c, int status, const char *why) {
    c->refusal = why;
    c->refusal_status = status;
    return HPE_USER;
}

static const char too_large[] = "the body is too large";
static const char too_much[] = "the bodies of other requests take all the memory for such: try again";

static int on_message_begin(llhttp_t *p) {
    struct http_conn *c = p->data;
    c->refusal = NULL;
    c->exchange = exchange_create(c);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len) {
    struct http_conn *c = p->data;
    struct http_exchange *x = c->exchange;
    buf_append(&x->head, at, len);
    x->url_len = x->head.len;
    return x->head.failed ? refuse(c, 414, "the path is too long") : 0;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len) {
    struct http_conn *c = p->data;
    struct http_exchange *x = c->exchange;
    if (c->state != CONN_HEAD) return 0; /* trailers are read over */
    if (x->n_marks == 0 || x->marks[x->n_marks - 1].value != 0) {
        if (x->n_marks == HTTP_MAX_HEADERS) return refuse(c, 431, "too many headers");
        x->marks[x->n_marks++].name = x->head.len;
    }
    buf_append(&x->head, at, len);
    x->marks[x->n_marks - 1].name_len += len;
    return x->head.failed ? refuse(c, 431, "the headers are too large") : 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len) {
    struct http_conn *c = p->data;
    struct http_exchange *x = c->exchange;
    if (c->state != CONN_HEAD) return 0;
    if (x->marks[x->n_marks - 1].value == 0) x->marks[x->n_marks - 1].value = x->head.len; /* never 0: a name stands before it */
    buf_append(&x->head, at, len);
    x->marks[x->n_marks - 1].value_len += len;
    return x->head.failed ? refuse(c, 431, "the headers are too large") : 0;
}

static int on_headers_complete(llhttp_t *p) {
    struct http_conn *c = p->data;
    struct http_exchange *x = c->exchange;
    p->upgrade = 0; /* offers of another protocol are declined by answering in this one (RFC 9110 section 7.8) */
    const char *why = exchange_finish_head(x);
    if (why != NULL) return refuse(c, 400, why);
    bool v11 = p->http_major == 1 && p->http_minor == 1;
    if (!v11 && !(p->http_major == 1 && p->http_minor == 0)) return refuse(c, 505, "HTTP/1.0 and HTTP/1.1 are spoken here");
    if (v11 && http_request_header(&x->request, "host") == NULL) return refuse(c, 400, "the Host header is missing");
    x->head_only = strcmp(x->request.method, "HEAD") == 0;
    x->chunked = v11;
    const char *encoding = http_request_header(&x->request, "content-encoding");
    if (encoding != NULL && strcasecmp(encoding, "identity") != 0) return refuse(c, 415, "bodies are taken without a Content-Encoding");
    if (!(p->flags & F_CHUNKED) && p->content_length == 0) return 0; /* no body comes: it is judged with the whole message */
    c->pause = HTTP_PAUSE_HEADERS;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t len) {
    struct http_conn *c = p->data;
    struct http_exchange *x = c->exchange;
    if (x->piece_fn != NULL) {
        x->piece_len += len;
        if (x->piece_len > x->piece_max) return refuse(c, 413, too_large);
        x->piece_fn(x->piece_user, at, len);
        return 0;
    }
    if (!http_server_hold(c->server, &x->held, x->body.len + len)) return refuse(c, 503, too_much);
    buf_append(&x->body, at, len);
    return x->body.failed ? refuse(c, 413, too_large) : 0;
}

static int on_message_complete(llhttp_t *p) {
    struct http_conn *c = p->data;
    c->keep_alive = llhttp_should_keep_alive(p) && !c->server->draining;
    c->pause = HTTP_PAUSE_MESSAGE;
    return HPE_PAUSED;
}

static const llhttp_settings_t *parser_settings(void) {
    static const llhttp_settings_t settings = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    return &settings;
}

/* ---- input ---- */

/* Answers with an error and closes the connection, in any state before BUSY. */
static void conn_refuse(struct http_conn *c, int status, const char *why) {
    if (c->exchange == NULL) c->exchange = exchange_create(c);
    if (c->exchange->piece_fn != NULL && c->exchange->gone_fn != NULL) { /* its taker gets no more */
        c->exchange->gone_fn(c->exchange->gone_user);
        c->exchange->gone_fn = NULL;
    }
    c->exchange->refused = true;
    c->keep_alive = false;
    http_response_error(c->exchange, status, why);
}

/* Blank lines before a request have no exchange yet. */
static uint64_t most_body(const struct http_conn *c) {
    return c->exchange != NULL && c->exchange->piece_fn != NULL ? c->exchange->piece_max : c->server->o.max_body;
}

/* Is there room for the body, if its size is known? false: it has been refused. */
static bool make_room(struct http_conn *c) {
    struct http_exchange *x = c->exchange;
    if ((c->parser.flags & F_CONTENT_LENGTH) == 0) return true;
    const char *why = c->parser.content_length > most_body(c) ? too_large : NULL;
    if (why == NULL && (x->piece_fn != NULL || http_server_hold(c->server, &x->held, (size_t)c->parser.content_length))) return true;
    conn_refuse(c, why != NULL ? 413 : 503, why != NULL ? why : too_much);
    return false;
}

/* The headers of a request with a body are there: false when it has been refused. */
static bool judge_headers(struct http_conn *c) {
    struct http_exchange *x = c->exchange;
    const struct http_server_options *o = &c->server->o;
    http_conn_set_state(c, CONN_BODY);
    if (o->on_headers != NULL) {
        x->refused = true; /* an answer from on_headers closes the connection, because the body has not been read */
        if (!o->on_headers(o->user, x)) return false;
        x->refused = false;
    }
    if (!make_room(c)) return false;
    const char *expect = http_request_header(&x->request, "expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") == 0) io_conn_write(c->io, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

static void dispatch(struct http_conn *c) {
    struct http_exchange *x = c->exchange;
    const struct http_server_options *o = &c->server->o;
    bool judged = c->state == CONN_BODY;
    http_conn_set_state(c, CONN_BUSY);
    x->request.body = buf_cstr(&x->body);
    x->request.body_len = x->body.len;
    if (!judged && o->on_headers != NULL && !o->on_headers(o->user, x)) return;
    o->on_request(o->user, x);
}

/* Reading never pauses, so that the client's end is seen in every state. A client that sends more ahead than the longest request is cut
 * off. */
static void keep_behind(struct http_conn *c, const uint8_t *data, size_t len) {
    bool room = http_server_hold(c->server, &c->held, c->behind.len + len);
    if (room) buf_append(&c->behind, data, len);
    if (!room || c->behind.failed) http_conn_kill(c);
}

static void parse_failed(struct http_conn *c) {
    if (c->refusal != NULL) {
        conn_refuse(c, c->refusal_status, c->refusal);
        return;
    }
    const char *why = llhttp_get_error_reason(&c->parser);
    conn_refuse(c, 400, why != NULL && *why != '\0' ? why : "malformed HTTP request");
}

static void conn_parse(struct http_conn *c, const uint8_t *data, size_t len) {
    while (len > 0) {
        if (c->state == CONN_IDLE) {
            http_conn_set_state(c, CONN_HEAD);
            c->raw_bytes = 0;
        }
        c->pause = HTTP_PAUSE_NONE;
        llhttp_errno_t code = llhttp_execute(&c->parser, (const char *)data, len);
        size_t used = len;
        if (code == HPE_PAUSED) used = (size_t)((const uint8_t *)llhttp_get_error_pos(&c->parser) - data);
        c->raw_bytes += used;
        if (code != HPE_OK && code != HPE_PAUSED) {
            parse_failed(c);
            return;
        }
        uint64_t most = most_body(c), framing = most / 4 + (uint64_t)1024 * 1024; /* chunk sizes, extensions, trailers: not for ever */
        if (c->state == CONN_HEAD ? c->raw_bytes > 2 * HTTP_MAX_HEAD && c->pause == HTTP_PAUSE_NONE
                                  : c->raw_bytes > HTTP_MAX_HEAD + most + framing) {
            conn_refuse(c, c->state == CONN_HEAD ? 431 : 413, "the request is too large");
            return;
        }
        if (code == HPE_OK) return;
        data += used;
        len -= used;
        llhttp_resume(&c->parser);
        if (c->pause == HTTP_PAUSE_MESSAGE) {
            keep_behind(c, data, len); /* first: the answer may come at once and look for the next request */
            if (c->state != CONN_DEAD) dispatch(c);
            return;
        }
        if (!judge_headers(c)) return;
    }
}

/* Whole responses are queued whatever their length. A client that has not taken its last answer gets no further one. */
static bool is_behind(const struct http_conn *c) { return io_conn_queued(c->io) > HTTP_HIGH_WATER; }

static void on_read(void *user, const uint8_t *data, size_t len) {
    struct http_conn *c = user;
    switch (c->state) {
    case CONN_IDLE:
        if (c->behind.len > 0 || is_behind(c)) keep_behind(c, data, len);
        else conn_parse(c, data, len);
        break;
    case CONN_HEAD: conn_parse(c, data, len); break;
    case CONN_BODY:
        c->since = io_loop_now(c->server->loop);
        conn_parse(c, data, len);
        break;
    case CONN_BUSY: keep_behind(c, data, len); break;
    default: break; /* closing: thrown away */
    }
}

static void on_end(void *user, err_code code) {
    (void)code;
    http_conn_destroy(user);
}

/* Is there anything left to answer or to send? */
static bool has_work(const struct http_conn *c) { return c->state == CONN_BUSY || io_conn_queued(c->io) > 0 || c->behind.len > 0; }

/* A client that has gone altogether answers the next bytes with a reset. Here are some that mean nothing. */
static void probe(struct http_conn *c) {
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_exchange *x = c->exchange;
    c->probed = io_loop_now(c->server->loop);
    if (c->state != CONN_BUSY) return;
    if (x->started) http_stream_write(x, x->probe, strlen(x->probe));
    else io_conn_write(c->io, interim, sizeof(interim) - 1);
}

/* Would it be noticed if the client went? */
static bool can_probe(const struct http_conn *c) {
    const struct http_exchange *x = c->exchange;
    return c->state != CONN_BUSY || (x->started ? x->probe != NULL : x->chunked); /* before HTTP/1.1 there is no interim answer */
}

static bool on_half(void *user) {
    struct http_conn *c = user;
    if (c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_DEAD || !has_work(c) || !can_probe(c)) return false;
    c->half = true;
    probe(c);
    io_timer_start(c->server->half_timer, HTTP_HALF_MS, HTTP_HALF_MS);
    return true;
}

bool http_conn_half_tick(struct http_conn *c) {
    if (!c->half || c->state == CONN_DEAD) return false;
    if (io_conn_is_gone(c->io) || !has_work(c)) {
        http_conn_kill(c);
        return false;
    }
    bool due = io_loop_now(c->server->loop) - c->probed > (clock_us)HTTP_PROBE_MS * 1000;
    if (due && can_probe(c)) probe(c);
    return true;
}

static void on_drain(void *user) {
    struct http_conn *c = user;
    if (c->state == CONN_BUSY) http_response_taken(c);
    if (c->state != CONN_IDLE) return;
    c->since = io_loop_now(c->server->loop);
    if (c->behind.len > 0) io_task_post(c->server->loop, &c->task);
}

static const struct io_conn_callbacks conn_callbacks = {.on_read = on_read, .on_end = on_end, .on_half = on_half, .on_drain = on_drain};

/* ---- life ---- */

static void conn_task(void *user) {
    struct http_conn *c = user;
    if (c->state == CONN_DEAD) {
        http_conn_destroy(c);
        return;
    }
    if (c->state != CONN_IDLE || c->behind.len == 0 || is_behind(c)) return; /* on_drain comes */
    size_t len;
    uint8_t *data = buf_detach(&c->behind, &len);
    http_server_release(c->server, &c->held);
    conn_parse(c, data, len);
    free(data);
}

void http_conn_open(struct http_server *s, int fd, const struct sockaddr *peer) {
    struct http_conn *c = MEM_NEW(struct http_conn);
    c->server = s;
    c->from_loopback = io_address_is_loopback(peer);
    c->since = io_loop_now(s->loop);
    c->task = (struct io_task){.fn = conn_task, .user = c};
    c->flush_task = (struct io_task){.fn = http_response_flush, .user = c};
    buf_init(&c->behind, HTTP_MAX_HEAD + s->o.max_body + (size_t)64 * 1024);
    llhttp_init(&c->parser, HTTP_REQUEST, parser_settings());
    c->parser.data = c;
    c->io = io_conn_open(s->loop, fd, HTTP_HIGH_WATER, SIZE_MAX, &conn_callbacks, c);
    c->next = s->conns;
    c->slot = &s->conns;
    if (c->next != NULL) c->next->slot = &c->next;
    s->conns = c;
    s->n_conns++;
}

void http_conn_destroy(struct http_conn *c) {
    struct http_server *s = c->server;
    io_task_cancel(&c->task);
    io_task_cancel(&c->flush_task);
    if (c->reset) io_conn_reset(c->io);
    else io_conn_close(c->io);
    *c->slot = c->next;
    if (c->next != NULL) c->next->slot = c->slot;
    s->n_conns--;
    struct http_exchange *x = c->exchange;
    if (x != NULL && !x->ended && x->gone_fn != NULL) x->gone_fn(x->gone_user);
    exchange_free(x);
    http_server_release(s, &c->held);
    buf_done(&c->behind);
    free(c);
    http_server_conn_gone(s);
}

void http_conn_kill(struct http_conn *c) {
    if (c->state == CONN_DEAD) return;
    http_conn_set_state(c, CONN_DEAD);
    io_task_post(c->server->loop, &c->task);
}

void http_exchange_finished(struct http_exchange *x) {
    struct http_conn *c = x->conn;
    x->ended = true;
    c->exchange = NULL;
    exchange_free(x);
    if (c->state == CONN_DEAD) return;
    if (c->state == CONN_BUSY && c->keep_alive) {
        http_conn_set_state(c, CONN_IDLE);
        if (c->behind.len > 0) io_task_post(c->server->loop, &c->task);
        return;
    }
    http_conn_set_state(c, CONN_CLOSING);
    io_conn_shutdown(c->io);
}

static bool stalled(const struct http_conn *c, clock_us now) {
    return io_conn_queued(c->io) > 0 && now - io_conn_write_progress(c->io) > (clock_us)c->server->o.stall_timeout_ms * 1000;
}

void http_conn_tick(struct http_conn *c, clock_us now) {
    const struct http_server_options *o = &c->server->o;
    clock_us age = now > c->since ? now - c->since : 0;
    if (c->state != CONN_DEAD && stalled(c, now)) {
        http_conn_kill(c);
        return;
    }
    switch (c->state) {
    case CONN_IDLE:
        if (age > (clock_us)o->idle_timeout_ms * 1000 && io_conn_queued(c->io) == 0) http_conn_kill(c);
        break;
    case CONN_HEAD:
        if (age > (clock_us)o->header_timeout_ms * 1000) conn_refuse(c, 408, "the request's headers did not come in time");
        break;
    case CONN_BODY:
        if (age > (clock_us)o->stall_timeout_ms * 1000) conn_refuse(c, 408, "the request's body did not come in time");
        break;
    case CONN_CLOSING:
        if (age > (clock_us)HTTP_LINGER_MS * 1000 && io_conn_queued(c->io) == 0) http_conn_kill(c);
        break;
    default: break;
    }
}
