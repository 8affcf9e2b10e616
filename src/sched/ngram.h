/* SPDX-License-Identifier: MIT
 * Guesses how a text continues: like after the last place where its last tokens stood before. The longest earlier match wins, of equal
 * ones the latest; matches are found by hash chains, as LZ77 compressors find theirs (RFC 1951, section 4). One for each sequence,
 * over its prompt and what was generated. No I/O; owner: the scheduler. */
#ifndef CARAVAN_SCHED_NGRAM_H
#define CARAVAN_SCHED_NGRAM_H

#include <stdint.h>

enum { SCHED_NGRAM_LEAST = 2, SCHED_NGRAM_MOST = 32 }; /* length of a match, in tokens */

struct sched_ngram; /* opaque */

struct sched_ngram *sched_ngram_create(uint32_t cap); /* room for cap tokens, made at once */
void sched_ngram_free(struct sched_ngram *g);         /* NULL is fine */
void sched_ngram_push(struct sched_ngram *g, int32_t token); /* past cap: ignored */
/* All tokens so far. */
const int32_t *sched_ngram_tokens(const struct sched_ngram *g, uint32_t *ret_n);
/* Writes `most` guesses to ret, and returns the length of the match they rest on; 0: there is none, and nothing is written. A match that
 * runs into the end goes on in its own guesses: a loop is continued as a loop. */
uint32_t sched_ngram_guess(const struct sched_ngram *g, uint32_t most, int32_t *ret);

#endif
