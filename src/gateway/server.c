/* SPDX-License-Identifier: MIT
 * Options, keys, the search for models and routes, errors as answers. See server.h. */
#include "gateway/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/card.h"
#include "gateway/call.h"
#include "gateway/routes.h"
#include "gateway/server_priv.h"

enum { RETRY_BUSY_S = 2, RETRY_UNAVAILABLE_S = 5, READERS = 16 };

void gateway_options_init(struct gateway_options *o) {
    *o = (struct gateway_options){.host = "127.0.0.1",
                                  .port = 8080,
                                  .max_body = 16u << 20,
                                  .ping_ms = 10 * 1000,
                                  .retention_s = 30 * 86400,
                                  .replay_s = 600,
                                  .fingerprint = "caravan"};
}

/* ---- answers ---- */

void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body) {
    static const char failed[] = "{\"error\":{\"message\":\"there is no memory for the answer\",\"type\":\"server_error\"}}";
    if (body->failed) http_respond(x, 500, "application/json", failed, sizeof(failed) - 1);
    else http_respond(x, status, type, body->data, body->len);
    buf_done(body);
}

void gateway_respond_json(struct http_exchange *x, int status, const yyjson_mut_doc *doc) {
    struct buf body;
    buf_init(&body, SIZE_MAX - 1);
    json_write(&body, doc);
    gateway_respond(x, status, "application/json", &body);
}

void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e) {
    int status = api_error_status(code);
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%d", code == ERR_BUSY ? RETRY_BUSY_S : RETRY_UNAVAILABLE_S);
    if (status == 429 || status == 503) http_response_header(x, "Retry-After", seconds);
    else if (status >= 500) /* the gateway has tried again already */ http_response_header(x, "x-should-retry", "false");
    if (status == 401) http_response_header(x, "WWW-Authenticate", "Bearer");
    struct buf body;
    buf_init(&body, 16 * 1024);
    api->error(code, e, &body);
    gateway_respond(x, status, "application/json", &body);
}

void gateway_keep_model(struct gateway *g, const char *model, int32_t seconds) {
    if (model != NULL && g->backend.keep != NULL) g->backend.keep(g->backend.self, model, seconds);
}

/* With how many equal segments two paths begin. */
static size_t common_segments(const char *a, const char *b) {
    size_t n = 0;
    for (; *a == *b && *a != '\0'; a++, b++) n += *a == '/';
    bool cut = (*a == '\0' || *a == '/') && (*b == '\0' || *b == '/'); /* else the last segments only begin alike */
    return cut || n == 0 ? n : n - 1;
}

const struct api *gateway_api_of(const char *path) {
    const struct api *best = &api_openai_chat;
    size_t most = 0;
    for (size_t i = 0; i < gateway_n_routes; i++) {
        const struct route *r = &gateway_routes[i];
        size_t n = r->api != NULL ? common_segments(r->path, path) : 0;
        if (n > most) {
            most = n;
            best = r->api;
        }
    }
    return best;
}

void gateway_respond_error(struct http_exchange *x, err_code code, const struct err *e) {
    gateway_answer_error(gateway_api_of(http_request(x)->path), x, code, e);
}

/* ---- models ---- */

/* Writes the names of the models for an error message, as many as fit. */
static void names_of(const struct backend_model *models, size_t n, char *ret, size_t size) {
    size_t len = 0;
    snprintf(ret, size, "%s", n > 0 ? "" : "(none yet)");
    for (size_t i = 0; i < n; i++) {
        int wrote = snprintf(ret + len, size - len, "%s\"%s\"", i > 0 ? ", " : "", models[i].id);
        if (wrote < 0 || (size_t)wrote >= size - len) { /* a name that doesn't fit is left out */
            snprintf(ret + len, size - len, "%s", len + 5 < size ? ", ..." : "");
            return;
        }
        len += (size_t)wrote;
    }
}

