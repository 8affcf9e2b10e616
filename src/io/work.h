/* SPDX-License-Identifier: MIT
 * Work that may block for any time, such as reading a file on a network file system that hangs. Each piece runs in a thread of its own,
 * so the loop and the other pieces go on. The works belong to their creator and to the loop's thread. No thread is waited for: a piece
 * that never ends keeps its thread and its job until the process ends. */
#ifndef CARAVAN_IO_WORK_H
#define CARAVAN_IO_WORK_H

#include "base/err.h"
#include "io/loop.h"

struct io_works;

/* The functions of a job. */
struct io_work {
    void (*run)(void *job);  /* in the thread; it may use the job, and nothing else */
    void (*done)(void *job); /* on the loop, after run; not called after the works are closed */
    void (*free)(void *job); /* after done; or in the thread, after run, if the works were closed meanwhile */
};

/* max: pieces that may run at the same time. */
struct io_works *io_works_open(struct io_loop *loop, unsigned max);
/* Begins a piece, which then owns the job. ERR_BUSY: as many as allowed run, ERR_MEMORY: no thread can be made; the job then stays the
 * caller's. `work` is copied. */
err_code io_works_start(struct io_works *w, const struct io_work *work, void *job, struct err *e);
/* Pieces that run or have not been delivered yet. */
unsigned io_works_count(const struct io_works *w);
void io_works_close(struct io_works *w); /* NULL is fine; doesn't wait */

#endif
