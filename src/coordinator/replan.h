/* SPDX-License-Identifier: MIT
 * A copy that is ready stays where it is, though machines are added on which it would run whole, or far faster. Here the coordinator
 * notices that, says so, and has the copy loaded anew there once it is idle. For the files of this folder. */
#ifndef CARAVAN_COORDINATOR_REPLAN_H
#define CARAVAN_COORDINATOR_REPLAN_H

#include "coordinator/copy.h"

/* Looks now and then whether the copy would fit better, and asks its head to let it go for that if it is idle. */
void replan_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);
/* The head has let go of the copy, which was asked for that (x->moves): it is planned anew. */
void replan_go(struct coordinator *c, struct copy *x, clock_us now);

#endif
