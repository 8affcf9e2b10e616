/* SPDX-License-Identifier: MIT
 * Requests to other servers, against a server of our own on the same loop: whatever the server does, the loop goes on and one end comes. */
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/outbound.h"
#include "http/server.h"

/* libcurl's threads resolve names by this function: "stuck.test" waits until it is let go. */
static pthread_mutex_t stuck_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stuck_more = PTHREAD_COND_INITIALIZER;
static int n_stuck, n_let_go;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof(real));
    if (node == NULL || strcmp(node, "stuck.test") != 0) return real(node, service, hints, ret);
    pthread_mutex_lock(&stuck_lock);
    n_stuck++;
    while (n_let_go == 0) pthread_cond_wait(&stuck_more, &stuck_lock);
    pthread_mutex_unlock(&stuck_lock);
    return EAI_NONAME;
}

struct fixture {
    struct io_loop *loop;
    struct http_server *server;
    struct outbound *outbound;
    struct io_timer *alarm;
    struct http_exchange *x;     /* the last one, if it is not answered */
    struct buf asked, got;       /* the last request: "POST /path body key"; the answer's body */
    int status, n_ended, n_asked;
    uint32_t retry_after_s;
    char type[64];
    err_code code;
    char text[400];
    bool sent, stop_at_body, late, many;
    struct outbound_request *request;
};

static void on_alarm(void *user) {
    struct fixture *f = user;
    f->late = true;
    io_loop_stop(f->loop);
}

static void answer(struct fixture *f, const char *path) {
    struct http_exchange *x = f->x;
    f->x = NULL;
    if (strcmp(path, "/busy") == 0) {
        http_response_header(x, "Retry-After", "7");
        http_respond(x, 429, "application/json", "{}", 2);
    } else if (strcmp(path, "/moved") == 0) {
        http_response_header(x, "Location", "/plain");
        http_respond(x, 302, NULL, "", 0);
    } else if (strcmp(path, "/cut") == 0) {
        http_stream_start(x, 200, "text/event-stream");
        http_stream_write(x, "half", 4);
        f->x = x;
    } else if (strcmp(path, "/long") == 0) {
        char *body = mem_zalloc(3 << 20);
        memset(body, 'x', 3 << 20);
        http_respond(x, 200, "text/plain", body, 3 << 20);
        free(body);
    } else if (strcmp(path, "/silent") == 0) {
        f->x = x;
    } else {
        http_respond(x, 200, "text/plain", "hello", 5);
    }
}

static void on_server_gone(void *user) { ((struct fixture *)user)->x = NULL; }

static void on_request(void *user, struct http_exchange *x) {
    struct fixture *f = user;
    const struct http_request *r = http_request(x);
    const char *key = http_request_header(r, "authorization");
    buf_clear(&f->asked);
    buf_printf(&f->asked, "%s %s %.*s %s", r->method, r->path, (int)r->body_len, r->body, key != NULL ? key : "-");
    f->n_asked++;
    f->x = x;
    http_exchange_on_gone(x, on_server_gone, f);
    answer(f, r->path);
}

static struct fixture *open_fixture(void) {
    struct fixture *f = MEM_NEW(struct fixture);
    struct http_server_options o;
    http_server_options_init(&o);
    o.user = f;
    o.on_request = on_request;
    f->loop = io_loop_create();
    assert_int_equal(http_server_open(f->loop, &o, &f->server, NULL), ERR_OK);
    f->outbound = outbound_create(f->loop);
    f->alarm = io_timer_open(f->loop, on_alarm, f);
    buf_init(&f->asked, 1 << 20);
    buf_init(&f->got, 16 << 20);
    return f;
}

static void close_fixture(struct fixture *f) {
    outbound_free(f->outbound);
    http_server_close(f->server);
    io_timer_close(f->alarm);
    io_loop_free(f->loop);
    buf_done(&f->asked);
    buf_done(&f->got);
    free(f);
}

static void on_head(void *user, const struct outbound_head *head) {
    struct fixture *f = user;
    assert_true(f->status == 0 || f->many);
    f->status = head->status;
    f->retry_after_s = head->retry_after_s;
    snprintf(f->type, sizeof(f->type), "%s", head->content_type);
}

