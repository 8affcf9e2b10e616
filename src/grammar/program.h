/* SPDX-License-Identifier: MIT
 * A compiled grammar: gbnf.h makes it, match.h runs it. Immutable; its owner frees it when no match uses it any more. Any thread. */
#ifndef CARAVAN_GRAMMAR_PROGRAM_H
#define CARAVAN_GRAMMAR_PROGRAM_H

struct program; /* opaque */

void program_free(struct program *g); /* NULL is fine */

#endif
