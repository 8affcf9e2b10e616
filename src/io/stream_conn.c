/* SPDX-License-Identifier: MIT
 * A connection: reads into the loop's own buffer (one read a turn, so that no peer starves another), writes at once as much as the
 * socket takes, and queues the rest within its bound. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/loop_priv.h"
#include "io/stream.h"
#include "io/watch.h"

enum { CONN_KEEP_QUEUE = 64 * 1024 /* an empty queue larger than this gives its memory back */ };

struct io_conn {
    struct io_loop *loop;
    struct io_poll *poll;
    int fd;
    const struct io_conn_callbacks *cb;
    void *user;
    struct buf out;       /* bytes from out_at on wait to be sent */
    size_t out_at;
    size_t high_water, max_queued;
    clock_us progress;
    bool held;            /* the owner wants nothing more for now */
    bool half;            /* the other end sends no more */
    bool above;           /* past the high-water mark, on_drain is owed */
    bool shut;            /* half-close once the queue is empty */
    bool ended;           /* no more reading or writing; on_end has come or is about to */
    err_code end_code;
    struct io_task end_task;
    bool *dead;           /* set when the connection goes away inside its callback */
};

static void conn_watch(struct io_conn *c) {
    int events = 0;
    if (!c->ended) {
        events = c->half || c->held ? 0 : IO_READ;
        if (io_conn_queued(c) > 0) events |= IO_WRITE;
    }
    io_poll_set(c->poll, events);
}

static void tell_end(void *user) {
    struct io_conn *c = user;
    c->cb->on_end(c->user, c->end_code);
}

/* Ends the connection from inside a call of its owner: on_end comes from the loop. */
static void end_later(struct io_conn *c, err_code code) {
    if (c->ended) return;
    c->ended = true;
    c->end_code = code;
    conn_watch(c);
    io_task_post(c->loop, &c->end_task);
}

static void end_now(struct io_conn *c, err_code code) {
    if (c->ended) return;
    c->ended = true;
    c->end_code = code;
    conn_watch(c);
    tell_end(c);
}

void io_conn_hold(struct io_conn *c, bool on) {
    c->held = on;
    conn_watch(c);
}

size_t io_conn_queued(const struct io_conn *c) { return c->out.len - c->out_at; }

clock_us io_conn_write_progress(const struct io_conn *c) { return c->progress; }

static void queue_took(struct io_conn *c, size_t n) {
    c->out_at += n;
    if (n > 0) c->progress = io_loop_now(c->loop);
    if (c->out_at == c->out.len) {
        if (c->out.cap > CONN_KEEP_QUEUE) buf_done(&c->out);
        buf_clear(&c->out);
        c->out_at = 0;
    } else if (c->out_at > CONN_KEEP_QUEUE && c->out_at > c->out.len / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
}

/* Sends what the socket takes: false when it has failed. */
static bool flush_queue(struct io_conn *c) {
    while (io_conn_queued(c) > 0) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, io_conn_queued(c), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        queue_took(c, (size_t)n);
    }
    if (c->shut) shutdown(c->fd, SHUT_WR);
    return true;
}

static void saw_end(struct io_conn *c) {
    c->half = c->cb->on_half != NULL && c->cb->on_half(c->user);
    if (c->half) conn_watch(c);
    else end_now(c, ERR_CLOSED);
}

bool io_conn_is_gone(const struct io_conn *c) {
    struct pollfd p = {.fd = c->fd};
    return c->ended || (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)) != 0);
}

static void read_some(struct io_conn *c) {
    ssize_t n = recv(c->fd, c->loop->read_buf, LOOP_READ_SIZE, 0);
    if (n > 0) c->cb->on_read(c->user, c->loop->read_buf, (size_t)n);
    else if (n == 0) saw_end(c);
    else if (errno != EAGAIN && errno != EINTR) end_now(c, errno == ECONNRESET ? ERR_CLOSED : ERR_NETWORK);
}

