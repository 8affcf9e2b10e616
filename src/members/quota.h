/* SPDX-License-Identifier: MIT
 * How much of the loop's time the frames of each control link may take. A member may be broken or hostile and send without end; it must not
 * keep the loop from the others. What a link costs is averaged over about a second. A link that takes more than a quarter of the time is
 * not read for a while, and if all together take more than half, so is each that takes more than its even part of that half. The sender is
 * slowed down by that, and nothing is lost. A link that costs less than its part is never stopped.
 *
 * Time is known only afterwards, and a member may send many small frames, or frames that are answered at length. So the links take turns as
 * well: in one turn of the loop at most QUOTA_TURN_FRAMES frames of each are handled, however many have come. Sans-I/O; one thread. */
#ifndef CARAVAN_MEMBERS_QUOTA_H
#define CARAVAN_MEMBERS_QUOTA_H

#include <stdbool.h>

#include "base/clock.h"

#define QUOTA_PAUSE_US 5000000 /* longest pause */
enum { QUOTA_TURN_FRAMES = 32 };

struct quota_use {
    double us; /* of the loop's time in the last second, older times counting less */
    clock_us at;
};
struct quota_pool {
    struct quota_use use;
    unsigned n_heavy; /* links that take more than a hundredth */
    unsigned most;    /* frames of one link in one turn, so far */
};
struct quota {
    struct quota_pool *pool;
    struct quota_use use;
    bool heavy;
    unsigned frames; /* in this turn of the loop */
};

void quota_init(struct quota *q, struct quota_pool *pool);
void quota_done(struct quota *q);
/* The link's frames took so much of the loop's time. Returns for how long it is not to be read; 0: it may go on. */
clock_us quota_spend(struct quota *q, clock_us now, clock_us took);
/* May one more frame of the link be handled in this turn of the loop? */
bool quota_has_turn(const struct quota *q);
/* One is handled. */
void quota_frame(struct quota *q);
/* The next turn of the loop begins. */
void quota_turn(struct quota *q);

#endif
