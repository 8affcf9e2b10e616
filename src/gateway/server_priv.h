/* SPDX-License-Identifier: MIT
 * The gateway from within: for server.c (listening, routes), routes.c (the handlers) and call.c (running requests). */
#ifndef CARAVAN_GATEWAY_SERVER_PRIV_H
#define CARAVAN_GATEWAY_SERVER_PRIV_H

#include "api/api.h"
#include "gateway/keys.h"
#include "gateway/metrics.h"
#include "gateway/render.h"
#include "gateway/server.h"
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

/* routes.c: a handler gets the rest of the path for routes that end in "/{}", else "". */
typedef void (*route_fn)(struct gateway *g, struct http_exchange *x, const char *rest);
struct route {
    const char *method, *path;
    route_fn fn;                   /* NULL: the node has it, as node_route */
    enum gateway_node_route node_route;
    uint32_t may;                  /* what a key must allow, GATEWAY_MAY_*; 0: no key is needed */
    const char *help;
};
extern const struct route gateway_routes[];
extern const size_t gateway_n_routes;

/* routes_ollama.c, routes_text.c, routes_responses.c, embeddings.c */
void handle_openai_response(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_openai_response_drop(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_tags(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_ps(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_show(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_version(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_tokenize(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_detokenize(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_embeddings(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_embed(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_ollama_embeddings(struct gateway *g, struct http_exchange *x, const char *rest);
void handle_rerank(struct gateway *g, struct http_exchange *x, const char *rest);

/* server.c */
/* The model of this name, or the only one for "". ERR_NOT_FOUND names the known ones. */
err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e);
/* A request has ended that says how long its model is to stay. NULL: it was never found. */
void gateway_keep_model(struct gateway *g, const char *model, int32_t seconds);
/* The API whose shape errors of this path have. */
const struct api *gateway_api_of(const char *path);
/* The whole answer; the body is freed. A body that has failed is answered as an error: nothing is sent that was cut. */
void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body);
/* Answers with api's error body and the headers that tell clients whether to come again. */
void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e);

/* call.c */
/* Runs the request in x under an API; answers it, now or later. */
void call_start(struct gateway *g, struct http_exchange *x, const struct api *api);
void call_ping_all(struct gateway *g); /* comment lines for the streams that have been silent too long */

#endif
