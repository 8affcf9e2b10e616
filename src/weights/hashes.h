/* SPDX-License-Identifier: MIT
 * The hashes of the chunks of a model's files on this machine: BLAKE3, 32 bytes for each chunk of 1 MiB. A hash is computed when it is
 * first asked for, and kept in the cache folder as "<id>/N.hash" with the file's size, time and inode: for a changed file the hashes are
 * computed again. Any thread; it has a lock inside. */
#ifndef CARAVAN_WEIGHTS_HASHES_H
#define CARAVAN_WEIGHTS_HASHES_H

#include "weights/msg.h"

struct weights_hashes;
/* folder NULL: hashes are not kept. */
struct weights_hashes *weights_hashes_create(const char *folder, const char *id, uint32_t n_parts);
void weights_hashes_free(struct weights_hashes *h); /* NULL is fine */
/* Appends the hashes of a run of chunks; fd is the part's file. */
err_code weights_hashes_get(struct weights_hashes *h, uint32_t part, int fd, const struct weights_run *run, struct buf *out, struct err *e);

#endif
