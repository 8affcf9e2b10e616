/* SPDX-License-Identifier: MIT
 * Addresses, TCP sockets and descriptor passing, on real sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sock.h"

enum { TIMEOUT_MS = 40000 };

static int listen_on(const char *host, uint16_t *ret_port) {
    struct io_addr a = {.port = 0};
    struct err e;
    int fd = -1;
    snprintf(a.host, sizeof(a.host), "%s", host);
    assert_int_equal(io_sock_listen(&a, 4, &fd, &e), ERR_OK);
    *ret_port = io_sock_port(fd);
    assert_int_not_equal(*ret_port, 0);
    return fd;
}

static void test_connect_over_both_families(void **state) {
    (void)state;
    uint16_t port;
    int listener = listen_on("", &port);
    static const char *const hosts[] = {"127.0.0.1", "::1", "localhost"};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loop6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool ipv6 = probe >= 0 && bind(probe, (struct sockaddr *)&loop6, sizeof(loop6)) == 0;
    close(probe);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        if (!ipv6 && strchr(hosts[i], ':') != NULL) continue;
        struct io_addr a = {.port = port};
        struct err e;
        char peer[IO_ADDR_TEXT_MAX];
        int near = -1, far = -1;
        snprintf(a.host, sizeof(a.host), "%s", hosts[i]);
        assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &near, &e), ERR_OK);
        assert_int_equal(io_sock_accept(listener, TIMEOUT_MS, &far, &e), ERR_OK);
        assert_true(fcntl(near, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(near, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(far, F_GETFD) & FD_CLOEXEC);
        char want[16];
        snprintf(want, sizeof(want), ":%u", (unsigned)port);
        assert_non_null(strstr(io_sock_peer(near, peer), want));
        assert_int_equal(send(near, "abc", 3, 0), 3);
        assert_int_equal(io_sock_wait(far, POLLIN, TIMEOUT_MS, &e), ERR_OK);
        uint8_t buf[8];
        size_t n = 0;
        for (int again = 0; again < 2; again++) { /* nothing is consumed */
            assert_int_equal(io_sock_peek(far, buf, sizeof(buf), &n, &e), ERR_OK);
            assert_int_equal(n, 3);
            assert_memory_equal(buf, "abc", 3);
        }
        assert_int_equal(io_sock_want(far, 4, &e), ERR_OK); /* three are too few: not readable, until one more comes */
        assert_int_equal(io_sock_wait(far, POLLIN, 20, &e), ERR_TIMEOUT);
        assert_int_equal(send(near, "d", 1, 0), 1);
        assert_int_equal(io_sock_wait(far, POLLIN, TIMEOUT_MS, &e), ERR_OK);
        assert_int_equal(io_sock_want(far, 1, &e), ERR_OK);
        assert_int_equal(recv(far, buf, sizeof(buf), 0), 4);
        assert_int_equal(io_sock_peek(far, buf, sizeof(buf), &n, &e), ERR_BUSY);
        close(near);
        assert_int_equal(io_sock_wait(far, POLLIN, TIMEOUT_MS, &e), ERR_OK);
        assert_int_equal(io_sock_peek(far, buf, sizeof(buf), &n, &e), ERR_CLOSED);
        close(far);
    }
    close(listener);
}

static void test_errors_of_connecting(void **state) {
    (void)state;
    struct err e;
    uint16_t port;
    int fd = -1, listener = listen_on("127.0.0.1", &port);
    struct io_addr a = {.host = "127.0.0.1", .port = port};
    int second = -1;
    assert_int_equal(io_sock_listen(&a, 4, &second, &e), ERR_NETWORK);
    assert_non_null(strstr(e.text, "in use"));
    assert_non_null(strstr(e.hint, "another"));
    assert_int_equal(second, -1);
    close(listener);
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fd, &e), ERR_NETWORK);
    assert_non_null(strstr(e.text, "127.0.0.1:"));
    assert_non_null(strstr(e.text, "refused"));
    a = (struct io_addr){.host = "no-such-host.invalid", .port = 1};
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fd, &e), ERR_NETWORK);
    assert_non_null(strstr(e.text, "\"no-such-host.invalid\""));
    a = (struct io_addr){.host = "127.0.0.1", .port = 0};
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fd, &e), ERR_INVALID);
    assert_int_equal(fd, -1);
}

