/* SPDX-License-Identifier: MIT
 * The HTTP server, with raw bytes over real sockets: messages that RFC 9112 allows, and messages that it doesn't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/tcp.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/http_fixture.h"

static int start(void **state, void (*change)(struct http_server_options *o)) {
    struct http_fixture *f = MEM_NEW(struct http_fixture);
    http_server_options_init(&f->options);
    if (change != NULL) change(&f->options);
    fixture_start(f);
    *state = f;
    return 0;
}

static void narrow(struct http_server_options *o) {
    o->max_body = 100000;
    o->max_bodies = 150000;
    o->max_queued = 1 << 20;
    o->max_connections = 50;
}

static void impatient(struct http_server_options *o) {
    narrow(o);
    o->header_timeout_ms = 1000;
    o->idle_timeout_ms = 2000;
    o->stall_timeout_ms = 2000;
}

static int setup(void **state) { return start(state, narrow); }
static int setup_impatient(void **state) { return start(state, impatient); } /* for what ends by a time-out */
static int setup_wide(void **state) { return start(state, NULL); }

static int teardown(void **state) {
    fixture_stop(*state);
    free(*state);
    return 0;
}

/* ---- a raw client ---- */

static int dial(const struct http_fixture *f) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say_bytes(int fd, const void *data, size_t len) { assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len); }
static void say(int fd, const char *text) { say_bytes(fd, text, strlen(text)); }

