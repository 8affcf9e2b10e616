/* SPDX-License-Identifier: MIT
 * Where the prompt doesn't say whether the answer begins in reasoning, the model's own earlier answers do: most models write a mark before
 * they reason, and some begin without one and only close it. What was seen of each model is remembered, so that a stream of a model that
 * writes its marks need not wait for its beginning to become clear. Owned by its creator; one thread. */
#ifndef CARAVAN_REQUESTS_HABITS_H
#define CARAVAN_REQUESTS_HABITS_H

#include <stdbool.h>

enum habit {
    HABIT_UNKNOWN,
    HABIT_MARKED,   /* the last answer had no reasoning, or a mark before it */
    HABIT_UNMARKED, /* the last two answers closed reasoning that nothing had opened */
};

struct habits; /* opaque */

struct habits *habits_create(void);
void habits_free(struct habits *h); /* NULL is fine */
enum habit habits_get(const struct habits *h, const char *model);
/* A complete answer of the model. unopened: it closed reasoning that nothing had opened. */
void habits_learn(struct habits *h, const char *model, bool unopened);

#endif