/* A listener with a full queue doesn't answer: the connection must give up in time. */
static void test_connect_times_out(void **state) {
    (void)state;
    struct err e;
    struct io_addr a = {.host = "127.0.0.1"};
    int listener = -1, fds[8];
    size_t n = 0;
    assert_int_equal(io_sock_listen(&a, 0, &listener, &e), ERR_OK);
    a.port = io_sock_port(listener);
    err_code code = ERR_OK;
    clock_us before = 0;
    while (code == ERR_OK && n < ARRAY_LEN(fds)) {
        before = clock_now();
        code = io_sock_connect(&a, 200, &fds[n], &e);
        n += code == ERR_OK;
    }
    clock_us took = clock_now() - before;
    assert_int_equal(code, ERR_TIMEOUT);
    assert_non_null(strstr(e.text, "no answer in 0.2 s"));
    assert_true(took >= 190000 && took < TIMEOUT_MS * UINT64_C(1000));
    int fd;
    while (n > 0) close(fds[--n]);
    while (io_sock_accept(listener, 0, &fd, &e) == ERR_OK) close(fd);
    assert_int_equal(io_sock_accept(listener, 20, &fd, &e), ERR_TIMEOUT);
    close(listener);
}

static int int_option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void test_tune(void **state) {
    (void)state;
    struct err e;
    const struct io_sock_options o = {
        .no_delay = true, .keepalive_s = 30, .user_timeout_ms = 4000, .send_buffer = 20000, .receive_buffer = 30000};
    int fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];
    assert_int_equal(io_sock_tune(fd, &o, &e), ERR_OK);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 4000);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_SNDBUF), 40000); /* the kernel doubles it */
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_RCVBUF), 60000);
    close(fd);
    assert_int_equal(io_sock_pair(pair, &e), ERR_OK);
    assert_int_equal(io_sock_tune(pair[0], &o, &e), ERR_OK); /* TCP's options don't concern it */
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(io_sock_tune(-1, &o, &e), ERR_IO);
}

/* A pipe's end passes to the other side of a Unix socket, and works there. */
static void test_pass_a_descriptor(void **state) {
    (void)state;
    struct err e;
    int pair[2], pipe_fds[2], came = -2;
    size_t n = 0;
    char buf[8];
    assert_int_equal(io_sock_pair(pair, &e), ERR_OK);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(io_sock_recv_fd(pair[1], buf, sizeof(buf), &n, &came, &e), ERR_BUSY);
    assert_int_equal(send(pair[0], "..", 2, 0), 2);
    assert_int_equal(io_sock_send_fd(pair[0], "take", 4, pipe_fds[1], &n, &e), ERR_OK);
    assert_int_equal(n, 4);
    close(pipe_fds[1]);
    assert_int_equal(io_sock_recv_fd(pair[1], buf, 2, &n, &came, &e), ERR_OK);
    assert_int_equal(came, -1); /* it belongs to the next bytes */
    assert_int_equal(io_sock_recv_fd(pair[1], buf, sizeof(buf), &n, &came, &e), ERR_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(buf, "take", 4);
    assert_true(came >= 0);
    assert_true(fcntl(came, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(came, "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], buf, 1), 1);
    close(came);
    assert_int_equal(read(pipe_fds[0], buf, 1), 0); /* that was the last one: none has leaked */
    close(pipe_fds[0]);
    close(pair[0]);
    assert_int_equal(io_sock_recv_fd(pair[1], buf, sizeof(buf), &n, &came, &e), ERR_CLOSED);
    assert_int_equal(io_sock_send_fd(pair[1], "x", 1, pair[1], &n, &e), ERR_CLOSED);
    close(pair[1]);
}

static void test_two_descriptors_are_refused(void **state) {
    (void)state;
    struct err e;
    int pair[2], pipe_fds[2], came = -2;
    assert_int_equal(io_sock_pair(pair, &e), ERR_OK);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } c;
    memset(&c, 0, sizeof(c));
    char byte = 'x', buf[8];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = sizeof(c.bytes)};
    c.align.cmsg_level = SOL_SOCKET;
    c.align.cmsg_type = SCM_RIGHTS;
    c.align.cmsg_len = CMSG_LEN(2 * sizeof(int));
    int both[2] = {pipe_fds[1], pipe_fds[1]};
    memcpy(CMSG_DATA(&c.align), both, sizeof(both));
    assert_int_equal(sendmsg(pair[0], &m, 0), 1);
    close(pipe_fds[1]);
    size_t n = 0;
    assert_int_equal(io_sock_recv_fd(pair[1], buf, sizeof(buf), &n, &came, &e), ERR_PROTOCOL);
    assert_int_equal(came, -2);
    assert_int_equal(read(pipe_fds[0], buf, 1), 0); /* both copies are closed */
    close(pipe_fds[0]);
    close(pair[0]);
    close(pair[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect_over_both_families), cmocka_unit_test(test_errors_of_connecting),
        cmocka_unit_test(test_connect_times_out),          cmocka_unit_test(test_tune),
        cmocka_unit_test(test_pass_a_descriptor),          cmocka_unit_test(test_two_descriptors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
