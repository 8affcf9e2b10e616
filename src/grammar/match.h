/* SPDX-License-Identifier: MIT
 * The matcher: follows a text through a grammar. It follows all ways at once. A way is a place in the program and a stack; stacks share
 * their lower parts, and transitions between sets of ways are kept, so that a token usually costs a look-up for each of its characters.
 *
 * The cost of a grammar is bounded: MATCH_STEPS for its beginning, and for a token as many steps as have been saved up at
 * MATCH_STEPS_TOKEN a token. A grammar that needs more fails, at the same token on every machine. One owner, any thread. */
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

/* g must outlive it. ERR_LIMIT: too many ways at the beginning. */
err_code match_create(const struct program *g, struct match **ret, struct err *e);
void match_free(struct match *m);  /* NULL is fine */
void match_reset(struct match *m); /* back to the beginning */

/* May the text end here? */
bool match_may_end(const struct match *m);
/* May this token, whose text may end within a character, come next? token < 0: text alone. */
bool match_allows(struct match *m, int32_t token, const char *text, size_t len);
/* As match_allows, and takes the token. False: it isn't allowed, and the match is unchanged. */
bool match_accept(struct match *m, int32_t token, const char *text, size_t len);
/* For all tokens of a vocabulary: allowed[token]. */
void match_filter(struct match *m, const struct match_pieces *pieces, bool *allowed);
/* ERR_LIMIT: one of the calls above needed too many steps, and its result is meaningless. Stays so until a reset. */
err_code match_failed(const struct match *m, struct err *e);

/* The texts of a vocabulary's tokens in alphabetical order, so that common beginnings are followed once. Immutable. */
struct match_piece {
    const char *text;
    size_t len;
    int32_t token;
};
/* list: of tokens with a text, in any order; texts and list are copied. */
struct match_pieces *match_pieces_create(const struct match_piece *list, size_t n, size_t n_tokens);
void match_pieces_free(struct match_pieces *p); /* NULL is fine */

#endif
