/* SPDX-License-Identifier: MIT
 * Work that may block for as long as it likes, such as reading a file on a network file system that hangs. Each piece runs in a thread of
 * its own, so the loop and the other pieces go on. The works belong to their creator and to the loop's thread. Nobody waits for a thread:
 * a piece that never ends keeps its thread and its job until the process ends. */
#ifndef CARAVAN_IO_WORK_H
#define CARAVAN_IO_WORK_H

#include "io/loop.h"

struct io_works;

/* What to do with a job. */
struct io_work {
    void (*run)(void *job);  /* in the thread; it may use the job and nothing else */
    void (*done)(void *job); /* on the loop, after run; not once the works are closed */
    void (*free)(void *job); /* after done; or after run, in its thread, when the works were closed meanwhile */
};

/* max: pieces that may run at the same time. */
struct io_works *io_works_open(struct io_loop *loop, unsigned max);
/* Begins a piece; the job belongs to it from now on. ERR_BUSY: as many run as may, ERR_MEMORY: no thread can be made. Then the job stays
 * the caller's. `work` is copied. */
err_code io_works_start(struct io_works *w, const struct io_work *work, void *job, struct err *e);
/* Pieces that run, or have not been delivered yet. */
unsigned io_works_count(const struct io_works *w);
void io_works_close(struct io_works *w); /* NULL is fine; doesn't wait */

#endif
