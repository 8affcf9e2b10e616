/* SPDX-License-Identifier: MIT
 * Rows of pictures and sounds among the tokens of a request: where they are, and where a prompt may be cut. A token that stands for a row
 * is negative. Values only; owner: the scheduler. */
#ifndef CARAVAN_SCHED_ROWS_H
#define CARAVAN_SCHED_ROWS_H

#include "wire/request.h"

/* Do the rows lie one after another within the prompt, and stands the id of each in its place? n_vocab: ids of tokens are below this; 0:
 * not known. n_batch: the most that a frame holds. ERR_INVALID. */
err_code sched_rows_check(const struct request *q, uint32_t n_vocab, uint32_t n_batch, struct err *e);
/* The rows that stand at a place of the prompt; NULL: a token stands there. */
const struct request_rows *sched_rows_at(const struct request *q, uint32_t pos);
/* The end of the run that pos, a place of the prompt, is in: of rows, of one picture or of several that follow one another, or of tokens
 * between rows. *ret_start is where it begins. */
uint32_t sched_rows_run(const struct request *q, uint32_t pos, uint32_t *ret_start);
/* The next n tokens from pos on are to go into a frame: how many may? Rows that have to be computed together are not cut: where they come
 * first they go as a whole, if at most `most` tokens fit. 0: they need a frame of their own. */
uint32_t sched_rows_chunk(const struct request *q, uint32_t pos, uint32_t n, uint32_t most);
/* The first n tokens are the same as those of another sequence: how many of them can be taken over? Whole pictures only. */
uint32_t sched_rows_shared(const struct request *q, uint32_t n);

#endif
