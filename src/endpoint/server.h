/* SPDX-License-Identifier: MIT
 * The HTTP side of a node. It listens, checks keys (gateway/keys.h), finds the route (tables/routes.def), and starts a call
 * (requests/call.h) or the route's handler. It reaches models only through gateway/backend.h. The node owns it. Loop thread only. */
#ifndef CARAVAN_ENDPOINT_SERVER_H
#define CARAVAN_ENDPOINT_SERVER_H

#include "batch/uploads.h"
#include "endpoint/node_route.h"
#include "gateway/backend.h"
#include "gateway/keys.h"
#include "trace/exporter.h"

struct endpoint;
struct requests_queue;
struct cache_valkey_address;
struct io_tls_trust;

/* The response cache (cache/cache.h). */
struct endpoint_cache_options {
    bool on;
    int64_t ttl_s;              /* how long an answer is given again */
    uint64_t size;              /* bytes of answers in the database */
    const struct cache_valkey_address *server; /* keeps them instead of the database; NULL: none does */
    const char *password;       /* the server's; NULL: it wants none */
    struct io_tls_trust *trust; /* for a server by TLS; it outlives the endpoint */
};

struct endpoint_options {
    const char *host;           /* default "127.0.0.1"; anything but loopback needs keys (ERR_AUTH) */
    uint16_t port;              /* default 8080; 0: the kernel chooses */
    const struct gateway_key *keys; /* API keys; copied */
    size_t n_keys;
    const char *own_key;        /* of this machine's command line: it may do everything, and isn't one of the keys above; NULL: none */
    size_t max_body;            /* bytes of a request; default 16 MiB */
    uint32_t max_connections;   /* 0: as many as the limit of file descriptors allows */
    uint32_t replay_s;          /* how long a request that lost its place waits for another one; 0: it fails at once. default 600 */
    size_t capture;             /* bytes for the bodies of requests and answers, for people to look at; default 0: none are kept */
    uint32_t ping_ms;           /* silence after which a waiting stream gets a comment line; default 10 s */
    const char *state_path;     /* the database file (store/store.h); NULL: nothing outlives the process */
    int64_t retention_s;        /* older responses are deleted; 0: never; default 30 days */
    struct endpoint_cache_options cache; /* default: off */
    struct uploads_options uploads; /* those that clients keep here (/v1/files); default: none are kept; 16 GiB, 30 days */
    const char *routes_path;    /* the routes file (aliases.h); NULL: none */
    bool routes_needed;         /* it must be there at the start */
    const char *log_path;       /* of this node's log, which its API shows (base/log_tail.h); NULL: it has none */
    const char *fetch_images;   /* hosts from which pictures are fetched (http/fetch.h); NULL or "": none are */
    const char *cors_origin;    /* web pages that may use the API: "*", or origins separated by blanks; NULL or "": only local ones */
    struct trace_options traces; /* default: off */
    const char *fingerprint;    /* system_fingerprint of every answer; default "caravan" */
};
void endpoint_options_init(struct endpoint_options *o);

/* The backend struct is copied; its self must outlive the endpoint. */
err_code endpoint_create(struct io_loop *loop, const struct endpoint_options *options, const struct backend *backend, struct endpoint **ret,
                         struct err *e);
uint16_t endpoint_port(const struct endpoint *ep);
/* The queue of the i-th model for which requests wait (requests/requests.h). False: there are no more. */
bool endpoint_get_queue(const struct endpoint *ep, size_t i, struct requests_queue *ret);
size_t endpoint_calls(const struct endpoint *ep); /* requests that are not answered yet */

/* Sets the handler of a route of the node. */
void endpoint_set_route(struct endpoint *ep, enum endpoint_node_route id, endpoint_route_fn fn, void *user);

/* Reads the routes file again, now. */
void endpoint_reload(struct endpoint *ep);
/* Takes no new requests, lets those that run end, and then calls on_done from the loop. */
void endpoint_drain(struct endpoint *ep, void (*on_done)(void *user), void *user);
/* Cancels all requests and frees the endpoint. NULL is fine. */
void endpoint_free(struct endpoint *ep);

#endif
