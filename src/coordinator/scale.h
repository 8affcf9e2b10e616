/* SPDX-License-Identifier: MIT
 * `--replicas auto`: a model has one copy, and further ones as its load needs them. One comes when requests have been waiting too long for
 * a while (as predicted, over the gateways of all nodes) and a place is free, or has an idle model that no user has asked for. One
 * leaves when the others could have carried the load for longer than that. They come and go one at a time; a copy that leaves gets no
 * further requests, and gets them again if the load comes back before it is idle. For the files of this folder. */
#ifndef CARAVAN_COORDINATOR_SCALE_H
#define CARAVAN_COORDINATOR_SCALE_H

#include "coordinator/copy.h"

/* x: the first copy of its model. True: a further copy is to be made now, for the reason in x->note. may: there may be one. */
bool scale_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, bool may);

#endif
