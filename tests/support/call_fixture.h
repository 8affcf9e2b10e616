/* SPDX-License-Identifier: MIT
 * A gateway made by hand around a scripted backend, for tests of the states of a call: the test answers for the backend, and says when the
 * answers of the template's and the store's threads are delivered. A real client on a socket; one thread. Include after cmocka.h. */
#ifndef CARAVAN_TESTS_CALL_FIXTURE_H
#define CARAVAN_TESTS_CALL_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "requests/call_priv.h"
#include "requests/call_queue.h"
#include "requests/choice.h"
#include "requests/recent.h"
#include "gateway/loads.h"

enum { FIXTURE_CALLS = 64, FIXTURE_WAIT_S = 60 };

enum asked { ASKED_SUBMIT, ASKED_TOKENIZE, ASKED_DETOKENIZE, ASKED_AWAIT };
struct backend_call { /* a request that the backend has got */
    enum asked kind;
    bool open; /* it has been neither answered nor cancelled */
    bool cancelled;
    backend_event_fn fn;
    backend_text_fn text_fn;
    void *user;
    bool alone;
    size_t n_generated;
    int32_t priority;
    uint64_t key;
    char model[32], text[64], *grammar; /* of a submit; owned */
};

#define FIXTURE_TEMPLATE "{% for m in messages %}{{ m.content }}{% endfor %}"
/* Makes the same text, with more steps than a template may take at once. */
#define FIXTURE_SLOW_TEMPLATE "{% for i in range(60000) %}{% endfor %}" FIXTURE_TEMPLATE

struct fixture {
    struct io_loop *loop;
    struct http_server *http;
    struct io_timer *timer;
    struct gateway g;
    const struct api *api;      /* of the next request */
    atomic_int rendered, stored; /* answers that wait for their delivery */
    /* backend */
    struct backend_model model;
    bool known;                 /* there is a model at all */
    struct backend_model second, list[2]; /* second: as model, if it has an id */
    struct backend_call calls[FIXTURE_CALLS];
    size_t n_calls;
    int32_t keep_s;             /* the last keep's seconds; -2: there was none */
    bool may_unload;
    err_code refuse;            /* the result of the next submit; ERR_OK: the request is taken */
    /* client */
    const char *headers;        /* further ones of its requests, each with its line end; NULL: none */
    int fd;
    struct buf out, in;
    size_t sent;
    bool (*until)(struct fixture *f);
    clock_us deadline;
};

/* ---- the backend ---- */

static inline struct backend_call *backend_add(struct fixture *f, enum asked kind, void *user) {
    assert_true(f->n_calls < FIXTURE_CALLS);
    struct backend_call *c = &f->calls[f->n_calls++];
    *c = (struct backend_call){.kind = kind, .open = true, .user = user};
    return c;
}

static inline err_code backend_submit(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret,
                                      struct err *e) {
    struct fixture *f = self;
    err_code code = f->refuse;
    f->refuse = ERR_OK;
    if (code != ERR_OK) return err_set(e, code, "the test refuses it");
    *ret = backend_add(f, ASKED_SUBMIT, user);
    (*ret)->fn = fn;
    (*ret)->alone = r->alone;
    (*ret)->n_generated = r->n_generated;
    (*ret)->priority = r->priority;
    (*ret)->key = r->key;
    (*ret)->grammar = mem_strdup(r->sampling.grammar);
    snprintf((*ret)->text, sizeof((*ret)->text), "%.*s", (int)(r->text_len < 60 ? r->text_len : 60), r->text != NULL ? r->text : "");
    snprintf((*ret)->model, sizeof((*ret)->model), "%s", r->model);
    return ERR_OK;
}

static inline void backend_cancel(void *self, struct backend_call *c) {
    (void)self;
    assert_true(c->open);
    c->open = false;
    c->cancelled = true;
}

static inline err_code backend_text(void *self, enum asked kind, backend_text_fn fn, void *user, struct backend_call **ret) {
    *ret = backend_add(self, kind, user);
    (*ret)->text_fn = fn;
    return ERR_OK;
}

static inline err_code backend_tokenize(void *self, const char *model, const char *text, size_t len, bool bos, bool special,
                                        backend_text_fn fn, void *user, struct backend_call **ret, struct err *e) {
    (void)model, (void)text, (void)len, (void)bos, (void)special, (void)e;
    return backend_text(self, ASKED_TOKENIZE, fn, user, ret);
}

static inline err_code backend_detokenize(void *self, const char *model, const int32_t *tokens, size_t n, backend_text_fn fn, void *user,
                                          struct backend_call **ret, struct err *e) {
    (void)model, (void)tokens, (void)n, (void)e;
    return backend_text(self, ASKED_DETOKENIZE, fn, user, ret);
}

static inline err_code backend_await(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret,
                                     struct err *e) {
    (void)model, (void)e;
    return backend_text(self, ASKED_AWAIT, fn, user, ret);
}

