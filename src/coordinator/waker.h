/* SPDX-License-Identifier: MIT
 * A model that has no room on the machines that are there may have room once machines that are asleep are woken. For the files of this
 * folder. */
#ifndef CARAVAN_COORDINATOR_WAKER_H
#define CARAVAN_COORDINATOR_WAKER_H

#include "coordinator/copy.h"

/* If the copy has no room, and idle models would not leave enough: has those machines woken that would give it room together with those
 * that are there, the largest first. True: some of them are on their way, and the copy waits for them. */
bool waker_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v);

#endif
