/* SPDX-License-Identifier: MIT
 * Listener and dialler. They use plain sockets under io_poll rather than libuv's own streams, so that a descriptor can be handed to a
 * stage process, and so that the listener itself can handle running out of descriptors. */
#include "io/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/address.h"
#include "io/sock.h"
#include "io/watch.h"
#include "os/net.h"

enum { ACCEPT_BATCH = 64, ACCEPT_RETRY_MS = 1000, LISTEN_BACKLOG = 1024 };

static void set_no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on Unix sockets, which need none */
}

/* ---- listener ---- */

struct io_listener {
    struct io_loop *loop;
    struct io_poll *poll;
    struct io_timer *retry;
    int fd;
    bool paused, *dead; /* dead: set when the listener is closed inside its callback */
    io_accept_fn fn;
    void *user;
};

static void accept_some(void *user, int events, int error) {
    struct io_listener *l = user;
    (void)events;
    (void)error;
    bool dead = false;
    l->dead = &dead;
    for (int i = 0; i < ACCEPT_BATCH && !l->paused; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = os_accept(l->fd, (struct sockaddr *)&peer, &len);
        if (fd >= 0) {
            set_no_delay(fd);
            l->fn(l->user, fd, (struct sockaddr *)&peer);
            if (dead) return;
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno != EAGAIN) { /* EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection waits in the kernel; accepting again at once would spin */
            log_warn("listen", "cannot accept a connection: %s; trying again", strerror(errno));
            io_poll_set(l->poll, 0);
            io_timer_start(l->retry, ACCEPT_RETRY_MS, 0);
        }
        break;
    }
    l->dead = NULL;
}

static void retry_accept(void *user) {
    struct io_listener *l = user;
    if (!l->paused) io_poll_set(l->poll, IO_READ);
}

err_code io_listener_open(struct io_loop *loop, const char *host, uint16_t port, io_accept_fn fn, void *user, struct io_listener **ret,
                          struct err *e) {
    int fd = -1;
    struct io_addr where = {.port = port};
    snprintf(where.host, sizeof(where.host), "%s", host);
    err_code code = io_sock_listen(&where, LISTEN_BACKLOG, &fd, e);
    if (code != ERR_OK) return code;
    struct io_listener *l = MEM_NEW(struct io_listener);
    *l = (struct io_listener){.loop = loop, .fd = fd, .fn = fn, .user = user};
    l->poll = io_poll_open(loop, fd, accept_some, l);
    if (l->poll == NULL) {
        close(fd);
        free(l);
        return err_set(e, ERR_IO, "cannot watch the listening socket");
    }
    l->retry = io_timer_open(loop, retry_accept, l);
    io_poll_set(l->poll, IO_READ);
    *ret = l;
    return ERR_OK;
}

uint16_t io_listener_port(const struct io_listener *l) {
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    getsockname(l->fd, (struct sockaddr *)&addr, &len);
    if (addr.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

bool io_listener_has_v6(const struct io_listener *l) {
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    getsockname(l->fd, (struct sockaddr *)&addr, &len);
    return addr.ss_family == AF_INET6;
}

void io_listener_pause(struct io_listener *l) {
    l->paused = true;
    io_poll_set(l->poll, 0);
}

void io_listener_resume(struct io_listener *l) {
    l->paused = false;
    io_timer_stop(l->retry);
    io_poll_set(l->poll, IO_READ);
}

void io_listener_close(struct io_listener *l) {
    if (l == NULL) return;
    if (l->dead != NULL) *l->dead = true;
    io_timer_close(l->retry);
    io_poll_close(l->poll);
    close(l->fd);
    free(l);
}

/* ---- dialling ---- */

struct io_dial {
    struct io_loop *loop;
    struct io_lookup *lookup;
    struct io_poll *poll;
    struct io_timer *timer;
    int fd;
    struct io_address addrs[IO_MAX_ADDRESSES];
    size_t n_addrs, at;
    char *host;
    uint16_t port;
    io_dial_fn fn;
    void *user;
};

static void dial_close_socket(struct io_dial *d) {
    io_poll_close(d->poll);
    d->poll = NULL;
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
}

void io_dial_cancel(struct io_dial *d) {
    if (d == NULL) return;
    dial_close_socket(d);
    io_lookup_cancel(d->lookup);
    io_timer_close(d->timer);
    free(d->host);
    free(d);
}

static void dial_finish(struct io_dial *d, err_code code, const struct err *e) {
    io_dial_fn fn = d->fn;
    void *user = d->user;
    int fd = -1;
    if (code == ERR_OK) { /* the poll must be closed before the descriptor gets a new owner */
        fd = d->fd;
        io_poll_close(d->poll);
        d->poll = NULL;
        d->fd = -1;
    }
    io_dial_cancel(d);
    fn(user, code, fd, e);
}

static void dial_next(struct io_dial *d, int error);

static void dial_ready(void *user, int events, int error) {
    struct io_dial *d = user;
    (void)events;
    socklen_t len = sizeof(error);
    if (error == 0) getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error == 0) {
        dial_finish(d, ERR_OK, NULL);
        return;
    }
    dial_close_socket(d);
    dial_next(d, error);
}

/* Tries the next address; after the last one, fails with the last one's error. */
static void dial_next(struct io_dial *d, int error) {
    while (d->at < d->n_addrs) {
        const struct io_address *a = &d->addrs[d->at++];
        d->fd = os_socket(a->addr.ss_family, SOCK_STREAM);
        if (d->fd < 0) {
            error = errno;
            continue;
        }
        set_no_delay(d->fd);
        int rc = connect(d->fd, (const struct sockaddr *)&a->addr, a->len);
        if (rc == 0 || errno == EINPROGRESS) {
            d->poll = io_poll_open(d->loop, d->fd, dial_ready, d);
            if (d->poll != NULL) {
                io_poll_set(d->poll, IO_WRITE);
                return;
            }
            errno = ENOMEM;
        }
        error = errno;
        dial_close_socket(d);
    }
    struct err e = {0};
    err_set_errno(&e, ERR_NETWORK, error, "cannot connect to \"%s\" port %u", d->host, d->port);
    dial_finish(d, ERR_NETWORK, &e);
}

static void dial_looked_up(void *user, err_code code, const struct io_address *addrs, size_t n, const struct err *e) {
    struct io_dial *d = user;
    d->lookup = NULL;
    if (code != ERR_OK) {
        dial_finish(d, code, e);
        return;
    }
    memcpy(d->addrs, addrs, n * sizeof(*addrs));
    d->n_addrs = n;
    dial_next(d, ENETUNREACH);
}

static void dial_timed_out(void *user) {
    struct io_dial *d = user;
    struct err e = {0};
    err_set(&e, ERR_TIMEOUT, "cannot connect to \"%s\" port %u: no answer", d->host, d->port);
    dial_finish(d, ERR_TIMEOUT, &e);
}

struct io_dial *io_dial_start(struct io_loop *loop, const char *host, uint16_t port, uint64_t timeout_ms, io_dial_fn fn, void *user) {
    struct io_dial *d = MEM_NEW(struct io_dial);
    *d = (struct io_dial){.loop = loop, .fd = -1, .host = mem_strdup(host), .port = port, .fn = fn, .user = user};
    d->timer = io_timer_open(loop, dial_timed_out, d);
    io_timer_start(d->timer, timeout_ms, 0);
    d->lookup = io_lookup_start(loop, host, port, dial_looked_up, d);
    return d;
}