static inline void backend_place(void *self, const struct backend_call *call, char *ret, size_t size) {
    (void)self;
    snprintf(ret, size, "here/%s-1", call->model);
}

static inline const struct backend_model *backend_models(void *self, size_t *ret_n) {
    struct fixture *f = self;
    *ret_n = f->known ? f->second.id != NULL ? 2 : 1 : 0;
    f->list[0] = f->model;
    f->list[1] = f->second;
    return f->list;
}

static inline void backend_keep(void *self, const char *model, int32_t seconds, bool may_unload) {
    struct fixture *f = self;
    (void)model;
    f->keep_s = seconds;
    f->may_unload = may_unload;
}

/* ---- answers of the backend ---- */

/* The last request. */
static inline struct backend_call *last_asked(struct fixture *f, enum asked kind) {
    assert_true(f->n_calls > 0);
    struct backend_call *c = &f->calls[f->n_calls - 1];
    assert_int_equal(c->kind, kind);
    assert_true(c->open);
    return c;
}

static inline void send_event(struct backend_call *c, const struct request_event *ev) {
    assert_true(c->open);
    if (ev->kind == REQUEST_DONE || ev->kind == REQUEST_FAILED) c->open = false;
    c->fn(c->user, ev);
}

static inline void send_token(struct backend_call *c, const char *piece) {
    struct request_event ev = {.kind = REQUEST_TOKEN, .token = 5, .completion_tokens = 1, .prompt_tokens = 3};
    ev.piece_len = (uint16_t)snprintf(ev.piece, sizeof(ev.piece), "%s", piece);
    send_event(c, &ev);
}

static inline void send_done(struct backend_call *c) {
    struct request_event ev = {.kind = REQUEST_DONE, .finish = REQUEST_FINISH_STOP, .prompt_tokens = 3, .completion_tokens = 1};
    send_event(c, &ev);
}

static inline void send_failed(struct backend_call *c, err_code code) {
    struct request_event ev = {.kind = REQUEST_FAILED};
    err_set(&ev.err, code, "the test makes it fail");
    send_event(c, &ev);
}

static inline void send_text(struct backend_call *c, err_code code, const struct backend_text *text) {
    struct err e = {0};
    if (code != ERR_OK) err_set(&e, code, "the test makes it fail");
    c->open = false;
    c->text_fn(c->user, code, text, &e);
}

/* ---- the gateway ---- */

static inline void on_rendered_apart(void *user) { ((struct fixture *)user)->rendered++; }
static inline void on_stored_apart(void *user) { ((struct fixture *)user)->stored++; }

static inline void on_client_request(void *user, struct http_exchange *x) {
    struct fixture *f = user;
    call_start(&f->g, x, f->api);
}

