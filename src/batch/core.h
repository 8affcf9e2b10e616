/* SPDX-License-Identifier: MIT
 * Which lines of which batches are asked now, and what follows from each answer: retries, cancel, expiry. A core: it knows no clock, no
 * file and no model; time is an argument (the loop's clock). The owner asks lines as batch_core_next says, reports each answer, and keeps
 * the results.
 *
 * A model has as many lines in flight as its places, over all batches. Among batches of one model, the owner with the fewest lines in
 * flight goes first, and then the older batch; the lines of a batch begin in their order. Lines are numbered from 0. */
#ifndef CARAVAN_BATCH_CORE_H
#define CARAVAN_BATCH_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum batch_state {
    BATCH_VALIDATING,  /* its lines are read and checked */
    BATCH_FAILED,      /* they are wrong: nothing was asked */
    BATCH_IN_PROGRESS,
    BATCH_FINALIZING,  /* nothing more is asked; the last results are kept */
    BATCH_COMPLETED,
    BATCH_EXPIRED,     /* its time was over before all lines were asked */
    BATCH_CANCELLING,  /* as FINALIZING, after a cancel */
    BATCH_CANCELLED,
    BATCH_STATES
};
const char *batch_state_name(enum batch_state state);
/* false: there is no such state. */
bool batch_state_of(const char *name, enum batch_state *ret);
/* Has it come to its end? */
bool batch_state_is_end(enum batch_state state);

enum { BATCH_TRIES = 3, BATCH_WAIT_US = 1000000, BATCH_WAIT_MAX_US = 60000000 };
/* So long lines are asked again when their model isn't there; then they fail. */
#define BATCH_ABSENT_US ((clock_us)600 * 1000000)

struct batch_core;
struct batch;

struct batch_core *batch_core_create(void);
void batch_core_free(struct batch_core *c); /* and its batches; NULL is fine */
/* A batch in the state VALIDATING. expires: its time is over then. The texts are copied, user is the owner's. */
struct batch *batch_core_add(struct batch_core *c, const char *owner, clock_us expires, void *user);
void batch_core_remove(struct batch_core *c, struct batch *b);
size_t batch_core_count(const struct batch_core *c);
struct batch *batch_core_at(const struct batch_core *c, size_t i); /* the oldest first */

/* The lines are right: VALIDATING becomes IN_PROGRESS. done[i]: 1: line i has its result, 2: and it failed; else 0. NULL: none has. */
void batch_begin(struct batch *b, const char *model, uint32_t n_lines, const uint8_t *done);
void batch_set_state(struct batch *b, enum batch_state to); /* asserts that the state may follow the present one */

enum batch_state batch_state(const struct batch *b);
void *batch_user(const struct batch *b);
const char *batch_model(const struct batch *b); /* "" before batch_begin */
struct batch_counts {
    uint32_t total, completed, failed, running;
};
struct batch_counts batch_counts(const struct batch *b);
/* Until when it asks nothing, because its last request was told to wait; 0: it doesn't wait. */
clock_us batch_waits_until(const struct batch *b, clock_us now);
bool batch_line_is_done(const struct batch *b, uint32_t line);

/* The line to be asked next: it is in flight from now on. places: how many lines of a model may be in flight; asked for each model. false:
 * none, for now. */
typedef uint32_t (*batch_places_fn)(void *user, const char *model);
bool batch_core_next(struct batch_core *c, clock_us now, batch_places_fn places, void *user, struct batch **ret, uint32_t *ret_line);

/* What follows from an answer. */
enum batch_verdict {
    BATCH_KEEP, /* it is the line's result */
    BATCH_KEEP_FAILED, /* the same, and the line has failed */
    BATCH_AGAIN, /* the line is asked again, later */
    BATCH_DROP /* the batch asks nothing any more */
};
/* A line in flight was answered. status: of HTTP. retry_s: the answer's Retry-After; 0: it has none. */
enum batch_verdict batch_answered(struct batch *b, uint32_t line, clock_us now, int status, uint32_t retry_s);
/* The line, in flight, was given up by the owner, and is asked again when its turn comes. */
void batch_gave_up(struct batch *b, uint32_t line);

/* The oldest batch in progress all of whose lines have results, or whose time is over (*ret_expired); NULL: none. The owner takes it on
 * to FINALIZING. */
struct batch *batch_core_finished(const struct batch_core *c, clock_us now, bool *ret_expired);
/* When to look again if nothing is answered before: a retry is due, or a batch's time is over. 0: never. */
clock_us batch_core_wake(const struct batch_core *c, clock_us now);

#endif
