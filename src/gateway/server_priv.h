/* SPDX-License-Identifier: MIT
 * The inside of the gateway, for the files of this room: server.c listens and finds the route, routes.c has the routes, call.c
 * the calls. */
#ifndef CARAVAN_GATEWAY_SERVER_PRIV_H
#define CARAVAN_GATEWAY_SERVER_PRIV_H

#include "api/api.h"
#include "gateway/keys.h"
#include "gateway/metrics.h"
#include "gateway/render.h"
#include "gateway/server.h"
#include "io/work.h"
#include "store/store.h"

struct call;

struct gateway {
    struct io_loop *loop;
    struct backend backend;
    struct gateway_keys keys;
    char *fingerprint;
    uint32_t ping_ms;
    clock_us replay_us;       /* how long a request that lost its place waits for another one; 0: it fails */
    struct http_server *http;
    struct io_timer *ping_timer;
    struct store *store;
    struct io_wake *store_wake;
    struct gateway_metrics metrics;
    struct io_works *readers; /* threads that read long requests (call_read.c) */
    struct render *render;    /* the models' chat templates */
    struct io_wake *render_wake;
    struct call *calls;
    size_t n_calls;
    struct {
        gateway_route_fn fn; /* NULL: not set */
        void *user;
    } node_routes[GATEWAY_NODE_ROUTES];
    bool draining;
    struct buf scratch;   /* one event's bytes */
    struct buf text;      /* one token's text */
    uint64_t id_state;    /* the last number that an id got */
};

/* Finds the model of this name; "": the only one. ERR_NO_MODEL: there is none; the error names the known models. */
err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e);
/* Passes on how long a request's model is to stay loaded, when the request ends. model NULL: it was never found. */
void gateway_keep_model(struct gateway *g, const char *model, int32_t seconds);
/* The API in whose form errors of this path are written: that of the route with which the path has most segments in common. */
const struct api *gateway_api_of(const char *path);
/* Sends a complete answer and frees the body. A body that failed (it may be cut) is not sent; an error is. */
void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body);
/* Answers with an error in the API's form, and with the headers that tell clients whether to try again. */
void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e);

#endif
