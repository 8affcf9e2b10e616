/* SPDX-License-Identifier: MIT
 * A text on its way through a grammar. All ways through it are followed at once; a way is a place in the program and a stack, stacks share
 * their lower parts, and what follows on a set of ways is kept, so that a token usually costs a look-up for each of its characters.
 *
 * What a grammar may cost is bounded: MATCH_STEPS for its beginning, and as much for a token as has been saved up at MATCH_STEPS_TOKEN a
 * token. A grammar that needs more fails, the same way on every machine. One owner, any thread. */
#ifndef CARAVAN_GRAMMAR_MATCH_H
#define CARAVAN_GRAMMAR_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "grammar/program.h"

enum { MATCH_STEPS = 1000 * 1000, MATCH_STEPS_TOKEN = 200 * 1000 };

struct match; /* opaque */
struct match_pieces;

/* g must outlive it. ERR_LIMIT: too many ways lead into it. */
err_code match_create(const struct program *g, struct match **ret, struct err *e);
void match_free(struct match *m);  /* NULL is fine */
void match_reset(struct match *m); /* back to the beginning */

/* May the text end here? */
bool match_may_end(const struct match *m);
/* May this token, whose text may be half a character, come next? token < 0: text alone. */
bool match_allows(struct match *m, int32_t token, const char *text, size_t len);
/* The same, and it does. False: it may not, and the match is where it was. */
bool match_accept(struct match *m, int32_t token, const char *text, size_t len);
/* For all tokens of a vocabulary: allowed[token]. */
void match_filter(struct match *m, const struct match_pieces *pieces, bool *allowed);
/* ERR_LIMIT: one of the calls above needed more steps than it may, and what it said means nothing. Stays so until a reset. */
err_code match_failed(const struct match *m, struct err *e);

/* The texts of a vocabulary's tokens in alphabetical order, so that what two have in common is followed once. Immutable. */
struct match_piece {
    const char *text;
    size_t len;
    int32_t token;
};
/* list: of tokens with a text, in any order; texts and list are copied. */
struct match_pieces *match_pieces_create(const struct match_piece *list, size_t n, size_t n_tokens);
void match_pieces_free(struct match_pieces *p); /* NULL is fine */

#endif
