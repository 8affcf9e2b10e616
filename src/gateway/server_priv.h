/* SPDX-License-Identifier: MIT
 * The gateway from within: for server.c (listening, finding the route), routes.c (the routes) and call.c (the requests to models). */
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
    clock_us replay_us;       /* a request that lost its place waits so long for another; 0: it fails */
    struct http_server *http;
    struct io_timer *ping_timer;
    struct store *store;
    struct io_wake *store_wake;
    struct gateway_metrics metrics;
    struct io_works *readers; /* long requests: call_read.c */
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
    uint64_t id_state;    /* of the ids that answers get */
};

/* The model of this name, or the only one for "". ERR_NO_MODEL names the known ones. */
err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e);
/* A request has ended that says how long its model is to stay. NULL: it was never found. */
void gateway_keep_model(struct gateway *g, const char *model, int32_t seconds);
/* The API in whose form errors of this path are told: the one with the longest path in common. */
const struct api *gateway_api_of(const char *path);
/* The whole answer; the body is freed. A body that has failed is answered as an error: nothing is sent that was cut. */
void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body);
/* Answers with api's error body and the headers that tell clients whether to come again. */
void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e);

#endif