static void conn_fired(void *user, int events, int error) {
    struct io_conn *c = user;
    if (c->ended) return;
    if (error != 0) {
        end_now(c, error == ECONNRESET || error == EPIPE ? ERR_CLOSED : ERR_NETWORK);
        return;
    }
    bool dead = false;
    c->dead = &dead;
    if (events & IO_WRITE) {
        if (!flush_queue(c)) {
            c->dead = NULL;
            end_now(c, ERR_CLOSED);
            return;
        }
        conn_watch(c);
        if (c->above && io_conn_queued(c) == 0) {
            c->above = false;
            if (c->cb->on_drain != NULL) c->cb->on_drain(c->user);
            if (dead) return;
        }
    }
    if ((events & IO_READ) && !c->ended) {
        read_some(c);
        if (dead) return;
    }
    c->dead = NULL;
}

struct io_conn *io_conn_open(struct io_loop *loop, int fd, size_t high_water, size_t max_queued, const struct io_conn_callbacks *callbacks,
                             void *user) {
    struct io_conn *c = MEM_NEW(struct io_conn);
    *c = (struct io_conn){.loop = loop, .fd = fd, .cb = callbacks, .user = user, .high_water = high_water, .max_queued = max_queued};
    c->end_task = (struct io_task){.fn = tell_end, .user = c};
    c->progress = io_loop_now(loop);
    buf_init(&c->out, SIZE_MAX - 1); /* bounded below, where the part already sent is known */
    c->poll = io_poll_open(loop, fd, conn_fired, c);
    if (c->poll == NULL) {
        c->ended = true;
        c->end_code = ERR_IO;
        io_task_post(loop, &c->end_task);
        return c;
    }
    conn_watch(c);
    return c;
}

static void queue_rest(struct io_conn *c, const struct iovec *parts, size_t n, size_t sent) {
    size_t rest = 0;
    for (size_t i = 0; i < n; i++) rest += parts[i].iov_len;
    rest -= sent;
    if (rest == 0) return;
    if (io_conn_queued(c) + rest > c->max_queued) {
        end_later(c, ERR_LIMIT);
        return;
    }
    if (io_conn_queued(c) == 0) c->progress = io_loop_now(c->loop);
    for (size_t i = 0; i < n; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        sent -= skip;
        buf_append(&c->out, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip);
    }
    if (c->out.failed) end_later(c, ERR_MEMORY);
}

bool io_conn_writev(struct io_conn *c, const struct iovec *parts, size_t n) {
    if (c->ended || c->shut) return true; /* the connection is ending; on_end says so */
    size_t sent = 0;
    if (io_conn_queued(c) == 0) {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = n};
        ssize_t took;
        do took = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        while (took < 0 && errno == EINTR);
        if (took < 0 && errno != EAGAIN) {
            end_later(c, ERR_CLOSED);
            return true;
        }
        if (took > 0) sent = (size_t)took;
    }
    queue_rest(c, parts, n, sent);
    if (!c->ended) conn_watch(c);
    if (io_conn_queued(c) > c->high_water) c->above = true;
    return !c->above;
}

bool io_conn_write(struct io_conn *c, const void *data, size_t len) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return io_conn_writev(c, &part, 1);
}

void io_conn_shutdown(struct io_conn *c) {
    if (c->shut || c->ended) return;
    c->shut = true;
    if (io_conn_queued(c) == 0) shutdown(c->fd, SHUT_WR);
}

int io_conn_release(struct io_conn *c) {
    int fd = c->fd;
    if (c->dead != NULL) *c->dead = true;
    io_task_cancel(&c->end_task);
    io_poll_close(c->poll);
    buf_done(&c->out);
    free(c);
    return fd;
}

void io_conn_close(struct io_conn *c) {
    if (c != NULL) close(io_conn_release(c));
}

void io_conn_reset(struct io_conn *c) {
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    io_conn_close(c);
}
