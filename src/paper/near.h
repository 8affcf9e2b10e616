/* SPDX-License-Identifier: MIT
 * Names of a table that somebody may have meant by a word that is none of them, for a hint. Values; any thread. */
#ifndef CARAVAN_PAPER_NEAR_H
#define CARAVAN_PAPER_NEAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { NEAR_MOST = 3 };

/* Writes the nearest of the n names, the best first, at most NEAR_MOST, and returns their number. A name is near when the word shares
 * most of its parts ("RTX 4090", "m4-max"), begins it when dashes don't count ("rtx-4090"), or differs by a few letters ("rtx390"). */
size_t near_names(const char *word, const char *const *names, size_t n, const char *ret[NEAR_MOST]);
/* Is the word the name but for dashes, blanks and capitals? */
bool near_same(const char *word, const char *name);
/* Adds "a", "a or b", "a, b or c". */
void near_put(struct buf *out, const char *const *names, size_t n);

#endif
