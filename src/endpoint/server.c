/* SPDX-License-Identifier: MIT
 * Finds the route of a request, and makes and frees what the gateway consists of. See server.h. */
#include "endpoint/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "batch/batches.h"
#include "cache/disk.h"
#include "cache/valkey.h"
#include "cloud/cloud.h"
#include "endpoint/events.h"
#include "endpoint/history_log.h"
#include "endpoint/logs.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "gateway/loads.h"
#include "gateway/upstreams.h"
#include "requests/call.h"
#include "requests/requests.h"

enum { PIN_MS = 5000, CACHE_MEMORY = 16 << 20 };

struct endpoint {
    struct gateway gateway;
    struct io_timer *ping_timer, *pin_timer;
    struct io_wake *store_wake;
    struct {
        endpoint_route_fn fn; /* NULL: not set */
        void *user;
    } node_routes[ENDPOINT_NODE_ROUTES];
    bool draining;
};

void endpoint_options_init(struct endpoint_options *o) {
    *o = (struct endpoint_options){.host = "127.0.0.1",
                                   .port = 8080,
                                   .max_body = 16u << 20,
                                   .ping_ms = 10 * 1000,
                                   .retention_s = 30 * 86400,
                                   .uploads = {.max_bytes = 16ull << 30, .ttl_s = 30 * 86400},
                                   .replay_s = 600,
                                   .fingerprint = "caravan"};
}

/* ---- routes ---- */

struct found {
    const struct route *route;
    const char *rest;
    char allow[64]; /* the methods of the path, if the path is known and the method is not one of them */
};

static bool path_matches(const char *pattern, const char *path, const char **ret_rest) {
    size_t len = strlen(pattern);
    *ret_rest = "";
    if (len >= 3 && strcmp(pattern + len - 3, "/{}") == 0) {
        if (strncmp(path, pattern, len - 2) != 0 || path[len - 2] == '\0') return false;
        *ret_rest = path + len - 2;
        return true;
    }
    return strcmp(pattern, path) == 0;
}

static bool method_matches(const char *want, const char *method, char *allow, size_t size) {
    if (strcmp(want, method) == 0 || (strcmp(want, "GET") == 0 && strcmp(method, "HEAD") == 0)) return true;
    size_t len = strlen(allow);
    snprintf(allow + len, size - len, "%s%s%s", len > 0 ? ", " : "", want, strcmp(want, "GET") == 0 ? ", HEAD" : "");
    return false;
}

static bool is_there(const struct endpoint *ep, const struct route *r) {
    return r->api != NULL || r->fn != NULL || ep->node_routes[r->node_route].fn != NULL;
}

static bool find_route(const struct endpoint *ep, const struct http_request *r, struct found *ret) {
    *ret = (struct found){0};
    for (size_t i = 0; i < endpoint_n_routes; i++) {
        if (!is_there(ep, &endpoint_routes[i]) || !path_matches(endpoint_routes[i].path, r->path, &ret->rest)) continue;
        ret->route = &endpoint_routes[i];
        if (method_matches(endpoint_routes[i].method, r->method, ret->allow, sizeof(ret->allow))) return true;
    }
    return false;
}

static void refuse_route(struct http_exchange *x, const struct http_request *r, const struct found *found) {
    struct err e = {0};
    if (found->allow[0] != '\0') {
        http_response_header(x, "Allow", found->allow);
        err_set(&e, ERR_USAGE, "%s is not allowed for \"%.120s\", only %s", r->method, r->path, found->allow);
    } else {
        err_set(&e, ERR_NOT_FOUND, "there is no \"%.120s\" here", r->path);
    }
    gateway_respond_error(x, e.code, &e);
}

/* Tells the browser that the page may read the answer, if the page's origin may (https://fetch.spec.whatwg.org/#http-cors-protocol). */
static void allow_origin(const struct gateway *g, struct http_exchange *x) {
    const char *origin = http_request_header(http_request(x), "origin");
    if (!gateway_keys_allow_origin(&g->keys, origin)) return;
    http_response_header(x, "Access-Control-Allow-Origin", origin);
    http_response_header(x, "Access-Control-Expose-Headers", "*");
    http_response_header(x, "Vary", "Origin");
}

/* A preflight: browsers send it before the request. It carries no key. */
static bool is_preflight(const struct http_request *r) {
    return strcmp(r->method, "OPTIONS") == 0 && http_request_header(r, "access-control-request-method") != NULL;
}

