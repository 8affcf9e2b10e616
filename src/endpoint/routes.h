/* SPDX-License-Identifier: MIT
 * The gateway's routes (tables/routes.def), and the handlers of those that don't call a model: routes.c, routes_ollama.c,
 * routes_responses.c, routes_llama.c, routes_web.c, events.c, history_log.c, logs.c, routes_aliases.c, routes_keys.c. Loop thread. */
#ifndef CARAVAN_ENDPOINT_ROUTES_H
#define CARAVAN_ENDPOINT_ROUTES_H

#include "api/api.h"
#include "endpoint/node_route.h"

struct gateway;

/* rest: the part of the path that "{}" stands for, else "". */
typedef void (*route_fn)(struct gateway *g, struct http_exchange *x, const char *rest);

struct route {
    const char *method, *path;
    const struct api *api;         /* the route calls a model by this API (call.h); NULL: it doesn't */
    bool (*begin)(struct gateway *g, struct http_exchange *x); /* sees the headers first; false: it has refused. NULL: nothing does */
    route_fn fn;                   /* else its handler; NULL: the node has the handler of node_route */
    enum endpoint_node_route node_route;
    uint32_t may;                  /* the permission that a key must have, GATEWAY_MAY_*; 0: no key is needed */
    const char *help;
};
extern const struct route endpoint_routes[];
extern const size_t endpoint_n_routes;

/* The value of a name in "a=1&b=2", as it stands there; false: it is not there or too long. */
bool routes_query_value(const char *query, const char *name, char *out, size_t size);
/* What GET /caravan/v1/status answers. admin: for a key that may administer. */
yyjson_mut_val *routes_status_value(struct gateway *g, bool admin, yyjson_mut_doc *doc);
void routes_events(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_logs(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_history(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_web(struct gateway *g, struct http_exchange *x, const char *rest);
/* The number in ?limit=, from 1 to `most`; *ret stays as it is if there is none. ERR_INVALID. */
err_code routes_query_limit(const char *query, int64_t most, int64_t *ret, struct err *e);
/* Makes a list's object for the client from a row of the store. */
typedef yyjson_mut_val *(*routes_row_fn)(void *user, yyjson_mut_doc *doc, yyjson_val *row);
/* Answers with a list of OpenAI's. text: rows with ids, as JSON, of which `limit` are shown: one more says that there are more. */
void routes_respond_page(struct http_exchange *x, const char *text, size_t len, size_t limit, routes_row_fn object, void *user);
void routes_root(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_props(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_lora_adapters(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_slots(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_post(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_get(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_response_drop(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_aliases_get(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_aliases_put(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_keys_list(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_keys_make(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_keys_drop(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_usage(struct gateway *g, struct http_exchange *x, const char *rest);
bool routes_file_make_begin(struct gateway *g, struct http_exchange *x);
void routes_file_make(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_file_list(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_file_get(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_file_drop(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_batch_make(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_batch_list(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_batch_get(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_batch_post(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_tags(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_ps(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_show(struct gateway *g, struct http_exchange *x, const char *rest);
void routes_ollama_version(struct gateway *g, struct http_exchange *x, const char *rest);

#endif
