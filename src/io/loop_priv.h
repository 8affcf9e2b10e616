/* SPDX-License-Identifier: MIT
 * The struct of the loop, for the files of io/. The only header that shows libuv's types. */
#ifndef CARAVAN_IO_LOOP_PRIV_H
#define CARAVAN_IO_LOOP_PRIV_H

#include <uv.h>

#include "io/child.h"
#include "io/loop.h"

enum { LOOP_READ_SIZE = 64 * 1024 };

struct io_loop {
    uv_loop_t uv;
    uv_async_t keep;          /* keeps uv_run from returning while nothing else is open */
    uv_check_t after_poll;    /* runs the tasks */
    uv_idle_t no_sleep;       /* active while tasks wait: the poll then does not block */
    struct io_task *tasks, **tasks_tail;
    struct io_child *children;
    uv_signal_t *child_signal; /* NULL until the first child */
    uint8_t *read_buf;        /* LOOP_READ_SIZE bytes, lent to one read callback at a time */
};

/* Frees handle->data, which embeds the handle: for uv_close. */
void loop_free_handle(uv_handle_t *handle);
/* Forgets the children that still run (child.c). */
void loop_children_done(struct io_loop *loop);

#endif
