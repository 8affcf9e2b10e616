/* SPDX-License-Identifier: MIT
 * The sending side of a link. The caller's thread writes as many bytes as the kernel's socket buffer takes, without a copy; the rest is
 * copied for a thread, which starts when it is first needed. Order is kept. For this folder only; any thread may send. */
#ifndef CARAVAN_WIRE_WRITER_H
#define CARAVAN_WIRE_WRITER_H

#include <pthread.h>

#include "base/buf.h"
#include "wire/transport.h"

enum { WIRE_WRITER_MAX_FDS = 16 };

struct wire_writer {
    struct wire_transport *wire;      /* borrowed */
    pthread_mutex_t lock;        /* everything below but `sending`'s bytes */
    pthread_cond_t work, room;   /* work: bytes for the thread; room: the queue has become shorter */
    pthread_t thread;
    bool started, stopping;
    bool busy;                   /* the queue has bytes, or the thread is writing: senders must append to the queue */
    struct buf pending, sending; /* queued; handed to the thread (only it touches the bytes) */
    struct {
        uint64_t at;
        int fd;
    } fds[WIRE_WRITER_MAX_FDS]; /* descriptors to attach at these offsets of the queued stream */
    size_t n_fds;
    uint64_t queued, written;    /* bytes ever queued, bytes the thread has written of them */
    size_t max_queued;
    err_code rc;                 /* the error that broke the wire; every later send returns it */
    struct err err;
};

void wire_writer_init(struct wire_writer *w, struct wire_transport *wire, size_t max_queued);
/* Sends the parts as one; pass_fd (or -1) goes with the first byte and stays the caller's. Blocks only while max_queued bytes wait. */
err_code wire_writer_send(struct wire_writer *w, const struct iovec *parts, size_t n_parts, int pass_fd, struct err *e);
bool wire_writer_idle(struct wire_writer *w);
size_t wire_writer_waiting(struct wire_writer *w); /* bytes that the other end has not taken yet */
void wire_writer_flush(struct wire_writer *w, int timeout_ms);
/* Ends the thread, and drops the bytes still queued. Shuts the wire down if the thread is at work. */
void wire_writer_done(struct wire_writer *w);

#endif