/* Everything until the server closes (or, with `until`, until that has come); caller frees. */
static char *hear(int fd, const char *until) {
    struct buf b;
    buf_init(&b, 64 << 20);
    char data[8192];
    ssize_t n = 1;
    while ((until == NULL || strstr(buf_cstr(&b), until) == NULL) &&
           ((n = recv(fd, data, sizeof(data), 0)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) buf_append(&b, data, (size_t)n);
    if (n < 0 && errno == EAGAIN) buf_append_str(&b, "[TIMED OUT]");
    if (n < 0 && errno == ECONNRESET) buf_append_str(&b, "[RESET]");
    size_t len;
    buf_cstr(&b);
    char *text = (char *)buf_detach(&b, &len);
    return text != NULL ? text : mem_strdup("");
}

static char *ask(struct http_fixture *f, const char *request) {
    int fd = dial(f);
    say(fd, request);
    char *answer = hear(fd, NULL);
    close(fd);
    return answer;
}

static void expect(struct http_fixture *f, const char *request, const char *status, const char *has) {
    char *answer = ask(f, request);
    if (strncmp(answer, status, strlen(status)) != 0 || strstr(answer, has) == NULL)
        fail_msg("for:\n%s\nexpected \"%s\" with \"%s\", got:\n%s", request, status, has, answer);
    free(answer);
}

static void wait_for(atomic_int *what, int value) { assert_int_equal(fixture_wait(what, value), value); }

/* ---- tests ---- */

static void answers(void **state) {
    expect(*state, "GET /a%20b/c?x=%31&y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n",
           "\r\n\r\nGET /a b/c ?x=%31&y ");
    expect(*state, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200",
           "POST /echo ? hello");
    expect(*state,
           "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: "
           "chunked\r\n\r\n3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
           "HTTP/1.1 200", "POST /echo ? hello");
    expect(*state, "GET http://example.com/abs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET /abs ? ");
    expect(*state, "GET /echo HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n");
    expect(*state, "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n", "HTTP/1.1 200", "GET /echo");
    expect(*state, "\r\nGET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "GET /echo");
}

static void head_has_no_body(void **state) {
    char *answer = ask(*state, "HEAD /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "Content-Length: 13\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
}

static void bad_requests(void **state) {
    static const struct {
        const char *request, *status;
    } bad[] = {
        {"GARBAGE\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},                                                      /* no Host */
        {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400"},                                        /* not UTF-8 */
        {"GET / HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", "HTTP/1.1 400"},                             /* a bare line feed */
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505"},
        {"GET / HTTP/0.9\r\n\r\n", "HTTP/1.1 505"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400"}, /* smuggling */
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 400"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) expect(*state, bad[i].request, bad[i].status, "{\"error\":{\"message\":\"");
}

static void headers_are_bounded(void **state) {
    struct buf b;
    buf_init(&b, 10 << 20);
    buf_append_str(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    for (int i = 0; i < 40000; i++) buf_append_byte(&b, 'x');
    buf_append_str(&b, "\r\n\r\n");
    expect(*state, buf_cstr(&b), "HTTP/1.1 431", "too large");
    buf_clear(&b);
    buf_append_str(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 200; i++) buf_printf(&b, "X%d: y\r\n", i);
    buf_append_str(&b, "\r\n");
    expect(*state, buf_cstr(&b), "HTTP/1.1 431", "too many");
    buf_clear(&b);
    buf_append_str(&b, "GET /");
    for (int i = 0; i < 40000; i++) buf_append_byte(&b, 'x');
    expect(*state, buf_cstr(&b), "HTTP/1.1 414", "too long");
    buf_done(&b);
}

static void chunked_body_is_bounded(void **state) {
    struct buf b;
    buf_init(&b, 10 << 20);
    buf_append_str(&b, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++) {
        buf_append_str(&b, "2710\r\n");
        for (int k = 0; k < 10000; k++) buf_append_byte(&b, 'b');
        buf_append_str(&b, "\r\n");
    }
    expect(*state, buf_cstr(&b), "HTTP/1.1 413", "too large");
    buf_done(&b);
}

static void pipelined_in_order(void **state) {
    int fd = dial(*state);
    say(fd, "GET /stream/3 HTTP/1.1\r\nHost: h\r\n\r\nPOST /two HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
            "GET /hundred HTTP/1.1\r\nHost: h\r\n\r\nGET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    char *answer = hear(fd, NULL);
    const char *const order[] = {"line 0\n\r\n",    "line 2\n\r\n",    "0\r\n\r\nHTTP/1.1 200 OK",
                                 "POST /two ? abc", "GET /hundred ? ", "GET /last ? "};
    const char *at = answer;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        at = strstr(at, order[i]);
        if (at == NULL) fail_msg("\"%s\" is missing or out of order in:\n%s", order[i], answer);
    }
    free(answer);
    close(fd);
}

/* The same bytes, cut at every place and sent apart: the answer must not depend on it. Blank lines before a request are no part of it. */
static void any_cut_gives_the_same(void **state) {
    static const char request[] =
        "\r\n\r\nPOST /cut?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nwiki\r\n0\r\n\r\n";
    for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
        int fd = dial(*state), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        say_bytes(fd, request, cut);
        fixture_turn(*state);
        say_bytes(fd, request + cut, sizeof(request) - 1 - cut);
        char *answer = hear(fd, NULL);
        if (strstr(answer, "POST /cut ?q wiki") == NULL) fail_msg("cut at %zu: %s", cut, answer);
        free(answer);
        close(fd);
    }
}

static void expect_continue(void **state) {
    int fd = dial(*state);
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n");
    char *first = hear(fd, "\r\n\r\n");
    assert_string_equal(first, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "body");
    char *answer = hear(fd, NULL);
    assert_non_null(strstr(answer, "POST /echo ? body"));
    free(first);
    free(answer);
    close(fd);
    expect(*state, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413", "too large");
}

static void refused_by_headers(void **state) {
    expect(*state, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\nonly a part of it", "HTTP/1.1 401",
           "Connection: close");
    int twice = dial(*state); /* also where an earlier request would have kept the connection */
    say(twice, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
    free(hear(twice, "GET /echo"));
    say(twice, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\nonly a part of it");
    char *second = hear(twice, NULL);
    assert_non_null(strstr(second, "HTTP/1.1 401"));
    assert_non_null(strstr(second, "Connection: close"));
    free(second);
    close(twice);
    int fd = dial(*state); /* without a body the connection lives on */
    say(fd, "GET /refused HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    char *answer = hear(fd, NULL);
    assert_non_null(strstr(answer, "HTTP/1.1 401"));
    assert_non_null(strstr(answer, "GET /next ? "));
    free(answer);
    close(fd);
}

static void a_turn_is_one_chunk(void **state) {
    char *answer = ask(*state, "GET /stream/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "\r\n\r\n7\r\nline 0\n\r\n7\r\nline 1\n\r\n0\r\n\r\n"));
    free(answer);
    answer = ask(*state, "GET /stream/2 HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(answer, "\r\n\r\nline 0\nline 1\n"));
    assert_null(strstr(answer, "chunked"));
    free(answer);
}

static void gone_is_noticed(void **state) {
    struct http_fixture *f = *state;
    int pending = dial(f), full = dial(f), stream = dial(f);
    say(pending, "GET /hang HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for(&f->requests, 1);
    close(pending);
    wait_for(&f->gone, 1);
    static char filler[150 * 1024]; /* after a running request, in pipelined order: the end must be seen nevertheless */
    memset(filler, '\n', sizeof(filler));
    say(full, "GET /hang HTTP/1.1\r\nHost: h\r\n\r\n");
    say_bytes(full, filler, sizeof(filler));
    wait_for(&f->requests, 2);
    fixture_turn(f);
    close(full);
    wait_for(&f->gone, 2);
    say(stream, "GET /stream/100000 HTTP/1.1\r\nHost: h\r\n\r\n");
    free(hear(stream, "line 3"));
    close(stream);
    wait_for(&f->gone, 3);
}

/* A client may close its sending direction: its requests are answered all the same, and the server doesn't take the client for gone. */
static void half_closed_gets_its_answers(void **state) {
    struct http_fixture *f = *state;
    static const struct {
        const char *request, *has;
    } cases[] = {
        {"GET /stream/200 HTTP/1.1\r\nHost: h\r\n\r\n", "line 199"},
        {"GET /stream/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /stream/5 HTTP/1.1\r\nHost: h\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n",
         "GET /echo"},
        {"GET /big/300000 HTTP/1.1\r\nHost: h\r\n\r\n", "bbbb"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = dial(f);
        say(fd, cases[i].request);
        shutdown(fd, SHUT_WR);
        char *answer = hear(fd, NULL);
        if (strstr(answer, cases[i].has) == NULL || strstr(answer, "[TIMED OUT]") != NULL) fail_msg("%s: %s", cases[i].request, answer);
        if (i == 2) assert_true(strlen(answer) > 300000);
        free(answer);
        close(fd);
    }
    assert_int_equal(f->gone, 0);
    int hanging = dial(f); /* closed altogether after that: its end is noticed, though it was said before */
    say(hanging, "GET /hang HTTP/1.1\r\nHost: h\r\n\r\n");
    shutdown(hanging, SHUT_WR);
    free(hear(hanging, "100 Continue"));
    fixture_turn(f);
    assert_int_equal(f->gone, 0);
    close(hanging);
    wait_for(&f->gone, 1);
}

static void bodies_are_bounded_together(void **state) {
    struct http_fixture *f = *state;
    static char body[100000];
    memset(body, 'x', sizeof(body));
    int fd = dial(f);
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n");
    say_bytes(fd, body, 50000);
    fixture_turn(f);
    fixture_turn(f);
    char *second = mem_printf("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n%.60000s", body);
    expect(f, second, "HTTP/1.1 503", "Retry-After: 1\r\n");
    expect(f, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nsmall", "HTTP/1.1 200", "small");
    say_bytes(fd, body + 50000, 50000);
    char *answer = hear(fd, NULL);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    close(fd);
    expect(f, second, "HTTP/1.1 200", "xxx"); /* the other one is done */
    free(answer);
    free(second);
}

static void encoded_bodies_are_refused(void **state) {
    expect(*state, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 415",
           "unsupported_encoding");
    expect(*state, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
           "HTTP/1.1 200", "x");
}

static void slow_reader_is_cut(void **state) {
    struct http_fixture *f = *state;
    int fd = dial(f), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    say(fd, "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for(&f->gone, 1);
    close(fd);
}

/* No client is slow before it could take the first byte. */
static void a_turn_may_be_long(void **state) {
    struct http_fixture *f = *state;
    char *answer = ask(f, "GET /burst HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(answer, "\r\n\r\n400000\r\n"));
    assert_int_equal(f->gone, 0);
    free(answer);
}

enum { BIG = 8 << 20, BIG_ANSWERS = 7 };

/* A client that reads late gets the whole of an answer that is longer than a stream's limit. Only one such answer waits for the client, not
 * all that it asked for. */
static void whole_responses_of_any_size(void **state) {
    struct http_fixture *f = *state;
    char request[80];
    int fd = dial(f);
    for (int i = 0; i < BIG_ANSWERS; i++) {
        snprintf(request, sizeof(request), "GET /big/%d HTTP/1.1\r\nHost: h\r\nConnection: %s\r\n\r\n", BIG,
                 i + 1 < BIG_ANSWERS ? "keep-alive" : "close");
        say(fd, request);
    }
    for (int i = 0; i < 10; i++) fixture_turn(f);
    assert_true(f->requests >= 1 && f->requests < BIG_ANSWERS);
    char *answer = hear(fd, NULL), *at = answer;
    for (int i = 0; i < BIG_ANSWERS; i++) {
        assert_int_equal(strncmp(at, "HTTP/1.1 200 OK\r\n", 17), 0);
        char *body = strstr(at, "\r\n\r\nb");
        assert_non_null(body);
        assert_int_equal(strspn(body + 4, "b"), BIG);
        at = body + 4 + BIG;
    }
    assert_string_equal(at, "");
    free(answer);
    close(fd);
}

static void abort_is_visible(void **state) {
    char *answer = ask(*state, "GET /abort HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr(answer, "0\r\n\r\n")); /* no orderly end */
    free(answer);
}

static void timeouts(void **state) {
    struct http_fixture *f = *state;
    int idle = dial(f), head = dial(f), body = dial(f);
    say(head, "GET / HTTP/1.1\r\nHo");
    say(body, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    char *a = hear(head, NULL), *b = hear(body, NULL), *c = hear(idle, NULL);
    assert_memory_equal(a, "HTTP/1.1 408", 12);
    assert_memory_equal(b, "HTTP/1.1 408", 12);
    assert_string_equal(c, "");
    free(a);
    free(b);
    free(c);
    close(idle);
    close(head);
    close(body);
}

/* A slow header trickle must not keep the connection alive by making progress. */
static void trickle_is_cut(void **state) {
    int fd = dial(*state);
    const char *text = "GET / HTTP/1.1\r\nHost: hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh";
    size_t i = 0;
    for (; i < strlen(text); i++) {
        if (send(fd, text + i, 1, MSG_NOSIGNAL) < 0) break;
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        if (poll(&answer, 1, 20) > 0) break;
    }
    assert_true(i < strlen(text));
    close(fd);
}

static void connections_are_bounded(void **state) {
    struct http_fixture *f = *state;
    int fds[60];
    for (int i = 0; i < 60; i++) fds[i] = dial(f); /* the kernel accepts connections that the server doesn't */
    say(fds[59], "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    struct timeval brief = {.tv_usec = 200 * 1000};
    setsockopt(fds[59], SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief));
    char *nothing = hear(fds[59], NULL);
    assert_string_equal(nothing, "[TIMED OUT]");
    for (int i = 0; i < 20; i++) close(fds[i]);
    struct timeval longer = {.tv_sec = 60};
    setsockopt(fds[59], SOL_SOCKET, SO_RCVTIMEO, &longer, sizeof(longer));
    char *answer = hear(fds[59], NULL);
    assert_non_null(strstr(answer, "GET /echo"));
    for (int i = 20; i < 60; i++) close(fds[i]);
    free(nothing);
    free(answer);
}

static void drains(void **state) {
    struct http_fixture *f = *state;
    int idle = dial(f), busy = dial(f);
    say(busy, "GET /stream/100 HTTP/1.1\r\nHost: h\r\n\r\n");
    free(hear(busy, "line 1"));
    say(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
    free(hear(idle, "GET /echo"));
    io_wake_send(f->drain);
    char *rest = hear(idle, NULL), *answer = hear(busy, NULL);
    assert_string_equal(rest, "");
    assert_non_null(strstr(answer, "line 99\n\r\n0\r\n\r\n")); /* the running one ended in order */
    assert_null(strstr(answer, "TIMED OUT")); /* and its connection was closed after it */
    free(rest);
    free(answer);
    close(idle);
    close(busy);
    wait_for(&f->drained, 1);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(late, (struct sockaddr *)&to, sizeof(to)), -1);
    close(late);
}

/* A body of any length goes by in pieces: beyond the bound of whole bodies, and not beyond its own. */
static void bodies_in_pieces(void **state) {
    struct http_fixture *f = *state;
    struct buf b;
    buf_init(&b, 4 << 20);
    buf_append_str(&b, "POST /pieces HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n");
    for (int i = 0; i < 900000; i++) buf_append_byte(&b, 'x');
    expect(f, buf_cstr(&b), "HTTP/1.1 200", "POST /pieces ? ");
    assert_int_equal(f->piece_bytes, 900000);
    assert_int_equal(f->gone, 0);
    expect(f, "POST /pieces HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n", "HTTP/1.1 413", "too large");
    wait_for(&f->gone, 1);
    expect(f, "POST /pieces HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "POST /pieces ? ");
    assert_int_equal(f->piece_bytes, 900000);
    buf_clear(&b);
    buf_append_str(&b, "POST /pieces HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1100; i++) buf_printf(&b, "3e8\r\n%01000d\r\n", i);
    expect(f, buf_cstr(&b), "HTTP/1.1 413", "too large");
    wait_for(&f->gone, 2);
    buf_done(&b);
    int fd = dial(f); /* a client that goes in the middle */
    say(fd, "POST /pieces HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
    close(fd);
    wait_for(&f->gone, 3);
}

/* A stream far longer than what may wait for a client, to one that takes it slowly; and to one that goes. */
static void patient_streams(void **state) {
    struct http_fixture *f = *state;
    enum { TIMES = 200 };
    int fd = dial(f);
    size_t got = 0;
    char data[16 * 1024];
    say(fd, "GET /patient/200 HTTP/1.0\r\n\r\n");
    for (ssize_t n; (n = recv(fd, data, sizeof(data), 0)) > 0 || (n < 0 && errno == EINTR);) got += n > 0 ? (size_t)n : 0;
    close(fd);
    assert_uint_in_range(got, TIMES * 64 * 1024, TIMES * 64 * 1024 + 1000);
    fd = dial(f);
    say(fd, "GET /patient/1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    char *head = hear(fd, "200 OK");
    if (strncmp(head, "HTTP/1.1 200 OK\r\n", 17) != 0) fail_msg("got \"%s\"", head);
    free(head);
    close(fd);
    wait_for(&f->gone, 1);
}

#define TEST(name)         cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_OF_TIME(name) cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(answers),
        TEST(head_has_no_body),
        TEST(bad_requests),
        TEST(headers_are_bounded),
        TEST(chunked_body_is_bounded),
        TEST(pipelined_in_order),
        TEST(any_cut_gives_the_same),
        TEST(expect_continue),
        TEST(refused_by_headers),
        TEST(a_turn_is_one_chunk),
        TEST(gone_is_noticed),
        TEST(half_closed_gets_its_answers),
        TEST(bodies_are_bounded_together),
        TEST(encoded_bodies_are_refused),
        TEST_OF_TIME(slow_reader_is_cut),
        TEST_OF_TIME(a_turn_may_be_long),
        cmocka_unit_test_setup_teardown(whole_responses_of_any_size, setup_wide, teardown),
        TEST(abort_is_visible),
        TEST_OF_TIME(timeouts),
        TEST_OF_TIME(trickle_is_cut),
        TEST(connections_are_bounded),
        cmocka_unit_test_setup_teardown(drains, setup_wide, teardown),
        TEST(bodies_in_pieces),
        cmocka_unit_test_setup_teardown(patient_streams, setup_wide, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
