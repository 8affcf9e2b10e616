/* SPDX-License-Identifier: MIT
 * Reads the log that processes write with log_to_file (base/log.h): the last lines of it, and then what is added, also when a new file has
 * been begun meanwhile. For `caravan logs` and for a node's API. It never waits; a node that writes the file at the same time doesn't
 * matter. Any thread, one at a time. */
#ifndef CARAVAN_BASE_LOG_TAIL_H
#define CARAVAN_BASE_LOG_TAIL_H

#include "base/buf.h"
#include "base/err.h"

struct log_tail;

/* Opens the log at `path` and appends its last `lines` whole lines to out, of at most `most` bytes at its end; lines -1: all.
 * ERR_NOT_FOUND, ERR_IO. */
err_code log_tail_open(const char *path, int64_t lines, size_t most, struct buf *out, struct log_tail **ret, struct err *e);
/* Appends the whole lines that have been added, at most about `most` bytes of them; the others come with the next call. */
void log_tail_read(struct log_tail *t, size_t most, struct buf *out);
void log_tail_close(struct log_tail *t); /* NULL is fine */

#endif
