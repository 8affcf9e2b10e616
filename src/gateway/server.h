/* SPDX-License-Identifier: MIT
 * The gateway is the HTTP side of a node. It listens, checks keys (keys.h), finds the route (tables/routes.def), and runs the calls
 * (call.h). It reaches models only through backend.h. The node owns it. Loop thread only. */
#ifndef CARAVAN_GATEWAY_SERVER_H
#define CARAVAN_GATEWAY_SERVER_H

#include "gateway/keys.h"
#include "gateway/backend.h"
#include "http/server.h"

struct gateway;

struct gateway_options {
    const char *host;           /* default "127.0.0.1"; anything but loopback needs keys (ERR_AUTH) */
    uint16_t port;              /* default 8080; 0: the kernel chooses */
    const struct gateway_key *keys; /* API keys; copied */
    size_t n_keys;
    const char *own_key;        /* of this machine's command line: it may do everything, and isn't one of the keys above; NULL: none */
    size_t max_body;            /* bytes of a request; default 16 MiB */
    uint32_t max_connections;   /* 0: as many as the limit of file descriptors allows */
    uint32_t replay_s;          /* how long a request that lost its place waits for another one; 0: it fails at once. default 600 */
    uint32_t ping_ms;           /* silence after which a waiting stream gets a comment line; default 10 s */
    const char *state_path;     /* the database file (store/store.h); NULL: nothing outlives the process */
    int64_t retention_s;        /* older responses are deleted; 0: never; default 30 days */
    const char *cors_origin;    /* web pages that may use the API: "*", or origins separated by blanks; NULL or "": only local ones */
    const char *fingerprint;    /* system_fingerprint of every answer; default "caravan" */
};
void gateway_options_init(struct gateway_options *o);

/* The backend struct is copied; its self must outlive the gateway. */
err_code gateway_create(struct io_loop *loop, const struct gateway_options *options, const struct backend *backend, struct gateway **ret,
                        struct err *e);
uint16_t gateway_port(const struct gateway *g);
size_t gateway_calls(const struct gateway *g); /* requests that are not answered yet */

/* The NODE_ROUTEs of routes.def. A handler gets the exchange (http/server.h) and the part of the path that "{}" stands for, else "". A
 * route without a handler answers 404. */
enum gateway_node_route {
#define CALL(method, path, api, auth, help)
#define ROUTE(method, path, handler, auth, help)
#define NODE_ROUTE(method, path, id, auth, help) GATEWAY_ROUTE_##id,
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef NODE_ROUTE
    GATEWAY_NODE_ROUTES
};
typedef void (*gateway_route_fn)(void *user, struct http_exchange *x, const char *rest);
void gateway_set_route(struct gateway *g, enum gateway_node_route id, gateway_route_fn fn, void *user);
/* Answers of such handlers. The document stays the caller's. */
void gateway_respond_json(struct http_exchange *x, int status, const yyjson_mut_doc *doc);
void gateway_respond_error(struct http_exchange *x, err_code code, const struct err *e);

/* Takes no new requests, lets those that run end, and then calls on_done from the loop. */
void gateway_drain(struct gateway *g, void (*on_done)(void *user), void *user);
/* Cancels all requests and frees the gateway. NULL is fine. */
void gateway_free(struct gateway *g);

#endif