static void on_body(void *user, const void *data, size_t len) {
    struct fixture *f = user;
    assert_int_not_equal(f->status, 0);
    buf_append(&f->got, data, len);
    if (f->stop_at_body) io_loop_stop(f->loop);
}

static void on_end(void *user, const struct outbound_end *end) {
    struct fixture *f = user;
    f->n_ended++;
    f->code = end->code;
    f->sent = end->sent;
    snprintf(f->text, sizeof(f->text), "%s", end->err->text);
    f->request = NULL;
    io_loop_stop(f->loop);
}

static const struct outbound_header key_header = {"Authorization", "Bearer secret"};

static struct outbound_options options(struct fixture *f, char url[200], const char *path) {
    snprintf(url, 200, "http://127.0.0.1:%u%s", http_server_port(f->server), path);
    f->status = f->n_ended = 0;
    f->text[0] = f->type[0] = '\0';
    buf_clear(&f->got);
    return (struct outbound_options){.url = url,
                                     .headers = &key_header,
                                     .n_headers = 1,
                                     .connect_ms = 5000,
                                     .silent_ms = 20000,
                                     .max_body = 16 << 20,
                                     .on_head = on_head,
                                     .on_body = on_body,
                                     .on_end = on_end,
                                     .user = f};
}

static void start(struct fixture *f, const struct outbound_options *o) {
    assert_int_equal(outbound_start(f->outbound, o, &f->request, NULL), ERR_OK);
}

/* Runs until something stops the loop. */
static void run(struct fixture *f) {
    f->late = false;
    io_timer_start(f->alarm, 30000, 0);
    io_loop_run(f->loop);
    assert_false(f->late);
}

/* Lets the loop run for a while in which nothing is expected. */
static void run_briefly(struct fixture *f, unsigned ms) {
    io_timer_start(f->alarm, ms, 0);
    io_loop_run(f->loop);
}

static void get(struct fixture *f, const char *path) {
    char url[200];
    struct outbound_options o = options(f, url, path);
    start(f, &o);
    run(f);
    assert_int_equal(f->n_ended, 1);
}

static void answers_come_and_connections_stay(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    for (int i = 0; i < 3; i++) {
        char url[200];
        struct outbound_options o = options(f, url, "/plain");
        o.body = "{\"a\":1}";
        o.body_len = 7;
        start(f, &o);
        run(f);
        assert_int_equal(f->code, ERR_OK);
        assert_int_equal(f->status, 200);
        assert_true(f->sent);
        assert_string_equal(f->type, "text/plain");
        assert_string_equal(buf_cstr(&f->got), "hello");
        assert_string_equal(buf_cstr(&f->asked), "POST /plain {\"a\":1} Bearer secret");
    }
    assert_int_equal(http_server_connections(f->server), 1);
    get(f, "/busy");
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->status, 429);
    assert_int_equal(f->retry_after_s, 7);
    get(f, "/moved"); /* not followed: the key would go along */
    assert_int_equal(f->status, 302);
    assert_int_equal(f->n_asked, 5);
    close_fixture(f);
}

static void many_at_once(void **state) {
    (void)state;
    enum { MANY = 64 };
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/many");
    struct outbound_request *r;
    for (int i = 0; i < MANY; i++) assert_int_equal(outbound_start(f->outbound, &o, &r, NULL), ERR_OK);
    assert_int_equal(outbound_running(f->outbound), MANY);
    f->many = true;
    while (outbound_running(f->outbound) > 0) run(f);
    assert_int_equal(f->n_asked, MANY);
    assert_int_equal(f->got.len, MANY * 5);
    close_fixture(f);
}

static void bounds_are_kept(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/long");
    o.max_body = 1 << 20;
    start(f, &o);
    run(f);
    assert_int_equal(f->code, ERR_LIMIT);
    assert_true(f->got.len <= 1 << 20);
    const struct outbound_header bad = {"Authorization", "Bearer sec\r\nret: 1"};
    struct err e = {0};
    o = options(f, url, "/plain");
    o.headers = &bad;
    assert_int_equal(outbound_start(f->outbound, &o, &f->request, &e), ERR_INVALID);
    assert_null(strstr(e.text, "sec"));
    assert_int_equal(outbound_running(f->outbound), 0);
    close_fixture(f);
}

