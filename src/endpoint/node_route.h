/* SPDX-License-Identifier: MIT
 * The routes whose handlers the node has: the NODE_ROUTE rows of tables/routes.def. endpoint_set_route (server.h) sets a handler; a route
 * without one answers 404. Loop thread. */
#ifndef CARAVAN_ENDPOINT_NODE_ROUTE_H
#define CARAVAN_ENDPOINT_NODE_ROUTE_H

#include "http/server.h"

enum endpoint_node_route {
#define CALL(method, path, api, auth, help)
#define ROUTE(method, path, handler, auth, help)
#define UPLOAD(method, path, handler, auth, help)
#define NODE_ROUTE(method, path, id, auth, help) ENDPOINT_ROUTE_##id,
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef UPLOAD
#undef NODE_ROUTE
    ENDPOINT_NODE_ROUTES
};
/* A handler gets the exchange (http/server.h) and the part of the path that "{}" stands for, else "". */
typedef void (*endpoint_route_fn)(void *user, struct http_exchange *x, const char *rest);

#endif
