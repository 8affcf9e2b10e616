/* SPDX-License-Identifier: MIT
 * Guesses how a text continues. It finds an earlier place with the same tokens as the end of the text, and guesses that the same tokens
 * follow again. The longest match wins, and the latest of equally long ones. Matches are found by hash chains, as in LZ77 compressors
 * (RFC 1951, section 4). One for each sequence, over its prompt and its generated tokens. No I/O; owner: the scheduler. */
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
/* Writes `most` guesses to ret, and returns the length of their match; 0: there is no match, and nothing is written. Where the text ends
 * before there are enough guesses, the guesses themselves are repeated, so a loop goes on as a loop. */
uint32_t sched_ngram_guess(const struct sched_ngram *g, uint32_t most, int32_t *ret);

#endif
