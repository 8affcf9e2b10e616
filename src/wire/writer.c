/* SPDX-License-Identifier: MIT */
#include "wire/writer.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pulse.h"

enum { WRITE_MOST = 1024 * 1024 }; /* bytes written at once: after each piece a sender that waits for room sees progress */
enum { KEEP_CAP = 32 * 1024 * 1024 }; /* a larger queue is freed when it is empty */

void wire_writer_init(struct wire_writer *w, struct wire_transport *wire, size_t max_queued) {
    *w = (struct wire_writer){.wire = wire, .max_queued = max_queued};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    os_cond_init(&w->room);
    buf_init(&w->pending, max_queued);
    buf_init(&w->sending, max_queued);
}

/* ---- the thread ---- */

/* The length of the next write: up to the next byte that carries a descriptor. */
static size_t stretch(struct wire_writer *w, uint64_t at, uint64_t end, int *ret_fd) {
    *ret_fd = -1;
    if (w->n_fds == 0) return (size_t)(end - at);
    if (w->fds[0].at > at) return (size_t)((w->fds[0].at < end ? w->fds[0].at : end) - at);
    *ret_fd = w->fds[0].fd;
    w->n_fds--;
    memmove(w->fds, w->fds + 1, w->n_fds * sizeof(w->fds[0]));
    return 1; /* one byte alone: the copied descriptor is closed as soon as it is sent */
}

/* Writes `sending`. Called with the lock held, which it gives up while writing. */
static void write_out(struct wire_writer *w) {
    uint64_t end = w->written + w->sending.len;
    const uint8_t *data = w->sending.data;
    do { /* at least once: with an empty queue the TLS stream may still have bytes to flush */
        int fd = -1;
        size_t n = stretch(w, w->written, end, &fd);
        if (n > WRITE_MOST) n = WRITE_MOST;
        pthread_mutex_unlock(&w->lock);
        struct err e = {.code = ERR_OK};
        err_code code = wire_transport_write_all(w->wire, data, n, fd, &e);
        if (fd >= 0) close(fd);
        pulse_step_done();
        pthread_mutex_lock(&w->lock);
        data += n;
        w->written += n;
        if (code != ERR_OK) {
            w->rc = code;
            w->err = e;
        }
    } while (w->rc == ERR_OK && w->written < end);
    w->written = end;
    buf_clear(&w->sending);
    if (w->sending.cap > KEEP_CAP) {
        buf_done(&w->sending);
        buf_init(&w->sending, w->max_queued);
    }
}

static void *writer_main(void *arg) {
    struct wire_writer *w = arg;
    os_thread_name("ring writer");
    pthread_mutex_lock(&w->lock);
    while (!w->stopping && w->rc == ERR_OK) {
        if (!w->busy) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        struct buf swap = w->sending;
        w->sending = w->pending;
        w->pending = swap;
        write_out(w);
        w->busy = w->rc == ERR_OK && w->pending.len > 0;
        pthread_cond_broadcast(&w->room);
    }
    w->busy = false;
    pthread_cond_broadcast(&w->room);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static err_code start_thread(struct wire_writer *w, struct err *e) {
    sigset_t all, old;
    sigfillset(&all); /* other threads of the program take the signals */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int cause = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (cause != 0) return err_set_errno(e, ERR_MEMORY, cause, "cannot start a link's writer thread");
    w->started = true;
    return ERR_OK;
}

/* ---- sending ---- */

/* Queues a copy of len bytes, waiting for room. Lock held. */
static err_code enqueue(struct wire_writer *w, const uint8_t *data, size_t len, struct err *e) {
    while (len > 0) {
        size_t used = w->pending.len + w->sending.len;
        if (used >= w->max_queued && w->rc == ERR_OK && !w->stopping) {
            pthread_cond_wait(&w->room, &w->lock);
            continue;
        }
        if (w->rc != ERR_OK || w->stopping) return err_set(e, ERR_CLOSED, "the link is closing");
        size_t n = len < w->max_queued - used ? len : w->max_queued - used;
        buf_append(&w->pending, data, n);
        if (w->pending.failed) return err_set(e, ERR_MEMORY, "no memory to queue %zu bytes for a slow link", n);
        w->queued += n;
        w->busy = true;
        pthread_cond_signal(&w->work);
        data += n;
        len -= n;
    }
    return ERR_OK;
}

/* Queues the rest of the parts after `done` bytes. Lock held. */
static err_code enqueue_rest(struct wire_writer *w, const struct iovec *parts, size_t n_parts, size_t done, int pass_fd, struct err *e) {
    err_code code = w->started ? ERR_OK : start_thread(w, e);
    if (code != ERR_OK) return code;
    if (pass_fd >= 0 && done == 0) {
        if (w->n_fds == WIRE_WRITER_MAX_FDS) return err_set(e, ERR_LIMIT, "%d descriptors wait to be passed already", WIRE_WRITER_MAX_FDS);
        int copy = fcntl(pass_fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0) return err_set_errno(e, ERR_IO, errno, "cannot duplicate a descriptor");
        w->fds[w->n_fds].at = w->queued;
        w->fds[w->n_fds++].fd = copy;
    }
    for (size_t i = 0; i < n_parts && code == ERR_OK; i++) {
        size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;
        done -= skip;
        code = enqueue(w, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip, e);
    }
    w->busy = true; /* even with nothing left to queue there are bytes to flush */
    pthread_cond_signal(&w->work);
    return code;
}

err_code wire_writer_send(struct wire_writer *w, const struct iovec *parts, size_t n_parts, int pass_fd, struct err *e) {
    pthread_mutex_lock(&w->lock);
    if (w->rc == ERR_OK) {
        size_t done = 0;
        err_code code = w->busy ? ERR_BUSY : wire_transport_write(w->wire, parts, n_parts, pass_fd, &done, &w->err);
        if (code == ERR_BUSY) code = enqueue_rest(w, parts, n_parts, done, pass_fd, &w->err);
        w->rc = code; /* half a frame may have been sent: no frame can follow it */
    }
    err_code code = w->rc;
    if (code != ERR_OK && e != NULL) *e = w->err;
    pthread_mutex_unlock(&w->lock);
    return code;
}

bool wire_writer_idle(struct wire_writer *w) {
    pthread_mutex_lock(&w->lock);
    bool idle = !w->busy;
    pthread_mutex_unlock(&w->lock);
    return idle;
}

size_t wire_writer_waiting(struct wire_writer *w) {
    pthread_mutex_lock(&w->lock);
    size_t n = (size_t)(w->queued - w->written);
    pthread_mutex_unlock(&w->lock);
    return n;
}

void wire_writer_flush(struct wire_writer *w, int timeout_ms) {
    clock_us until = clock_now() + (clock_us)timeout_ms * 1000u;
    pthread_mutex_lock(&w->lock);
    while (w->busy && os_cond_wait(&w->room, &w->lock, until)) {
    }
    pthread_mutex_unlock(&w->lock);
}

void wire_writer_done(struct wire_writer *w) {
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    bool started = w->started;
    if (w->busy) wire_transport_shutdown(w->wire);
    pthread_cond_broadcast(&w->work);
    pthread_cond_broadcast(&w->room);
    pthread_mutex_unlock(&w->lock);
    if (started) pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->n_fds; i++) close(w->fds[i].fd);
    buf_done(&w->pending);
    buf_done(&w->sending);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->room);
    pthread_mutex_destroy(&w->lock);
}