static void answer_preflight(const struct gateway *g, struct http_exchange *x) {
    const char *wanted = http_request_header(http_request(x), "access-control-request-headers");
    struct err e = {0};
    if (!gateway_keys_allow_origin(&g->keys, http_request_header(http_request(x), "origin"))) {
        err_set(&e, ERR_FORBIDDEN, "web pages of this origin may not ask");
        err_hint(&e, "--cors-origin allows them");
        gateway_respond_error(x, e.code, &e);
        return;
    }
    http_response_header(x, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS");
    http_response_header(x, "Access-Control-Allow-Headers", wanted != NULL ? wanted : "*");
    http_response_header(x, "Access-Control-Max-Age", "86400");
    http_respond(x, 204, NULL, NULL, 0);
}

static bool on_headers(void *user, struct http_exchange *x) {
    struct endpoint *ep = user;
    struct gateway *g = &ep->gateway;
    const struct http_request *r = http_request(x);
    struct found found;
    struct err e = {0};
    allow_origin(g, x);
    if (is_preflight(r)) return true;
    bool there = find_route(ep, r, &found);
    uint32_t may = there ? found.route->may : GATEWAY_MAY_ASK;
    if (may != 0) {
        err_code code = gateway_keys_check(&g->keys, r, may, &e);
        if (code != ERR_OK) {
            gateway_respond_error(x, code, &e);
            return false;
        }
    }
    if (!there) {
        refuse_route(x, r, &found);
        return false;
    }
    if (ep->draining) {
        gateway_respond_error(x, err_set(&e, ERR_UNAVAILABLE, "this node is shutting down"), &e);
        return false;
    }
    return found.route->begin == NULL || found.route->begin(g, x);
}

static void on_request(void *user, struct http_exchange *x) {
    struct endpoint *ep = user;
    struct gateway *g = &ep->gateway;
    struct found found;
    const struct http_request *r = http_request(x);
    if (is_preflight(r)) {
        answer_preflight(g, x);
        return;
    }
    if (!find_route(ep, r, &found)) {
        refuse_route(x, r, &found);
        return;
    }
    log_debug("gateway", "%s %s", r->method, r->path);
    if (found.route->api != NULL) call_start(g, x, found.route->api);
    else if (found.route->fn != NULL) found.route->fn(g, x, found.rest);
    else ep->node_routes[found.route->node_route].fn(ep->node_routes[found.route->node_route].user, x, found.rest);
}

/* A request from within goes the way of the others. */
static void ask_within(void *user, struct http_exchange *x) {
    if (on_headers(user, x)) on_request(user, x);
}

void endpoint_set_route(struct endpoint *ep, enum endpoint_node_route id, endpoint_route_fn fn, void *user) {
    ep->node_routes[id].fn = fn;
    ep->node_routes[id].user = user;
}

/* ---- life ---- */

static void on_ping(void *user) {
    requests_ping(user);
    requests_look(user);
}

static void on_store_thread(void *user) { io_wake_send(((struct endpoint *)user)->store_wake); }

static void on_store(void *user) { store_deliver(((struct endpoint *)user)->gateway.store); }

static err_code open_store(struct endpoint *ep, const struct endpoint_options *o, struct err *e) {
    ep->store_wake = io_wake_open(ep->gateway.loop, on_store, ep);
    const struct store_options options = {.path = o->state_path,
                                          .retention_s = o->retention_s,
                                          .cache_size = o->cache.on && o->cache.server == NULL ? o->cache.size : 0,
                                          .wake = on_store_thread,
                                          .user = ep};
    return store_open(&options, &ep->gateway.store, e);
}

static void open_cache(struct gateway *g, const struct endpoint_cache_options *o) {
    const struct cache_limits limits = {.ttl_s = o->ttl_s, .memory = CACHE_MEMORY};
    if (!o->on) return;
    g->cache = cache_service_create(g->loop, &limits);
    const struct cache_port port = o->server != NULL
                                       ? cache_valkey_open(g->loop, o->server, o->password, o->trust, cache_service_found, g->cache)
                                       : cache_disk_open(g->store, cache_service_found, g->cache);
    cache_service_use(g->cache, &port);
}

/* The models that aliases pin are loaded when they aren't, and stay. */
static void pin_models(void *user) {
    struct gateway *g = user;
    const struct routing_alias *a;
    const struct backend_model *m = NULL;
    for (size_t i = 0; (a = routing_table_alias(aliases_table(g->aliases), i)) != NULL; i++)
        for (size_t k = 0; a->pinned && k < a->n_targets; k++) {
            const struct routing_target *t = &a->targets[k];
            if (t->upstream != NULL || gateway_find_model(g, t->model, &m, NULL) != ERR_OK || m->ready || !m->loadable) continue;
            loads_begin(g->loads, m->id, m->facts.bytes);
            if (g->backend.keep != NULL) g->backend.keep(g->backend.self, m->id, -1, true);
        }
}

static void on_routes(void *user) {
    upstreams_open(user);
    pin_models(user);
}

static err_code open_aliases(struct gateway *g, const struct endpoint_options *o, struct err *e) {
    g->loads = loads_create(g->loop, &g->backend);
    return aliases_open(g->loop, o->routes_path, o->routes_needed, on_routes, g, &g->aliases, e);
}

void endpoint_reload(struct endpoint *ep) { aliases_reload(ep->gateway.aliases); }

static err_code open_batches(struct endpoint *ep, const struct endpoint_options *o, struct err *e) {
    struct gateway *g = &ep->gateway;
    err_code code = uploads_open(g, &o->uploads, &g->uploads, e);
    if (code == ERR_OK) g->batches = batches_open(g, g->uploads, ask_within, ep);
    return code;
}

static err_code open_http(struct endpoint *ep, const struct endpoint_options *o, struct err *e) {
    struct http_server_options http;
    http_server_options_init(&http);
    http.host = o->host;
    http.port = o->port;
    http.max_body = o->max_body;
    http.max_bodies = 4 * o->max_body;
    if (o->max_connections > 0) http.max_connections = o->max_connections;
    http.user = ep;
    http.on_headers = on_headers;
    http.on_request = on_request;
    err_code code = http_server_open(ep->gateway.loop, &http, &ep->gateway.http, e);
    if (code != ERR_OK) err_hint(e, "is another server running here? --api ADDR:PORT takes another port");
    return code;
}

err_code endpoint_create(struct io_loop *loop, const struct endpoint_options *o, const struct backend *backend, struct endpoint **ret,
                         struct err *e) {
    struct endpoint *ep = MEM_NEW(struct endpoint);
    struct gateway *g = &ep->gateway;
    *g = (struct gateway){.loop = loop,
                          .backend = *backend,
                          .fingerprint = mem_strdup(o->fingerprint),
                          .ping_ms = o->ping_ms,
                          .capture = o->capture,
                          .replay_us = (clock_us)o->replay_s * 1000000};
    gateway_keys_init(&g->keys, o->keys, o->n_keys, o->own_key);
    g->fetch_images = mem_strdup(o->fetch_images != NULL ? o->fetch_images : "");
    g->keys.origins = mem_strdup(o->cors_origin != NULL ? o->cors_origin : "");
    g->events = events_create(g);
    g->logs = logs_create(loop, o->log_path);
    err_code code = open_aliases(g, o, e);
    if (code == ERR_OK) code = trace_exporter_open(loop, &o->traces, &g->exporter, e);
    if (code == ERR_OK) code = open_store(ep, o, e);
    if (code == ERR_OK) upstreams_open(g);
    if (code == ERR_OK) g->history = history_log_open(g);
    if (code == ERR_OK) open_cache(g, &o->cache);
    if (code == ERR_OK) code = gateway_accounting_open(g, e);
    if (code == ERR_OK) code = gateway_check_bind(o->host, g->keys.n_made + o->n_keys, e);
    if (code == ERR_OK) code = requests_open(g, e);
    if (code == ERR_OK) code = open_batches(ep, o, e);
    if (code == ERR_OK) code = open_http(ep, o, e);
    if (code != ERR_OK) {
        endpoint_free(ep);
        return code;
    }
    ep->ping_timer = io_timer_open(loop, on_ping, g);
    uint64_t every = o->ping_ms / 4 + 1;
    io_timer_start(ep->ping_timer, every, every);
    ep->pin_timer = io_timer_open(loop, pin_models, g);
    io_timer_start(ep->pin_timer, PIN_MS, PIN_MS);
    *ret = ep;
    return ERR_OK;
}

uint16_t endpoint_port(const struct endpoint *ep) { return http_server_port(ep->gateway.http); }

bool endpoint_get_queue(const struct endpoint *ep, size_t i, struct requests_queue *ret) {
    return requests_get_queue(&ep->gateway, i, ret);
}

size_t endpoint_calls(const struct endpoint *ep) { return requests_running(&ep->gateway); }

void endpoint_drain(struct endpoint *ep, void (*on_done)(void *user), void *user) {
    ep->draining = true;
    events_end(ep->gateway.events);
    logs_end(ep->gateway.logs);
    trace_exporter_hurry(ep->gateway.exporter);
    batches_stop(ep->gateway.batches);
    http_server_drain(ep->gateway.http, on_done, user);
}

void endpoint_free(struct endpoint *ep) {
    if (ep == NULL) return;
    struct gateway *g = &ep->gateway;
    http_server_close(g->http); /* this ends the calls of all clients */
    batches_close(g->batches);  /* and this the others */
    uploads_close(g->uploads);
    requests_close(g);
    events_free(g->events);
    logs_free(g->logs);
    history_log_close(g->history);
    io_timer_close(ep->ping_timer);
    io_timer_close(ep->pin_timer);
    loads_free(g->loads);
    aliases_close(g->aliases);
    gateway_accounting_close(g);
    gateway_keys_done(&g->keys);
    cache_service_free(g->cache);
    cloud_free(g->cloud);
    trace_exporter_close(g->exporter);
    store_close(g->store);
    io_wake_close(ep->store_wake);
    free(g->fingerprint);
    free(g->fetch_images);
    free(ep);
}
