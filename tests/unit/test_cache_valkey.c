/* SPDX-License-Identifier: MIT
 * The cache's client of a Valkey server, against a server of our own that misbehaves: whatever comes, each question is answered once and
 * soon, and the connection is made again. (A real server is asked in e2e_cache.) And the addresses that people write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cache/valkey.h"
#include "io/stream.h"

enum { WAIT_S = 60 };

/* What the server says to GET, after it has let the client in. */
enum manner { KEEPS_SILENT, HAS_IT, HAS_NONE, REFUSES, TALKS_NONSENSE, BREAKS_OFF, SAYS_TOO_MUCH, LETS_NOBODY_IN };

struct world {
    struct io_loop *loop;
    struct io_listener *listener;
    struct io_conn *conn;
    struct io_timer *timer;
    struct cache_port port;
    enum manner manner;
    unsigned connections, hellos, answers;
    bool found;
    struct buf text;            /* the answer */
    bool (*until)(struct world *w);
    clock_us deadline;
};

/* ---- the server ---- */

static void say(struct world *w, const char *text) { io_conn_write(w->conn, text, strlen(text)); }

static void answer_get(struct world *w) {
    switch (w->manner) {
    case KEEPS_SILENT:
    case LETS_NOBODY_IN: break;
    case HAS_IT: say(w, "$6\r\nan"), say(w, "swer\r\n"); break;
    case HAS_NONE: say(w, "$-1\r\n"); break;
    case REFUSES: say(w, "-LOADING not yet\r\n"); break;
    case TALKS_NONSENSE: say(w, "HTTP/1.1 200 OK\r\n\r\n"); break;
    case BREAKS_OFF: say(w, "$6\r\nans"), io_conn_shutdown(w->conn); break;
    case SAYS_TOO_MUCH: say(w, ":1\r\n:2\r\n:3\r\n"); break;
    }
}

static void on_server_read(void *user, const uint8_t *data, size_t len) {
    struct world *w = user;
    char *text = mem_strndup((const char *)data, len);
    if (strstr(text, "SELECT") != NULL) {
        w->hellos++;
        say(w, w->manner == LETS_NOBODY_IN ? "-NOAUTH who are you?\r\n" : "+OK\r\n");
    }
    if (strstr(text, "GET") != NULL) answer_get(w);
    free(text);
}

static void on_server_end(void *user, err_code code) {
    struct world *w = user;
    (void)code;
    io_conn_close(w->conn);
    w->conn = NULL;
}

static void on_accept(void *user, int fd, const struct sockaddr *peer) {
    static const struct io_conn_callbacks callbacks = {.on_read = on_server_read, .on_end = on_server_end};
    struct world *w = user;
    (void)peer;
    io_conn_close(w->conn);
    w->connections++;
    w->conn = io_conn_open(w->loop, fd, 1 << 20, 1 << 20, &callbacks, w);
}

/* ---- the client ---- */

static void on_found(void *user, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len) {
    struct world *w = user;
    assert_int_equal(key[0], 7);
    w->answers++;
    w->found = data != NULL;
    buf_clear(&w->text);
    buf_append(&w->text, data, len);
}

static void get(struct world *w) {
    const uint8_t key[CACHE_KEY_SIZE] = {7};
    w->answers = 0;
    w->port.get(w->port.self, key);
}

static void on_turn(void *user) {
    struct world *w = user;
    if (w->until(w)) io_loop_stop(w->loop);
    else if (clock_now() > w->deadline) fail_msg("it did not happen in %d s", WAIT_S);
}

static void run_until(struct world *w, bool (*until)(struct world *w)) {
    w->until = until;
    w->deadline = clock_now() + (clock_us)WAIT_S * 1000000;
    io_timer_start(w->timer, 0, 1);
    io_loop_run(w->loop);
    io_timer_stop(w->timer);
}

static bool is_answered(struct world *w) { return w->answers > 0; }
static bool is_let_in(struct world *w) { return w->hellos > 0; }
static bool is_back(struct world *w) { return w->hellos > 1; }

static struct world *open_world(enum manner manner) {
    struct world *w = MEM_NEW(struct world);
    struct cache_valkey_address address = {.host = "127.0.0.1"};
    struct err e = {0};
    w->loop = io_loop_create();
    w->manner = manner;
    buf_init(&w->text, 1 << 20);
    w->timer = io_timer_open(w->loop, on_turn, w);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, on_accept, w, &w->listener, &e), ERR_OK);
    address.port = io_listener_port(w->listener);
    w->port = cache_valkey_open(w->loop, &address, NULL, NULL, on_found, w);
    return w;
}

