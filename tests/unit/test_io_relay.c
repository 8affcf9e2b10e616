/* SPDX-License-Identifier: MIT
 * The emulated network of the benches: its arithmetic on a clock of the test's own, and that the relay passes bytes on, whole, in both
 * directions and never early. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/sock.h"
#include "relay/relay.h"
#include "relay/relay_line.h"

#define MS UINT64_C(1000000)

static void put(struct relay_line *l, uint64_t now, size_t n, uint8_t byte) {
    while (n > 0) {
        size_t room;
        uint8_t *at = relay_line_space(l, &room);
        assert_true(room > 0);
        room = room < n ? room : n;
        memset(at, byte, room);
        relay_line_put(l, now, room);
        n -= room;
    }
}

static size_t take(struct relay_line *l, uint64_t now) {
    size_t all = 0, n;
    while (relay_line_arrived(l, now, &n), n > 0) {
        relay_line_take(l, n);
        all += n;
    }
    return all;
}

static void delays(void **state) {
    struct relay_line l;
    size_t n;
    (void)state;
    relay_line_init(&l, 20 * MS, 0);
    put(&l, 5 * MS, 100, 1);
    put(&l, 6 * MS, 50, 2);
    assert_int_equal(relay_line_next(&l), 25 * MS);
    assert_int_equal(take(&l, 25 * MS - 1), 0);
    assert_int_equal(relay_line_arrived(&l, 25 * MS, &n)[99], 1);
    assert_int_equal(take(&l, 25 * MS), 100);
    assert_int_equal(relay_line_next(&l), 26 * MS);
    assert_int_equal(*relay_line_arrived(&l, 26 * MS, &n), 2);
    assert_int_equal(n, 50);
    relay_line_take(&l, 50);
    assert_true(relay_line_empty(&l) && relay_line_next(&l) == RELAY_LINE_NEVER);
    relay_line_done(&l);
}

/* 100 Mbit/s: 12,500 bytes a millisecond, however they are put in. An idle line saves nothing up. */
static void has_a_rate(void **state) {
    struct relay_line l;
    (void)state;
    relay_line_init(&l, 20 * MS, 100000000);
    for (int i = 0; i < 100; i++) put(&l, 1000 * MS, 12500, 0);
    for (uint64_t ms = 1; ms <= 100; ms++) {
        assert_int_equal(take(&l, (1020 + ms) * MS - 1), 0);
        assert_int_equal(take(&l, (1020 + ms) * MS), 12500);
    }
    put(&l, 5000 * MS, 25000, 0);
    assert_int_equal(relay_line_next(&l), 5022 * MS);
    relay_line_done(&l);
}

static void is_bounded(void **state) {
    struct relay_line l;
    size_t room;
    (void)state;
    relay_line_init(&l, MS, 0);
    put(&l, 0, RELAY_LINE_BYTES, 0);
    relay_line_space(&l, &room);
    assert_int_equal(room, 0);
    assert_int_equal(take(&l, MS), RELAY_LINE_BYTES);
    for (int i = 0; i < RELAY_LINE_MARKS; i++) put(&l, MS, 1, 0);
    relay_line_space(&l, &room);
    assert_int_equal(room, 0);
    assert_int_equal(take(&l, 2 * MS), RELAY_LINE_MARKS);
    /* across the end of the ring */
    put(&l, 2 * MS, RELAY_LINE_BYTES, 7);
    assert_int_equal(take(&l, 3 * MS), RELAY_LINE_BYTES);
    relay_line_done(&l);
}

/* ---- over sockets ---- */

enum { SIZE = 300000, DELAY_US = 3000 };

static void send_all(int fd, const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0) {
            io_sock_wait(fd, POLLOUT, 60000, NULL);
            continue;
        }
        data += n;
        len -= (size_t)n;
    }
}

static size_t receive(int fd, uint8_t *to, size_t len) {
    size_t got = 0;
    while (got < len && io_sock_wait(fd, POLLIN, 60000, NULL) == ERR_OK) {
        ssize_t n = recv(fd, to + got, len - got, 0);
        if (n == 0) break;
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}

static void passes_bytes_on(void **state) {
    struct io_addr a = {.host = "127.0.0.1"};
    struct err e = {0};
    struct relay *r;
    int listener, client, server;
    (void)state;
    assert_int_equal(io_sock_listen(&a, 1, &listener, &e), ERR_OK);
    struct relay_config c = {.to = {.host = "127.0.0.1", .port = io_sock_port(listener)}, .delay_us = DELAY_US, .bits_per_s = 1000000000};
    assert_int_equal(relay_start(&c, &r, &a.port, &e), ERR_OK);
    assert_int_equal(io_sock_connect(&a, 60000, &client, &e), ERR_OK);
    assert_int_equal(io_sock_accept(listener, 60000, &server, &e), ERR_OK);
    uint8_t *out = mem_alloc(SIZE), *in = mem_alloc(SIZE + 1);
    for (int i = 0; i < SIZE; i++) out[i] = (uint8_t)(i * 7 + i / 255);
    clock_us start = clock_now();
    send_all(client, out, SIZE);
    assert_int_equal(receive(server, in, SIZE), SIZE);
    assert_true(clock_now() - start >= DELAY_US + SIZE * UINT64_C(8) / 1000); /* 2.4 ms through 1 Gbit/s: never early */
    assert_memory_equal(in, out, SIZE);
    send_all(server, out, 1000);
    assert_int_equal(receive(client, in, 1000), 1000);
    assert_memory_equal(in, out, 1000);
    shutdown(client, SHUT_WR); /* one end is done: the other direction still arrives, then its end */
    assert_int_equal(receive(server, in, 1), 0);
    send_all(server, out, 10);
    close(server);
    assert_int_equal(receive(client, in, 11), 10);
    close(client);
    relay_stop(r);
    close(listener);
    free(out);
    free(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays),
        cmocka_unit_test(has_a_rate),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(passes_bytes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
