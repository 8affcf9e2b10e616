/* SPDX-License-Identifier: MIT
 * Sockets of the TCP kind: addresses, connecting, listening, options. */
#include "io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/net.h"

/* ---- addresses ---- */

char *io_addr_format(const struct io_addr *a, char out[IO_ADDR_TEXT_MAX]) {
    const char *fmt = strchr(a->host, ':') != NULL ? "[%s]:%u" : "%s:%u";
    snprintf(out, IO_ADDR_TEXT_MAX, fmt, a->host[0] ? a->host : "*", (unsigned)a->port);
    return out;
}

static void format_sockaddr(const struct sockaddr_storage *sa, socklen_t len, char out[IO_ADDR_TEXT_MAX]) {
    struct io_addr a = {.port = 0};
    char port[8] = "";
    if (getnameinfo((const struct sockaddr *)sa, len, a.host, sizeof(a.host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, IO_ADDR_TEXT_MAX, "?");
        return;
    }
    a.port = (uint16_t)strtoul(port, NULL, 10);
    io_addr_format(&a, out);
}

char *io_sock_peer(int fd, char out[IO_ADDR_TEXT_MAX]) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) != 0 || (sa.ss_family != AF_INET && sa.ss_family != AF_INET6))
        snprintf(out, IO_ADDR_TEXT_MAX, "?");
    else format_sockaddr(&sa, len, out);
    return out;
}

uint16_t io_sock_port(int fd) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0) return 0;
    if (sa.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    if (sa.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return 0;
}

/* ---- waiting and options ---- */

int io_ms_left(clock_us deadline) {
    clock_us now = clock_now();
    if (now >= deadline) return 0;
    clock_us ms = (deadline - now + 999) / 1000;
    return ms > 1000000000u ? 1000000000 : (int)ms;
}

err_code io_sock_wait(int fd, short events, int timeout_ms, struct err *e) {
    clock_us deadline = timeout_ms < 0 ? 0 : clock_now() + (clock_us)timeout_ms * 1000;
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&p, 1, timeout_ms);
        if (n > 0) return ERR_OK;
        if (n == 0) return err_set(e, ERR_TIMEOUT, "timed out");
        if (errno != EINTR) return err_set_errno(e, ERR_IO, errno, "cannot wait for a socket");
        if (timeout_ms >= 0) timeout_ms = io_ms_left(deadline);
    }
}

struct int_option {
    int level, name, value;
    const char *text;
    bool tcp;
};

err_code io_sock_tune(int fd, const struct io_sock_options *o, struct err *e) {
    const struct int_option options[] = {
        {IPPROTO_TCP, TCP_NODELAY, o->no_delay, "TCP_NODELAY", true},
        {SOL_SOCKET, SO_KEEPALIVE, o->keepalive_s > 0, "SO_KEEPALIVE", true},
        {SOL_SOCKET, SO_SNDBUF, o->send_buffer, "SO_SNDBUF", false},
        {SOL_SOCKET, SO_RCVBUF, o->receive_buffer, "SO_RCVBUF", false},
    };
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0) return err_set_errno(e, ERR_IO, errno, "cannot set options of a socket");
    bool tcp = own.ss_family == AF_INET || own.ss_family == AF_INET6;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct int_option *op = &options[i];
        if (op->value <= 0 || (op->tcp && !tcp)) continue;
        if (setsockopt(fd, op->level, op->name, &op->value, sizeof(op->value)) != 0)
            return err_set_errno(e, ERR_IO, errno, "cannot set %s of a socket to %d", op->text, op->value);
    }
    int third = o->keepalive_s >= 3 ? o->keepalive_s / 3 : 1;
    if (tcp && o->keepalive_s > 0 && os_tcp_keepalive(fd, o->keepalive_s, third, 3) != 0)
        return err_set_errno(e, ERR_IO, errno, "cannot set a socket to ask every %d s whether its peer is there", o->keepalive_s);
    if (tcp && o->user_timeout_ms > 0 && os_tcp_user_timeout(fd, o->user_timeout_ms) != 0)
        return err_set_errno(e, ERR_IO, errno, "cannot set a socket to give up after %d ms", o->user_timeout_ms);
    return ERR_OK;
}

/* ---- connecting and listening ---- */

static err_code resolve(const struct io_addr *a, bool passive, struct addrinfo **ret, struct err *e) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)a->port);
    int rc = getaddrinfo(a->host, port, &hints, ret);
    if (rc == EAI_SYSTEM) return err_set_errno(e, ERR_NETWORK, errno, "cannot find the address of \"%s\"", a->host);
    if (rc != 0) return err_set(e, ERR_NETWORK, "cannot find the address of \"%s\": %s", a->host, gai_strerror(rc));
    return ERR_OK;
}

int io_sock_try(const struct sockaddr *addr, socklen_t len, int timeout_ms, int *ret_fd) {
    int fd = os_socket(addr->sa_family, SOCK_STREAM);
    if (fd < 0) return errno;
    int cause = 0;
    if (connect(fd, addr, len) != 0) {
        cause = errno;
        if (cause == EINPROGRESS || cause == EINTR) {
            socklen_t size = sizeof(cause);
            if (io_sock_wait(fd, POLLOUT, timeout_ms, NULL) != ERR_OK) cause = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &size) != 0) cause = errno;
        }
    }
    if (cause != 0) close(fd);
    else *ret_fd = fd;
    return cause;
}

