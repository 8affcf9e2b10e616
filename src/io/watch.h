/* SPDX-License-Identifier: MIT
 * What a loop watches besides sockets of io/stream.h: any descriptor that can be polled, and signals. Loop thread only. Each object has
 * one owner, who closes it, at any time and also inside its own callback (io/loop.h). Nothing is read or written here. */
#ifndef CARAVAN_IO_WATCH_H
#define CARAVAN_IO_WATCH_H

#include "io/loop.h"

/* ---- any descriptor: a stage's LOCAL socket, a socket whose TLS hello is being peeked at ---- */
enum { IO_READ = 1, IO_WRITE = 2 };
struct io_poll;
/* error: 0, or the errno of a broken descriptor (then events is 0). */
typedef void (*io_poll_fn)(void *user, int events, int error);
/* NULL: it cannot be watched (a plain file, or the kernel's limit). Sets O_NONBLOCK. The descriptor stays the caller's: close the poll
 * first, then the descriptor. At most one poll for each descriptor. */
struct io_poll *io_poll_open(struct io_loop *loop, int fd, io_poll_fn fn, void *user);
void io_poll_set(struct io_poll *p, int events); /* 0: none; level-triggered */
void io_poll_close(struct io_poll *p);           /* NULL is fine */

/* ---- signals (SIGTERM, SIGINT, ...; SIGCHLD belongs to io/child.h) ---- */
struct io_signal;
typedef void (*io_signal_fn)(void *user, int signo);
struct io_signal *io_signal_open(struct io_loop *loop, int signo, io_signal_fn fn, void *user);
void io_signal_close(struct io_signal *s); /* NULL is fine */

#endif
