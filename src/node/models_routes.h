/* SPDX-License-Identifier: MIT
 * The admin routes of models: GET /caravan/v1/models (node/listing), POST /caravan/v1/models/load {"model", ...} and /unload {"model"},
 * DELETE /caravan/v1/models/NAME. A load is answered once it has begun; its progress is in the list. Loop thread only. */
#ifndef CARAVAN_NODE_MODELS_ROUTES_H
#define CARAVAN_NODE_MODELS_ROUTES_H

#include "gateway/server.h"
#include "node/calls.h"
#include "node/models.h"

/* What the routes use of the node; all of it outlives the gateway, as this struct does. */
struct models_routes {
    struct models *models;
    const struct catalog *catalog;
    const struct records *records;
    struct calls *calls;
    void (*own_record)(void *user, struct record *ret); /* what this node says of itself; *ret is zero before, record_done after */
    void *user;
};
void models_routes_add(struct models_routes *r, struct gateway *g);

#endif
