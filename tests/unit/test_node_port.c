/* SPDX-License-Identifier: MIT
 * The one port: hellos that come in pieces, late, wrong or not at all, and many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sock.h"
#include "io/tls.h"
#include "io/tls_pump.h"
#include "node/port.h"

enum { FLOOD = 400, HELLO_SIZE = 2048 };

struct fixture {
    struct io_loop *loop;
    struct port *port;
    struct io_timer *timer;
    uint8_t hello[HELLO_SIZE];
    size_t hello_len;
    bool known;          /* the answer about new connections */
    int taken;           /* descriptors that were handed over */
    char name[IO_TLS_NAME_MAX];
    uint8_t first[16];   /* the bytes to be read from the last one */
};

static void on_time(void *user) { io_loop_stop(((struct fixture *)user)->loop); }

static bool known(void *user, const struct sockaddr *peer) {
    (void)peer;
    return ((struct fixture *)user)->known;
}

static void take(void *user, const char *name, int fd, const struct sockaddr *peer, bool is_known) {
    struct fixture *f = user;
    assert_int_equal(peer->sa_family, AF_INET);
    assert_int_equal(is_known, f->known);
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->taken++;
    assert_int_equal(recv(fd, f->first, sizeof(f->first), MSG_DONTWAIT), sizeof(f->first)); /* nothing was consumed */
    close(fd);
    io_loop_stop(f->loop);
}

static void run(struct fixture *f, uint64_t ms) {
    io_timer_start(f->timer, ms, 0);
    io_loop_run(f->loop);
    io_timer_stop(f->timer);
}

static void setup(struct fixture *f) {
    static const struct port_callbacks callbacks = {.known = known, .take = take};
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    *f = (struct fixture){.loop = io_loop_create()};
    f->timer = io_timer_open(f->loop, on_time, f);
    assert_int_equal(port_open(f->loop, "127.0.0.1", 0, &callbacks, f, &f->port, NULL), ERR_OK);
    struct io_tls_ctx *ctx = io_tls_ctx_create(key, NULL);
    struct io_tls_pump *p = io_tls_pump_create(ctx, false, "control.caravan");
    struct buf net;
    buf_init(&net, HELLO_SIZE);
    assert_int_equal(io_tls_pump_send(p, "", 0, &net, NULL), ERR_OK);
    memcpy(f->hello, net.data, net.len);
    f->hello_len = net.len;
    buf_done(&net);
    io_tls_pump_free(p);
    io_tls_ctx_free(ctx);
}

static void teardown(struct fixture *f) {
    port_close(f->port);
    io_timer_close(f->timer);
    io_loop_free(f->loop);
}

static int dial(const struct fixture *f) {
    struct io_addr a = {.host = "127.0.0.1", .port = port_number(f->port)};
    int fd = -1;
    assert_int_equal(io_sock_connect(&a, 5000, &fd, NULL), ERR_OK);
    return fd;
}

/* The loop turns until so many wait. */
static void await_guests(struct fixture *f, size_t n) {
    for (int i = 0; i < 500 && port_guests(f->port) != n; i++) run(f, 10);
    assert_int_equal(port_guests(f->port), n);
}

/* Until the port has closed this connection. */
static void await_closed(struct fixture *f, int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 500 && poll(&p, 1, 0) == 0; i++) run(f, 10);
    uint8_t byte;
    assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0 && poll(&p, 1, 0) == 1);
    assert_int_equal(port_guests(f->port), 0);
    close(fd);
}

/* The other end of this connection: the descriptor that the port has. */
static int far_end(int fd) {
    struct sockaddr_in near, far;
    socklen_t len = sizeof(near);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&near, &len), 0);
    for (int other = 3; other < 1024; other++) {
        len = sizeof(far);
        if (other != fd && getpeername(other, (struct sockaddr *)&far, &len) == 0 && far.sin_family == AF_INET &&
            far.sin_port == near.sin_port)
            return other;
    }
    fail_msg("the port has no such connection");
    return -1;
}

/* The bytes that are there stay there, since nothing is consumed; they must not wake the loop again and again. */
static void the_beginning_of_a_hello_costs_nothing(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    static const size_t beginnings[] = {1, 4, 5, 6, 100};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        int fd = dial(&f);
        assert_int_equal(send(fd, f.hello, beginnings[i], 0), beginnings[i]);
        await_guests(&f, 1);
        struct pollfd p = {.fd = far_end(fd), .events = POLLIN};
        for (int turn = 0; turn < 500 && poll(&p, 1, 0) != 0; turn++) run(&f, 10);
        assert_int_equal(poll(&p, 1, 0), 0); /* a loop that polls it sleeps */
        assert_int_equal(send(fd, f.hello + beginnings[i], f.hello_len - beginnings[i], 0), f.hello_len - beginnings[i]);
        run(&f, 5000);
        assert_int_equal(f.taken, (int)i + 1);
        assert_string_equal(f.name, "control.caravan");
        assert_memory_equal(f.first, f.hello, sizeof(f.first));
        close(fd);
    }
    teardown(&f);
}

static void a_hello_that_ends_or_is_wrong_is_closed(void **state) {
    (void)state;
    struct fixture f;
    static const char http[] = "GET / HTTP/1.1\r\n\r\n", none[] = "\x16\x03\x01\xff\xff";
    setup(&f);
    for (size_t n = 0; n < 7; n += 3) {
        int fd = dial(&f);
        if (n > 0) assert_int_equal(send(fd, f.hello, n, 0), n);
        await_guests(&f, 1);
        close(fd);
        await_guests(&f, 0);
    }
    int fd = dial(&f);
    assert_int_equal(send(fd, http, sizeof(http), 0), sizeof(http));
    await_closed(&f, fd);
    fd = dial(&f); /* a record that is longer than a hello may be */
    uint8_t long_one[4200] = {0};
    memcpy(long_one, none, 5);
    assert_int_equal(send(fd, long_one, sizeof(long_one), 0), sizeof(long_one));
    await_closed(&f, fd);
    assert_int_equal(f.taken, 0);
    teardown(&f);
}

/* Hundreds of silent connections, from the same address as the real one. */
static void silent_connections_keep_nobody_out(void **state) {
    (void)state;
    struct fixture f;
    int silent[FLOOD];
    setup(&f);
    for (int i = 0; i < FLOOD; i++) {
        silent[i] = dial(&f);
        run(&f, i % 16 == 0 ? 1 : 0);
    }
    run(&f, 50);
    assert_true(port_guests(f.port) <= 64);
    for (int i = 0; i < 3; i++) {
        int fd = dial(&f);
        assert_int_equal(send(fd, f.hello, f.hello_len, 0), f.hello_len);
        run(&f, 5000);
        assert_int_equal(f.taken, i + 1);
        close(fd);
        f.known = true; /* it then has places of its own */
    }
    for (int i = 0; i < FLOOD; i++) close(silent[i]);
    await_guests(&f, 0);
    teardown(&f);
}

int main(void) {
    io_tls_startup();
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_beginning_of_a_hello_costs_nothing),
                                       cmocka_unit_test(a_hello_that_ends_or_is_wrong_is_closed),
                                       cmocka_unit_test(silent_connections_keep_nobody_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
