/* SPDX-License-Identifier: MIT
 * POST /caravan/v1/plan: what `caravan plan` says (paper/sheet.h, paper/can.h, paper/buy.h), for this cluster or for machines on paper.
 * {"model"} is a file of this node, a model whose file another node has, which then plans it (plan_asks.h), or a model that plans know by
 * name; without it: all that could run. {"fleet"} is text as --fleet takes it or an object as a fleet file has it, but no path; without
 * it: this cluster, for which a file is planned with the sizes that loading it would be planned with. Further fields as the options:
 * "ctx", "parallel", "cache_type_k", "cache_type_v", "placement", "wire_type", "prompt_tokens", "floor", "price", "life", "electricity",
 * "utilisation", "buy", "budget"; false leaves "cost" out of the text, and "advice". Planned in a thread. Loop thread only; owned by the
 * node. */
#ifndef CARAVAN_NODE_PLAN_ROUTE_H
#define CARAVAN_NODE_PLAN_ROUTE_H

#include "catalog/catalog.h"
#include "endpoint/server.h"
#include "loading/models.h"
#include "loading/names.h"
#include "node/plan_asks.h"

/* What the route uses of the node; all of it outlives the gateway. */
struct plan_route_parts {
    struct io_loop *loop;
    struct names *names;
    struct models *models;
    struct plan_asks *asks;
    const struct catalog *catalog;
    yyjson_mut_val *(*status)(void *user, yyjson_mut_doc *doc); /* as struct backend has it */
    void *user;
};
struct plan_route; /* opaque */
struct plan_route *plan_route_create(const struct plan_route_parts *parts);
void plan_route_free(struct plan_route *p); /* after the gateway; NULL is fine */
void plan_route_add(struct plan_route *p, struct endpoint *ep);
/* The payload of a PLAN frame from the node: it is answered later. An error means that it makes no sense. */
err_code plan_route_on_plan(struct plan_route *p, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

#endif
