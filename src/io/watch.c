/* SPDX-License-Identifier: MIT
 * Polls and signals. */
#include "io/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "io/loop_priv.h"

/* ---- polls ---- */

struct io_poll {
    uv_poll_t uv;
    int fd, events;
    io_poll_fn fn;
    void *user;
};

static_assert((int)IO_READ == (int)UV_READABLE && (int)IO_WRITE == (int)UV_WRITABLE, "events are libuv's");

static void poll_fired(uv_poll_t *uv, int status, int events) {
    struct io_poll *p = uv->data;
    int error = 0;
    if (status < 0) { /* libuv has stopped watching and reports EBADF for any error flag of the kernel; the socket itself knows the cause */
        socklen_t len = sizeof(error);
        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
        if (error == 0) error = EPIPE;
        p->events = 0;
        events = 0;
    }
    p->fn(p->user, events, error);
}

struct io_poll *io_poll_open(struct io_loop *loop, int fd, io_poll_fn fn, void *user) {
    struct io_poll *p = MEM_NEW(struct io_poll);
    int rc = uv_poll_init(&loop->uv, &p->uv, fd);
    if (rc != 0) {
        free(p);
        return NULL;
    }
    p->uv.data = p;
    p->fd = fd;
    p->fn = fn;
    p->user = user;
    return p;
}

void io_poll_set(struct io_poll *p, int events) {
    if (p->events == events) return;
    p->events = events;
    if (events == 0) uv_poll_stop(&p->uv);
    else uv_poll_start(&p->uv, events, poll_fired);
}

void io_poll_close(struct io_poll *p) {
    if (p != NULL) uv_close((uv_handle_t *)&p->uv, loop_free_handle);
}

/* ---- signals ---- */

struct io_signal {
    uv_signal_t uv;
    io_signal_fn fn;
    void *user;
};

static void signal_fired(uv_signal_t *uv, int signo) {
    struct io_signal *s = uv->data;
    s->fn(s->user, signo);
}

struct io_signal *io_signal_open(struct io_loop *loop, int signo, io_signal_fn fn, void *user) {
    struct io_signal *s = MEM_NEW(struct io_signal);
    uv_signal_init(&loop->uv, &s->uv);
    s->uv.data = s;
    s->fn = fn;
    s->user = user;
    uv_signal_start(&s->uv, signal_fired, signo);
    return s;
}

void io_signal_close(struct io_signal *s) {
    if (s != NULL) uv_close((uv_handle_t *)&s->uv, loop_free_handle);
}
