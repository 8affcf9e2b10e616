/* SPDX-License-Identifier: MIT
 * The blocking client, against the real server, and against a socket that answers badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/client.h"
#include "support/http_fixture.h"

struct world {
    struct http_fixture f;
    struct http_client *client;
    struct buf body, lines;
    int status, stop_after;
    struct err e;
};

static int setup(void **state) {
    struct world *w = MEM_NEW(struct world);
    http_server_options_init(&w->f.options);
    w->f.options.idle_timeout_ms = 200;
    fixture_start(&w->f);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/base/", w->f.port);
    assert_int_equal(http_client_create(url, "secret", &w->client, &w->e), ERR_OK);
    buf_init(&w->body, 1 << 20);
    buf_init(&w->lines, 1 << 20);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    http_client_free(w->client);
    fixture_stop(&w->f);
    buf_done(&w->body);
    buf_done(&w->lines);
    free(w);
    return 0;
}

static bool on_line(void *user, const char *line, size_t len) {
    struct world *w = user;
    buf_append(&w->lines, line, len);
    buf_append_byte(&w->lines, '|');
    return w->stop_after == 0 || --w->stop_after > 0;
}

static err_code get(struct world *w, const char *path) {
    struct http_client_request r = {.method = "GET", .path = path, .timeout_ms = 60000};
    return http_client_send(w->client, &r, &w->status, &w->body, &w->e);
}

static void asks_and_keeps_the_connection(void **state) {
    struct world *w = *state;
    struct http_client_request r = {.method = "POST", .path = "/x", .body = "{}", .body_len = 2, .timeout_ms = 60000};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_client_send(w->client, &r, &w->status, &w->body, &w->e), ERR_OK);
        assert_int_equal(w->status, 200);
        assert_string_equal(buf_cstr(&w->body), "POST /base/x ? {}");
    }
    assert_int_equal(fixture_turn(&w->f), 1);
    while (fixture_turn(&w->f) > 0) {
    } /* the server closes it, being idle: it must be opened again unasked */
    assert_int_equal(get(w, "/y"), ERR_OK);
    assert_string_equal(buf_cstr(&w->body), "GET /base/y ? ");
}

/* The fixture has its stream under "/stream", so a client without a prefix is needed. */
static struct http_client *bare(struct world *w, uint16_t port) {
    char url[64];
    struct http_client *c = NULL;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    assert_int_equal(http_client_create(url, NULL, &c, &w->e), ERR_OK);
    http_client_free(w->client);
    w->client = c;
    return c;
}

static void streams_lines(void **state) {
    struct world *w = *state;
    struct http_client *c = bare(w, w->f.port);
    struct http_client_request r = {.method = "GET", .path = "/stream/5", .timeout_ms = 60000, .on_line = on_line, .user = w};
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_OK);
    assert_string_equal(buf_cstr(&w->lines), "line 0|line 1|line 2|line 3|line 4|");
    assert_int_equal(w->body.len, 0);
    buf_clear(&w->lines);
    r.path = "/stream/100000";
    w->stop_after = 2;
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_OK);
    assert_string_equal(buf_cstr(&w->lines), "line 0|line 1|");
    assert_int_equal(fixture_wait(&w->f.gone, 1), 1); /* the client has closed the connection: it has read enough */
    r.path = "/refused";
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_OK);
    assert_int_equal(w->status, 401);
    assert_string_equal(buf_cstr(&w->body), "no\n"); /* an error's body is not lines */
    r.path = "/abort";
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_CLOSED);
}

static void *cancel_when_asked(void *user) {
    struct world *w = user;
    fixture_wait(&w->f.requests, 2);
    http_client_cancel(w->client);
    return NULL;
}

static void times_out_and_cancels(void **state) {
    struct world *w = *state;
    struct http_client *c = bare(w, w->f.port);
    struct http_client_request r = {.method = "GET", .path = "/hang", .timeout_ms = 150};
    clock_us start = clock_now();
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_TIMEOUT);
    assert_true(clock_now() - start >= 150 * 1000);
    pthread_t thread;
    r.timeout_ms = 0;
    pthread_create(&thread, NULL, cancel_when_asked, w);
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_CANCELLED);
    pthread_join(thread, NULL);
    r.path = "/echo"; /* an old cancel doesn't reach the next request */
    assert_int_equal(http_client_send(c, &r, &w->status, &w->body, &w->e), ERR_OK);
}

static void refuses_bad_addresses(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"https://h", "ftp://h", "h:80", "http://h:x", "http://[::1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_client *c = NULL;
        assert_int_equal(http_client_create(bad[i], NULL, &c, &w->e), ERR_INVALID);
        assert_null(c);
    }
    struct http_client *c = NULL;
    assert_int_equal(http_client_create("http://h", "a\r\nX: y", &c, &w->e), ERR_INVALID);
    fixture_stop(&w->f);
    assert_int_equal(get(w, "/"), ERR_NETWORK);
    assert_non_null(strstr(w->e.text, "127.0.0.1"));
    memset(&w->f, 0, sizeof(w->f));
    http_server_options_init(&w->f.options);
    fixture_start(&w->f);
}

struct liar {
    int fd;
    const char *answer;
};

static void *lie(void *user) {
    struct liar *l = user;
    int fd = accept(l->fd, NULL, NULL);
    char request[4096];
    ssize_t n = recv(fd, request, sizeof(request), 0);
    if (n > 0) n = send(fd, l->answer, strlen(l->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static err_code ask_liar(struct world *w, const char *answer, size_t max) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    struct liar l = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .answer = answer};
    assert_int_equal(bind(l.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(l.fd, 1), 0);
    getsockname(l.fd, (struct sockaddr *)&a, &len);
    pthread_t thread;
    pthread_create(&thread, NULL, lie, &l);
    bare(w, ntohs(a.sin_port));
    buf_done(&w->body);
    buf_init(&w->body, max);
    err_code code = get(w, "/");
    pthread_join(thread, NULL);
    close(l.fd);
    return code;
}

static void bad_answers(void **state) {
    struct world *w = *state;
    assert_int_equal(ask_liar(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 100), ERR_CLOSED);
    assert_int_equal(ask_liar(w, "SSH-2.0-OpenSSH\r\n\r\n", 100), ERR_PROTOCOL);
    assert_int_equal(ask_liar(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 5), ERR_LIMIT);
    assert_int_equal(ask_liar(w, "", 100), ERR_CLOSED);
    assert_int_equal(ask_liar(w, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end", 100), ERR_OK);
    assert_string_equal(buf_cstr(&w->body), "to the end");
}

static void sse_lines(void **state) {
    (void)state;
    size_t len;
    assert_memory_equal(http_sse_data("data: {x}", 9, &len), "{x}", 3);
    assert_int_equal(len, 3);
    assert_memory_equal(http_sse_data("data:{x}", 8, &len), "{x}", 3);
    assert_null(http_sse_data(": ping", 6, &len));
    assert_null(http_sse_data("", 0, &len));
    assert_non_null(http_sse_data("data:", 5, &len));
    assert_int_equal(len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(asks_and_keeps_the_connection), TEST(streams_lines), TEST(times_out_and_cancels),
                                       TEST(refuses_bad_addresses),         TEST(bad_answers),   cmocka_unit_test(sse_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
