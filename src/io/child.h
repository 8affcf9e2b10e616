/* SPDX-License-Identifier: MIT
 * Child processes of a loop: starting a program with a chosen environment and one descriptor, sending it signals, and learning of its
 * end. Loop thread only; the owner closes each object (io/loop.h). A loop reaps only the children that it started. How a child speaks
 * with its parent is not decided here. */
#ifndef CARAVAN_IO_CHILD_H
#define CARAVAN_IO_CHILD_H

#include "base/err.h"
#include "io/loop.h"

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

#endif