/* The model whose name fits best; NULL: none fits. *ret_other: another one that fits equally well, or NULL. */
static const struct backend_model *best_of(const struct backend_model *models, size_t n, const char *name,
                                           const struct backend_model **ret_other) {
    const struct backend_model *best = NULL;
    enum model_fit fit = MODEL_FIT_NONE;
    *ret_other = NULL;
    for (size_t i = 0; i < n; i++) {
        enum model_fit f = model_card_fit(name, models[i].id);
        if (f == MODEL_FIT_NONE || f < fit) continue;
        *ret_other = f == fit ? best : NULL;
        best = &models[i];
        fit = f;
    }
    return best;
}

err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e) {
    size_t n, ready = 0;
    const struct backend_model *models = g->backend.models(g->backend.self, &n), *other = NULL;
    const struct backend_model *only = NULL; /* the only one, or the only one that is loaded */
    for (size_t i = 0; i < n; i++) {
        ready += models[i].ready;
        if (models[i].ready || n == 1) only = &models[i];
    }
    bool unnamed = *name == '\0';
    const struct backend_model *best = !unnamed ? best_of(models, n, name, &other) : n == 1 || ready == 1 ? only : NULL;
    char known[240];
    if (best != NULL && other == NULL) {
        *ret = best;
        return ERR_OK;
    }
    if (best != NULL) return err_set(e, ERR_INVALID, "field \"model\": \"%.80s\" may be \"%.80s\" or \"%.80s\"", name, best->id, other->id);
    names_of(models, n, known, sizeof(known));
    if (unnamed) return err_set(e, ERR_INVALID, "field \"model\": several models are there, name one of: %s", known);
    return err_set(e, ERR_NO_MODEL, "field \"model\": there is no \"%.80s\" here; known: %s", name, known);
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

static bool is_there(const struct gateway *g, const struct route *r) {
    return r->api != NULL || r->fn != NULL || g->node_routes[r->node_route].fn != NULL;
}

static bool find_route(const struct gateway *g, const struct http_request *r, struct found *ret) {
    *ret = (struct found){0};
    for (size_t i = 0; i < gateway_n_routes; i++) {
        if (!is_there(g, &gateway_routes[i]) || !path_matches(gateway_routes[i].path, r->path, &ret->rest)) continue;
        ret->route = &gateway_routes[i];
        if (method_matches(gateway_routes[i].method, r->method, ret->allow, sizeof(ret->allow))) return true;
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
        err_set(&e, ERR_AUTH, "web pages of this origin may not ask");
        err_hint(&e, "--cors-origin allows them");
        gateway_respond_error(x, e.code, &e);
        return;
    }
    http_response_header(x, "Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
    http_response_header(x, "Access-Control-Allow-Headers", wanted != NULL ? wanted : "*");
    http_response_header(x, "Access-Control-Max-Age", "86400");
    http_respond(x, 204, NULL, NULL, 0);
}

static bool on_headers(void *user, struct http_exchange *x) {
    struct gateway *g = user;
    const struct http_request *r = http_request(x);
    struct found found;
    struct err e = {0};
    allow_origin(g, x);
    if (is_preflight(r)) return true;
    bool there = find_route(g, r, &found);
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
    if (g->draining) {
        gateway_respond_error(x, err_set(&e, ERR_UNAVAILABLE, "this node is shutting down"), &e);
        return false;
    }
    return true;
}

static void on_request(void *user, struct http_exchange *x) {
    struct gateway *g = user;
    struct found found;
    const struct http_request *r = http_request(x);
    if (is_preflight(r)) {
        answer_preflight(g, x);
        return;
    }
    if (!find_route(g, r, &found)) {
        refuse_route(x, r, &found);
        return;
    }
    log_debug("gateway", "%s %s", r->method, r->path);
    if (found.route->api != NULL) call_start(g, x, found.route->api);
    else if (found.route->fn != NULL) found.route->fn(g, x, found.rest);
    else g->node_routes[found.route->node_route].fn(g->node_routes[found.route->node_route].user, x, found.rest);
}

void gateway_set_route(struct gateway *g, enum gateway_node_route id, gateway_route_fn fn, void *user) {
    g->node_routes[id].fn = fn;
    g->node_routes[id].user = user;
}

/* ---- life ---- */

static void on_ping(void *user) { call_ping_all(user); }

static void on_store_thread(void *user) { io_wake_send(((struct gateway *)user)->store_wake); }

static void on_store(void *user) { store_deliver(((struct gateway *)user)->store); }

static err_code open_store(struct gateway *g, const struct gateway_options *o, struct err *e) {
    g->store_wake = io_wake_open(g->loop, on_store, g);
    return store_open(&(struct store_options){.path = o->state_path, .retention_s = o->retention_s, .wake = on_store_thread, .user = g},
                      &g->store, e);
}

static void on_render_thread(void *user) { io_wake_send(((struct gateway *)user)->render_wake); }

static void on_render(void *user) { render_deliver(((struct gateway *)user)->render); }

static err_code open_render(struct gateway *g, struct err *e) {
    g->render_wake = io_wake_open(g->loop, on_render, g);
    g->render = render_create(on_render_thread, g, e);
    return g->render != NULL ? ERR_OK : ERR_INTERNAL;
}

err_code gateway_create(struct io_loop *loop, const struct gateway_options *o, const struct backend *backend, struct gateway **ret,
                        struct err *e) {
    err_code code = gateway_check_bind(o->host, o->n_keys, e);
    if (code != ERR_OK) return code;
    struct gateway *g = MEM_NEW(struct gateway);
    *g = (struct gateway){.loop = loop,
                          .backend = *backend,
                          .fingerprint = mem_strdup(o->fingerprint),
                          .ping_ms = o->ping_ms,
                          .replay_us = (clock_us)o->replay_s * 1000000};
    gateway_keys_init(&g->keys, o->keys, o->n_keys, o->own_key);
    g->keys.origins = mem_strdup(o->cors_origin != NULL ? o->cors_origin : "");
    buf_init(&g->scratch, 64u << 20); /* the longest event is that of an echoed prompt */
    buf_init(&g->text, 64u << 20);
    struct http_server_options http;
    http_server_options_init(&http);
    http.host = o->host;
    http.port = o->port;
    http.max_body = o->max_body;
    http.max_bodies = 4 * o->max_body;
    if (o->max_connections > 0) http.max_connections = o->max_connections;
    http.user = g;
    http.on_headers = on_headers;
    http.on_request = on_request;
    g->readers = io_works_open(loop, READERS);
    code = open_store(g, o, e);
    if (code == ERR_OK) code = open_render(g, e);
    if (code == ERR_OK) code = http_server_open(loop, &http, &g->http, e);
    if (code != ERR_OK) {
        gateway_free(g);
        return code;
    }
    g->ping_timer = io_timer_open(loop, on_ping, g);
    uint64_t every = o->ping_ms / 4 + 1;
    io_timer_start(g->ping_timer, every, every);
    *ret = g;
    return ERR_OK;
}

uint16_t gateway_port(const struct gateway *g) { return http_server_port(g->http); }

size_t gateway_calls(const struct gateway *g) { return g->n_calls; }

void gateway_drain(struct gateway *g, void (*on_done)(void *user), void *user) {
    g->draining = true;
    http_server_drain(g->http, on_done, user);
}

void gateway_free(struct gateway *g) {
    if (g == NULL) return;
    http_server_close(g->http); /* this ends all calls */
    io_timer_close(g->ping_timer);
    gateway_keys_done(&g->keys);
    io_works_close(g->readers);
    store_close(g->store);
    io_wake_close(g->store_wake);
    render_free(g->render);
    io_wake_close(g->render_wake);
    buf_done(&g->scratch);
    buf_done(&g->text);
    free(g->fingerprint);
    free(g);
}