static inline void client_turn(struct fixture *f) {
    while (f->sent < f->out.len) {
        ssize_t n = send(f->fd, f->out.data + f->sent, f->out.len - f->sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        f->sent += (size_t)n;
    }
    char bytes[4096];
    ssize_t n;
    while (f->fd >= 0 && (n = recv(f->fd, bytes, sizeof(bytes), 0)) > 0) buf_append(&f->in, bytes, (size_t)n);
}

static inline void on_turn(void *user) {
    struct fixture *f = user;
    client_turn(f);
    if (f->until(f)) io_loop_stop(f->loop);
    else if (clock_now() > f->deadline) fail_msg("it did not happen in %d s", FIXTURE_WAIT_S);
}

/* Runs the loop until it is so. */
static inline void run_until(struct fixture *f, bool (*until)(struct fixture *f)) {
    f->until = until;
    f->deadline = clock_now() + (clock_us)FIXTURE_WAIT_S * 1000000;
    io_timer_start(f->timer, 0, 1);
    io_loop_run(f->loop);
    io_timer_stop(f->timer);
}

static inline struct fixture *fixture_open(void) {
    struct fixture *f = MEM_NEW(struct fixture);
    struct err e = {0};
    f->loop = io_loop_create();
    f->known = true;
    f->keep_s = -2;
    f->fd = -1;
    f->model = (struct backend_model){.id = "m", .chat_template = FIXTURE_TEMPLATE, .bos = "", .eos = "", .ready = true};
    f->g = (struct gateway){.loop = f->loop,
                            .fingerprint = mem_strdup("fp"),
                            .ping_ms = 1000000,
                            .replay_us = (clock_us)600 * 1000000,
                            .backend = {.self = f,
                                        .submit = backend_submit,
                                        .cancel = backend_cancel,
                                        .tokenize = backend_tokenize,
                                        .detokenize = backend_detokenize,
                                        .await = backend_await,
                                        .keep = backend_keep,
                                        .place = backend_place,
                                        .models = backend_models}};
    gateway_keys_init(&f->g.keys, NULL, 0, NULL);
    f->g.keys.origins = mem_strdup("");
    struct requests *r = f->g.requests = MEM_NEW(struct requests);
    buf_init(&r->scratch, 1 << 20);
    buf_init(&r->text, 1 << 20);
    buf_init(&f->out, 16 << 20);
    buf_init(&f->in, 16 << 20);
    r->habits = habits_create();
    r->recent = recent_create();
    r->readers = io_works_open(f->loop, 4);
    r->render = render_create(on_rendered_apart, f, &e);
    assert_int_equal(store_open(&(struct store_options){.wake = on_stored_apart, .user = f}, &f->g.store, &e), ERR_OK);
    assert_int_equal(gateway_accounting_open(&f->g, &e), ERR_OK);
    f->stored = 0; /* the answers of the start are delivered */
    struct http_server_options http;
    http_server_options_init(&http);
    http.port = 0;
    http.user = f;
    http.on_request = on_client_request;
    assert_int_equal(http_server_open(f->loop, &http, &f->http, &e), ERR_OK);
    f->timer = io_timer_open(f->loop, on_turn, f);
    return f;
}

/* Gives the gateway a routes file. */
static inline void fixture_routes(struct fixture *f, const char *text) {
    char path[] = "/tmp/caravan-routes.XXXXXX";
    int fd = mkstemp(path);
    struct err e = {0};
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    if (aliases_open(f->loop, path, true, NULL, NULL, &f->g.aliases, &e) != ERR_OK) fail_msg("%s", e.text);
    f->g.loads = loads_create(f->loop, &f->g.backend);
    unlink(path);
}

/* The client goes, without a turn of the loop. */
static inline void client_goes(struct fixture *f) {
    http_server_close(f->http);
    f->http = NULL;
}

static inline void fixture_close(struct fixture *f) {
    http_server_close(f->http);
    assert_null(f->g.requests->calls);
    assert_int_equal(f->g.requests->n_calls, 0);
    for (size_t i = 0; i < f->n_calls; i++) {
        assert_false(f->calls[i].open);
        free(f->calls[i].grammar);
    }
    aliases_close(f->g.aliases);
    loads_free(f->g.loads);
    io_timer_close(f->timer);
    requests_close(&f->g);
    gateway_accounting_close(&f->g);
    store_close(f->g.store);
    gateway_keys_done(&f->g.keys);
    buf_done(&f->out);
    buf_done(&f->in);
    free(f->g.fingerprint);
    if (f->fd >= 0) close(f->fd);
    io_loop_free(f->loop);
    free(f);
}

/* ---- the client ---- */

static inline void ask(struct fixture *f, const struct api *api, const char *body) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(f->http)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (f->fd >= 0) close(f->fd);
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(f->fd, F_SETFL, O_NONBLOCK), 0);
    f->api = api;
    f->sent = 0;
    buf_clear(&f->in);
    buf_clear(&f->out);
    buf_printf(&f->out, "POST / HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n", f->headers ? f->headers : "", strlen(body));
    buf_append_str(&f->out, body);
}

/* The status of the response that has begun; 0: none has. */
static inline int status_of(struct fixture *f) {
    const char *text = buf_cstr(&f->in);
    return strlen(text) >= 12 ? (int)strtol(text + 9, NULL, 10) : 0;
}

static inline bool answered(struct fixture *f) { return status_of(f) != 0 && f->g.requests->calls == NULL; }
static inline bool in_state(struct fixture *f, enum call_state state) {
    return f->g.requests->calls != NULL && f->g.requests->calls->state == state;
}
/* All that was asked of the store is done: what is counted from here on belongs to what is asked next. */
static inline void fixture_stored(struct fixture *f) {
    store_finish(f->g.store);
    f->stored = 0;
}

static inline bool is_recalling(struct fixture *f) { return in_state(f, CALL_RECALLING) && f->stored > 0; }
static inline bool is_waiting(struct fixture *f) { return in_state(f, CALL_WAITING); }
/* A template that is too slow, or fails, has been rendered by the thread. */
static inline bool is_rendering(struct fixture *f) { return in_state(f, CALL_RENDERING) && f->rendered > 0; }
static inline bool is_running(struct fixture *f) { return in_state(f, CALL_RUNNING); }
static inline bool has_asked_again(struct fixture *f) { return f->n_calls > 1; }

/* Delivers what the template's thread has rendered. */
static inline void render_apart(struct fixture *f) {
    run_until(f, is_rendering);
    f->rendered = 0;
    render_deliver(f->g.requests->render);
}

static inline void expect_status(struct fixture *f, int status, const char *part) {
    run_until(f, answered);
    if (status_of(f) != status || strstr(buf_cstr(&f->in), part) == NULL)
        fail_msg("expected %d with \"%s\", got: %s", status, part, buf_cstr(&f->in));
}

#endif
