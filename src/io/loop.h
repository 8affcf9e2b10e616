/* SPDX-License-Identifier: MIT
 * The event loop, a thin layer over libuv, so that only io/ sees uv.h: timers, deferred tasks, watched descriptors, signals, child
 * processes, wake-ups from other threads, name lookups. Sockets are in io/stream.h.
 *
 * One loop belongs to one thread, and every function here is called on that thread, except io_wake_send (any thread). Every object has
 * one owner, who closes it. Closing is safe at any time, also inside the object's own callback, and no callback comes after it. The
 * memory of a closed object is freed later by the loop; the pointer must not be used after the close. */
#ifndef CARAVAN_IO_LOOP_H
#define CARAVAN_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"

struct io_loop;
struct io_loop *io_loop_create(void); /* NULL: no descriptors left */
/* Runs until io_loop_stop. May be called again after that. */
void io_loop_run(struct io_loop *loop);
void io_loop_stop(struct io_loop *loop);
/* All objects of the loop must have been closed by their owners (asserted in debug builds); waits until the closes are done. NULL is
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

/* ---- signals (SIGTERM, SIGINT, ...; SIGCHLD belongs to the children below) ---- */
struct io_signal;
typedef void (*io_signal_fn)(void *user, int signo);
struct io_signal *io_signal_open(struct io_loop *loop, int signo, io_signal_fn fn, void *user);
void io_signal_close(struct io_signal *s); /* NULL is fine */

/* ---- waking the loop from another thread: wake-ups may merge, but none is lost ---- */
struct io_wake;
typedef void (*io_wake_fn)(void *user);
struct io_wake *io_wake_open(struct io_loop *loop, io_wake_fn fn, void *user);
void io_wake_send(struct io_wake *w);      /* any thread, any signal handler; not after close */
void io_wake_close(struct io_wake *w);     /* NULL is fine */

/* ---- child processes ---- */
struct io_child_options {
    const char *const *argv;  /* argv[0] is the program's path (no PATH search); NULL-terminated */
    const char *const *env;   /* "NAME=value": for names that the child doesn't get from this process; NULL-terminated. NULL: none */
    int fd;                   /* becomes descriptor 3 in the child; -1: none. Stays open here: the caller closes it. */
    /* The child ignores SIGINT, SIGTERM and SIGHUP. Ctrl-C, a terminal that is closed and systemd send them to all processes of a group:
     * the node heeds them, lets its answers finish, and then ends its children in order. */
    bool ignores_ends;
};
struct io_child;
/* status: the exit status (0-255), or -1 if a signal ended the child; signo: that signal or 0. The child has been reaped. The owner
 * still closes the object (inside this callback is fine). */
typedef void (*io_child_fn)(void *user, int status, int signo);
/* The child inherits standard output and error, and nothing else: its standard input is empty, all other descriptors are closed, and of
 * the environment it gets the variables in tables/environment.def. It gets SIGKILL when this process dies (os_die_with_parent). A
 * program that cannot be executed is an error here, not an exit later. */
err_code io_child_start(struct io_loop *loop, const struct io_child_options *options, io_child_fn fn, void *user, struct io_child **ret,
                        struct err *e);
int io_child_pid(const struct io_child *c);
void io_child_kill(struct io_child *c, int signo); /* does nothing after it was reaped */
/* Frees the object and leaves the process alone: the loop reaps it when it ends. NULL is fine. */
void io_child_close(struct io_child *c);

/* ---- name lookup (in a worker thread) ---- */
enum { IO_MAX_ADDRESSES = 8 };
struct io_address {
    struct sockaddr_storage addr;
    socklen_t len;
};
struct io_lookup;
/* ERR_OK: addrs[0..n), n >= 1; else ERR_NETWORK. The lookup is closed after this call. */
typedef void (*io_lookup_fn)(void *user, err_code code, const struct io_address *addrs, size_t n, const struct err *e);
struct io_lookup *io_lookup_start(struct io_loop *loop, const char *host, uint16_t port, io_lookup_fn fn, void *user);
void io_lookup_cancel(struct io_lookup *l); /* NULL is fine */

/* "127.0.0.1", "::1", "fe80::1%eth0": text that can be dialled. An IPv4 address that is mapped into IPv6 is written as IPv4. */
void io_address_host(const struct sockaddr *addr, char *ret, size_t size);
/* "127.0.0.1:7433", "[::1]:7433", by io_address_host. */
void io_address_format(const struct sockaddr *addr, char *ret, size_t size);
bool io_address_is_loopback(const struct sockaddr *addr);

#endif
