/* SPDX-License-Identifier: MIT
 * `caravan plan` without a model: the table of what a fleet can run (paper/can.h), for people or as JSON. */
#ifndef CARAVAN_SHOW_PLAN_CAN_H
#define CARAVAN_SHOW_PLAN_CAN_H

#include "paper/can.h"
#include "paper/fleet.h"

/* where: the fleet in words. ERR_NO_ROOM: none of the known models fits. */
err_code plan_can_show(const struct fleet *f, const struct can_wish *w, const char *where, bool json, struct err *e);

#endif