static void close_world(struct world *w) {
    w->port.close(w->port.self);
    io_listener_close(w->listener);
    io_conn_close(w->conn);
    io_timer_close(w->timer);
    io_loop_free(w->loop);
    buf_done(&w->text);
    free(w);
}

/* ---- the tests ---- */

static void an_answer_comes(void **state) {
    struct world *w = open_world(HAS_IT);
    (void)state;
    get(w); /* before the connection stands: nobody waits for it */
    assert_int_equal(w->answers, 1);
    assert_false(w->found);
    run_until(w, is_let_in);
    get(w);
    run_until(w, is_answered);
    assert_true(w->found);
    assert_string_equal(buf_cstr(&w->text), "answer");
    w->manner = HAS_NONE;
    get(w);
    run_until(w, is_answered);
    assert_false(w->found);
    w->manner = REFUSES; /* which is no reason to leave it */
    get(w);
    run_until(w, is_answered);
    assert_false(w->found);
    assert_int_equal(w->connections, 1);
    close_world(w);
}

/* Nothing comes: the question is given up. What comes for it later is nobody's, and the next answer is the next question's. */
static void a_late_answer_is_nobodys(void **state) {
    struct world *w = open_world(KEEPS_SILENT);
    (void)state;
    run_until(w, is_let_in);
    get(w);
    run_until(w, is_answered);
    assert_false(w->found);
    w->manner = HAS_IT;
    say(w, "$4\r\nlate\r\n");
    get(w);
    run_until(w, is_answered);
    assert_string_equal(buf_cstr(&w->text), "answer");
    assert_int_equal(w->connections, 1);
    close_world(w);
}

static void a_broken_connection_is_made_again(void **state) {
    static const enum manner manners[] = {TALKS_NONSENSE, BREAKS_OFF, SAYS_TOO_MUCH};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(manners); i++) {
        struct world *w = open_world(manners[i]);
        run_until(w, is_let_in);
        get(w);
        run_until(w, is_answered);
        assert_false(w->found);
        run_until(w, is_back);
        w->manner = HAS_IT;
        get(w);
        run_until(w, is_answered);
        assert_int_equal(w->answers, 1);
        assert_true(w->found);
        close_world(w);
    }
}

static void who_is_not_let_in_asks_again_later(void **state) {
    struct world *w = open_world(LETS_NOBODY_IN);
    (void)state;
    run_until(w, is_back);
    w->manner = HAS_IT;
    w->hellos = 0;
    run_until(w, is_let_in);
    get(w);
    run_until(w, is_answered);
    assert_true(w->found);
    close_world(w);
}

static void addresses_are_read(void **state) {
    static const struct {
        const char *url, *host, *user;
        unsigned port, database;
    } good[] = {
        {"redis://box", "box", "", 6379, 0},
        {"valkey://box:7000/3", "box", "", 7000, 3},
        {"REDIS://me@[::1]:7000", "::1", "me", 7000, 0},
        {"redis://a@b@10.0.0.1/", "10.0.0.1", "a@b", 6379, 0},
    };
    static const char *const bad[] = {"",
                                      "box:6379",
                                      "http://box",
                                      "redis://",
                                      "redis://box:0",
                                      "redis://box:x",
                                      "redis://box/one",
                                      "redis://box/99999",
                                      "redis://:open@box",
                                      "redis://me:open@box"};
    struct cache_valkey_address a;
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (cache_valkey_address(good[i].url, &a, &e) != ERR_OK) fail_msg("%s: %s", good[i].url, e.text);
        assert_string_equal(a.host, good[i].host);
        assert_string_equal(a.user, good[i].user);
        assert_int_equal(a.port, good[i].port);
        assert_int_equal(a.database, good[i].database);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (cache_valkey_address(bad[i], &a, &e) != ERR_INVALID) fail_msg("%s is taken", bad[i]);
        assert_null(strstr(e.text, "open"));
        assert_true(e.hint[0] != '\0');
    }
    assert_int_equal(cache_valkey_address("redis://box", &a, &e), ERR_OK);
    assert_false(a.tls);
    assert_int_equal(cache_valkey_address("REDISS://me@box/2", &a, &e), ERR_OK);
    assert_true(a.tls && a.database == 2);
    assert_int_equal(cache_valkey_address("valkeys://box", &a, &e), ERR_OK);
    assert_true(a.tls && a.port == VALKEY_PORT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes),
        cmocka_unit_test(a_late_answer_is_nobodys),
        cmocka_unit_test(a_broken_connection_is_made_again),
        cmocka_unit_test(who_is_not_let_in_asks_again_later),
        cmocka_unit_test(addresses_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
