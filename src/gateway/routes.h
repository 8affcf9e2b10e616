/* SPDX-License-Identifier: MIT
 * The gateway's routes (tables/routes.def), and the handlers of those that don't call a model: routes.c, routes_ollama.c,
 * routes_responses.c, routes_llama.c. Loop thread. */
#ifndef CARAVAN_GATEWAY_ROUTES_H
#define CARAVAN_GATEWAY_ROUTES_H

#include "api/api.h"
#include "gateway/server.h"

/* rest: the part of the path that "{}" stands for, else "". */
typedef void (*route_fn)(struct gateway *g, struct http_exchange *x, const char *rest);

struct route {
    const char *method, *path;
    const struct api *api;         /* the route calls a model by this API (call.h); NULL: it doesn't */
    route_fn fn;                   /* else its handler; NULL: the node has the handler of node_route */
    enum gateway_node_route node_route;
    uint32_t may;                  /* the permission that a key must have, GATEWAY_MAY_*; 0: no key is needed */
    const char *help;
};
extern const struct route gateway_routes[];
extern const size_t gateway_n_routes;

/* The value of a name in "a=1&b=2", as it stands there; false: it is not there or too long. */
bool routes_query_value(const char *query, const char *name, char *out, size_t size);
void routes_root(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_props(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_slots(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_post(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_get(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_drop(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_tags(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_ps(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_show(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_version(struct gateway *g, struct http_exchange *x, const char *rest);

#endif
