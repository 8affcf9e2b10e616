/* SPDX-License-Identifier: MIT
 * The event loop, a thin layer over libuv, so that only io/ sees uv.h: the loop itself, timers, deferred tasks, and wake-ups from other
 * threads. More objects of a loop: watched descriptors and signals (io/watch.h), child processes (io/child.h), name lookups
 * (io/address.h), sockets (io/stream.h), work in threads (io/work.h).
 *
 * One loop belongs to one thread, and every function of these headers is called on that thread, except io_wake_send (any thread). Every
 * object has one owner, who closes it. Closing is safe at any time, also inside the object's own callback, and no callback comes after
 * it. The memory of a closed object is freed later by the loop; the pointer must not be used after the close. */
#ifndef CARAVAN_IO_LOOP_H
#define CARAVAN_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct io_loop;
struct io_loop *io_loop_create(void); /* NULL: no descriptors left */
/* Runs until io_loop_stop. May be called again after that. */
void io_loop_run(struct io_loop *loop);
void io_loop_stop(struct io_loop *loop);
/* All objects of the loop must have been closed by their owners (asserted); waits until the closes are done. NULL is
 * fine. */
void io_loop_free(struct io_loop *loop);
/* The clock, read once a turn of the loop: cheap. */
clock_us io_loop_now(const struct io_loop *loop);
/* Raises this process's limit of open descriptors to the hard limit; returns the limit that holds now. */
size_t io_raise_fd_limit(void);

/* ---- timers (milliseconds) ---- */
struct io_timer;
typedef void (*io_timer_fn)(void *user);
struct io_timer *io_timer_open(struct io_loop *loop, io_timer_fn fn, void *user);
void io_timer_start(struct io_timer *t, uint64_t delay_ms, uint64_t repeat_ms); /* restarts a running timer; repeat 0: fires once */
void io_timer_stop(struct io_timer *t);
void io_timer_close(struct io_timer *t); /* NULL is fine */

/* ---- deferred work: runs once, after the sockets of the present turn, or at once in the next turn. Embedded in its owner. ---- */
struct io_task {
    void (*fn)(void *user);
    void *user;
    struct io_loop *loop;         /* this and the next two are private; zero the struct before first use */
    struct io_task *next, **slot;
};
void io_task_post(struct io_loop *loop, struct io_task *task); /* posting a waiting task again does nothing */
void io_task_cancel(struct io_task *task);                     /* does nothing if it is not waiting */

/* ---- waking the loop from another thread: wake-ups may merge, but none is lost ---- */
struct io_wake;
typedef void (*io_wake_fn)(void *user);
struct io_wake *io_wake_open(struct io_loop *loop, io_wake_fn fn, void *user);
void io_wake_send(struct io_wake *w);      /* any thread, any signal handler; not after close */
void io_wake_close(struct io_wake *w);     /* NULL is fine */

#endif