static void cut_answer_is_closed(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/cut");
    start(f, &o);
    f->stop_at_body = true;
    run(f);
    assert_string_equal(buf_cstr(&f->got), "half");
    http_stream_abort(f->x);
    run(f);
    assert_int_equal(f->code, ERR_CLOSED);
    assert_true(f->sent);
    close_fixture(f);
}

static void nobody_listens(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/plain");
    http_server_close(f->server);
    f->server = NULL;
    start(f, &o);
    run(f);
    assert_int_equal(f->code, ERR_NETWORK);
    assert_false(f->sent);
    close_fixture(f);
}

static void silence_ends_it(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/silent");
    o.connect_ms = 50;
    o.silent_ms = 50;
    start(f, &o);
    run(f);
    assert_int_equal(f->code, ERR_TIMEOUT);
    assert_true(f->sent);
    assert_int_equal(f->status, 0);
    o = options(f, url, "/cut"); /* the silence comes amid the answer */
    o.silent_ms = 50;
    start(f, &o);
    run(f);
    while (f->n_ended == 0) run(f);
    assert_int_equal(f->code, ERR_TIMEOUT);
    assert_string_equal(buf_cstr(&f->got), "half");
    close_fixture(f);
}

/* A held request takes a bounded part of a long answer, isn't given up for its own silence, and gets the rest later. */
static void held_answers_wait(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/long");
    o.silent_ms = 100;
    f->stop_at_body = true;
    start(f, &o);
    run(f);
    f->stop_at_body = false;
    size_t before = f->got.len;
    assert_true(before < 3 << 20);
    outbound_hold(f->request, true);
    run_briefly(f, 400);
    assert_int_equal(f->got.len, before);
    assert_int_equal(f->n_ended, 0);
    outbound_hold(f->request, false);
    run(f);
    assert_int_equal(f->code, ERR_OK);
    assert_int_equal(f->got.len, 3 << 20);
    close_fixture(f);
}

static void cancelled_in_any_state(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/silent");
    start(f, &o);
    outbound_cancel(f->request); /* nothing has been sent */
    start(f, &o);
    run_briefly(f, 50);
    assert_int_equal(f->n_asked, 1);
    outbound_cancel(f->request); /* the server has it */
    o = options(f, url, "/long");
    start(f, &o);
    f->stop_at_body = true;
    run(f);
    outbound_hold(f->request, true);
    run_briefly(f, 20);
    outbound_cancel(f->request); /* it waits for its reader */
    run_briefly(f, 20);
    assert_int_equal(f->n_ended, 0);
    assert_int_equal(outbound_running(f->outbound), 0);
    o = options(f, url, "/silent");
    start(f, &o); /* ended with its outbound */
    close_fixture(f);
}

/* The thread that resolves the name hangs; the loop doesn't, neither while it waits nor when the request is cancelled. */
static void names_are_resolved_apart(void **state) {
    (void)state;
    struct fixture *f = open_fixture();
    char url[200];
    struct outbound_options o = options(f, url, "/plain");
    o.url = "http://stuck.test:1/";
    start(f, &o);
    for (bool stuck = false; !stuck;) {
        run_briefly(f, 5);
        pthread_mutex_lock(&stuck_lock);
        stuck = n_stuck > 0;
        pthread_mutex_unlock(&stuck_lock);
    }
    outbound_cancel(f->request);
    get(f, "/plain");
    assert_int_equal(f->code, ERR_OK);
    pthread_mutex_lock(&stuck_lock);
    n_let_go++;
    pthread_cond_broadcast(&stuck_more);
    pthread_mutex_unlock(&stuck_lock);
    close_fixture(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_and_connections_stay),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(cut_answer_is_closed),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(held_answers_wait),
        cmocka_unit_test(cancelled_in_any_state),
        cmocka_unit_test(names_are_resolved_apart),
    };
    unsetenv("http_proxy");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
