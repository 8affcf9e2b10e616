/* SPDX-License-Identifier: MIT
 * The machines of a plan: named hardware on paper (tables/hardware.def, tables/links.def), or the cluster that a running node's status
 * describes. Values; no I/O, any thread. */
#ifndef CARAVAN_PLAN_FLEET_H
#define CARAVAN_PLAN_FLEET_H

#include "base/json.h"
#include "plan/plan.h"

enum { FLEET_MAX_NODES = 64 };

struct fleet {
    uint32_t n;
    struct plan_node nodes[FLEET_MAX_NODES]; /* ids are 1 to n */
    struct plan_link links[FLEET_MAX_NODES][FLEET_MAX_NODES];
};

/* "8xmac-mini-m4-64,gbe"; "2xrtx3090-24+1xpc-ddr5-64,10gbe"; several cards in one machine: "pc-ddr5-64/2xrtx3090-24". Without a link:
 * gbe. ERR_INVALID names the unknown word and the nearest known one; ERR_LIMIT: more machines than FLEET_MAX_NODES. */
err_code fleet_parse(const char *spec, struct fleet *ret, struct err *e);
/* From /caravan/v1/status: each node's remaining offer and its profile, and the round trips. ERR_INVALID: the JSON is not a status. */
err_code fleet_from_status(yyjson_val *root, struct fleet *ret, struct err *e);
/* For plan_wish.link, with the fleet as link_user. */
struct plan_link fleet_link(void *fleet, uint64_t from, uint64_t to);
/* Names of hardware and links, a line each. */
void fleet_list(struct buf *out);

#endif
