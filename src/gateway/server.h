/* SPDX-License-Identifier: MIT
 * The gateway: the HTTP side of a node. It listens, checks keys, finds the route (tables/routes.def), and runs the calls; it reaches models
 * only through gateway/backend.h. Loop thread only; owned by the node. Where it may listen without keys: gateway/keys.h. */
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
    const char *own_key;        /* of this machine's command line: it may do everything, and counts as no key that was set; NULL: none */
    size_t max_body;            /* bytes of a request; default 16 MiB */
    uint32_t max_connections;   /* 0: what the limit of descriptors leaves */
    uint32_t replay_s;          /* a request whose stage or node is lost waits so long to go on; 0: it fails. default 600 */
    uint32_t ping_ms;           /* silence after which a waiting stream gets a comment line; default 10 s */
    const char *state_path;     /* file of what is kept (store/store.h); NULL: nothing outlives the process */
    int64_t retention_s;        /* older responses are forgotten; 0: never; default 30 days */
    const char *cors_origin;    /* which web pages may ask: "*", or origins with blanks between them; NULL or "": none but local ones */
    const char *fingerprint;    /* system_fingerprint of every answer; default "caravan" */
};
void gateway_options_init(struct gateway_options *o);

/* The backend struct is copied; its self must outlive the gateway. */
err_code gateway_create(struct io_loop *loop, const struct gateway_options *options, const struct backend *backend, struct gateway **ret,
                        struct err *e);
uint16_t gateway_port(const struct gateway *g);
size_t gateway_calls(const struct gateway *g); /* client requests that run */

/* The NODE_ROUTEs of routes.def: their handlers get the exchange as http/server.h says, and the part of the path that "{}" stands for, else
 * "". Until a handler is set, its route is not there. */
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
/* Answers for such handlers. respond_json writes the document (and does not free it). */
void gateway_respond_json(struct http_exchange *x, int status, const yyjson_mut_doc *doc);
void gateway_respond_error(struct http_exchange *x, err_code code, const struct err *e);

/* Takes no new work, lets running calls end, then on_done (from the loop). */
void gateway_drain(struct gateway *g, void (*on_done)(void *user), void *user);
/* Cancels everything that runs and closes. NULL is fine. */
void gateway_free(struct gateway *g);

#endif
