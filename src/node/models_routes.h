/* SPDX-License-Identifier: MIT
 * The admin routes of models: GET /caravan/v1/models (node/listing), POST /caravan/v1/models/load {"model", ...} and /unload {"model"},
 * DELETE /caravan/v1/models/NAME, POST /caravan/v1/models/pull and /unpull {"model", "node"}, and POST /lora-adapters [{"id", "scale"}],
 * and those that empty a machine: POST /caravan/v1/nodes/drain and /undrain {"name"}. A load, and a pull, is answered once it has begun;
 * its progress is in the list, or in the node's state. Loop thread only. */
#ifndef CARAVAN_NODE_MODELS_ROUTES_H
#define CARAVAN_NODE_MODELS_ROUTES_H

#include "calls/balance.h"
#include "endpoint/server.h"
#include "loading/models.h"

/* What the routes use of the node; all of it outlives the gateway, as this struct does. */
struct models_routes {
    struct models *models;
    struct backend backend;
    const struct catalog *catalog;
    const struct records *records;
    struct balance *balance;
    void (*own_record)(void *user, struct record *ret); /* what this node says of itself; *ret is zero before, record_done after */
    void *user;
};
/* What GET /caravan/v1/models answers: a new object of the document. */
yyjson_mut_val *models_routes_list(const struct models_routes *r, yyjson_mut_doc *doc);
void models_routes_add(struct models_routes *r, struct endpoint *ep);

#endif