err_code io_sock_connect(const struct io_addr *a, int timeout_ms, int *ret_fd, struct err *e) {
    char text[IO_ADDR_TEXT_MAX];
    io_addr_format(a, text);
    if (a->host[0] == '\0' || a->port == 0) return err_set(e, ERR_INVALID, "cannot connect to \"%s\": it needs a host and a port", text);
    clock_us deadline = clock_now() + (clock_us)timeout_ms * 1000;
    struct addrinfo *list = NULL;
    err_code code = resolve(a, false, &list, e);
    if (code != ERR_OK) return code;
    int left = 0, cause = EADDRNOTAVAIL;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) left++;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next, left--) {
        int share = io_ms_left(deadline) / left; /* so that a dead address leaves time for the next one */
        cause = io_sock_try(ai->ai_addr, ai->ai_addrlen, share > 0 ? share : 1, ret_fd);
        if (cause == 0) break;
    }
    freeaddrinfo(list);
    if (cause == 0) return ERR_OK;
    if (cause == ETIMEDOUT) return err_set(e, ERR_TIMEOUT, "cannot connect to \"%s\": no answer in %.1f s", text, timeout_ms / 1000.0);
    return err_set_errno(e, ERR_NETWORK, cause, "cannot connect to \"%s\"", text);
}

/* Makes a listening socket of one address. 0, or the errno. */
static int listen_one(int family, const struct sockaddr *sa, socklen_t len, bool both, int backlog, int *ret_fd) {
    int fd = os_socket(family, SOCK_STREAM);
    if (fd < 0) return errno;
    int on = 1, only6 = !both;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6)) == 0) && bind(fd, sa, len) == 0 &&
              listen(fd, backlog) == 0;
    int cause = ok ? 0 : errno;
    if (!ok) close(fd);
    else *ret_fd = fd;
    return cause;
}

err_code io_sock_listen(const struct io_addr *a, int backlog, int *ret_fd, struct err *e) {
    char text[IO_ADDR_TEXT_MAX];
    io_addr_format(a, text);
    int cause = EADDRNOTAVAIL;
    if (a->host[0] == '\0' || strcmp(a->host, "::") == 0) {
        struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_addr = IN6ADDR_ANY_INIT};
        struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(a->port), .sin_addr.s_addr = htonl(INADDR_ANY)};
        cause = listen_one(AF_INET6, (struct sockaddr *)&any6, sizeof(any6), true, backlog, ret_fd);
        if (cause == EAFNOSUPPORT || cause == EADDRNOTAVAIL) /* no IPv6 on this machine */
            cause = listen_one(AF_INET, (struct sockaddr *)&any4, sizeof(any4), false, backlog, ret_fd);
    } else {
        struct addrinfo *list = NULL;
        err_code code = resolve(a, true, &list, e);
        if (code != ERR_OK) return code;
        for (const struct addrinfo *ai = list; ai != NULL && cause != 0; ai = ai->ai_next)
            cause = listen_one(ai->ai_family, ai->ai_addr, ai->ai_addrlen, false, backlog, ret_fd);
        freeaddrinfo(list);
    }
    if (cause == 0) return ERR_OK;
    err_code code = err_set_errno(e, ERR_NETWORK, cause, "cannot listen on \"%s\"", text);
    if (cause == EADDRINUSE)
        err_hint(e, "another program (or another node) has port %u; choose another one, or 0 for any", (unsigned)a->port);
    return code;
}

err_code io_sock_accept(int listen_fd, int timeout_ms, int *ret_fd, struct err *e) {
    for (;;) {
        err_code code = io_sock_wait(listen_fd, POLLIN, timeout_ms, e);
        if (code != ERR_OK) return code;
        int fd = os_accept(listen_fd, NULL, NULL);
        if (fd >= 0) {
            *ret_fd = fd;
            return ERR_OK;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            return err_set_errno(e, ERR_NETWORK, errno, "cannot accept a connection");
    }
}

err_code io_sock_pair(int ret_fds[2], struct err *e) {
    if (os_socketpair(ret_fds) != 0) return err_set_errno(e, ERR_IO, errno, "cannot make a pair of sockets");
    return ERR_OK;
}

err_code io_sock_peek(int fd, void *buf, size_t len, size_t *ret_n, struct err *e) {
    ssize_t n;
    do n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        *ret_n = (size_t)n;
        return ERR_OK;
    }
    if (n == 0) return err_set(e, ERR_CLOSED, "the other side closed the connection");
    if (errno == EAGAIN) return ERR_BUSY;
    return err_set_errno(e, ERR_CLOSED, errno, "the connection broke");
}

err_code io_sock_want(int fd, size_t bytes, struct err *e) {
    int value = (int)bytes;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) == 0) return ERR_OK;
    return err_set_errno(e, ERR_IO, errno, "cannot set SO_RCVLOWAT of a socket to %d", value);
}
