/* SPDX-License-Identifier: MIT
 * The table of routes, and the handlers that don't belong to one API. See routes.h. */
#include <string.h>

#include "base/mem.h"
#include "batch/batches.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "gateway/keys.h"
#include "gateway/upstreams.h"
#include "requests/capture.h"
#include "requests/recent.h"
#include "requests/requests.h"
#include "trace/exporter.h"

static void routes_health(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    size_t n, ready = 0, loading = 0;
    const struct backend_model *models = g->backend.models(g->backend.self, &n);
    for (size_t i = 0; i < n; i++) {
        ready += models[i].ready;
        loading += !models[i].ready && models[i].n_vocab > 0; /* it is being loaded; a mere file has no vocabulary yet */
    }
    if (ready == 0 && (n == 0 || loading > 0)) {
        struct err e = {0};
        gateway_respond_error(x, err_set(&e, ERR_UNAVAILABLE, n > 0 ? "the model is still loading" : "no model is there"), &e);
        return;
    }
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "status", "ok");
    yyjson_mut_obj_add_uint(doc, root, "models", ready);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* name: what clients ask for: the model's own name, or an alias. */
static yyjson_mut_val *model_object(yyjson_mut_doc *doc, const struct backend_model *m, const char *name) {
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_strcpy(doc, o, "id", name);
    yyjson_mut_obj_add_str(doc, o, "object", "model");
    yyjson_mut_obj_add_sint(doc, o, "created", m->created);
    yyjson_mut_obj_add_str(doc, o, "owned_by", "caravan");
    yyjson_mut_obj_add_uint(doc, o, "context_length", m->n_ctx);
    yyjson_mut_obj_add_bool(doc, o, "ready", m->ready);
    return o;
}

/* An alias as a model; one of which only upstreams are targets is always ready. NULL: it can't be asked. */
static yyjson_mut_val *alias_object(struct gateway *g, yyjson_mut_doc *doc, const struct routing_alias *a) {
    const struct backend_model cloud = {.ready = true}, *m = gateway_find_aliased(g, a);
    if (m == NULL && !gateway_find_leaves(a)) return NULL;
    yyjson_mut_val *o = model_object(doc, m != NULL ? m : &cloud, a->name);
    if (m == NULL) yyjson_mut_obj_remove_key(o, "context_length");
    return o;
}

static void routes_openai_models(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    const struct ledger_key *key = gateway_keys_made_of(&g->keys, http_request(x));
    size_t n;
    const struct backend_model *models = g->backend.models(g->backend.self, &n);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *data = yyjson_mut_arr(doc);
    yyjson_mut_obj_add_str(doc, root, "object", "list");
    yyjson_mut_obj_add_val(doc, root, "data", data);
    for (size_t i = 0; i < n; i++)
        if (routing_table_find(aliases_table(g->aliases), models[i].id) == NULL && gateway_find_may(key, models[i].id, NULL) == ERR_OK)
            yyjson_mut_arr_append(data, model_object(doc, &models[i], models[i].id));
    const struct routing_alias *a;
    for (size_t i = 0; (a = routing_table_alias(aliases_table(g->aliases), i)) != NULL; i++) {
        yyjson_mut_val *o = gateway_find_may(key, a->name, NULL) == ERR_OK ? alias_object(g, doc, a) : NULL;
        if (o != NULL) yyjson_mut_arr_append(data, o);
    }
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void routes_openai_model(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct routing_alias *a = routing_table_find(aliases_table(g->aliases), rest);
    const struct backend_model *model = NULL;
    struct err e = {0};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    bool may = a != NULL && gateway_find_may(gateway_keys_made_of(&g->keys, http_request(x)), a->name, NULL) == ERR_OK;
    yyjson_mut_val *o = may ? alias_object(g, doc, a) : NULL;
    if (o == NULL && gateway_find_told(g, http_request(x), rest, &model, &e) == ERR_OK) o = model_object(doc, model, model->id);
    yyjson_mut_doc_set_root(doc, o);
    if (o != NULL) gateway_respond_json(x, 200, doc);
    else gateway_respond_error(x, e.code, &e);
    yyjson_mut_doc_free(doc);
}

/* Gauges, and what others count. */
static void set_metrics(struct gateway *g) {
    struct trace_batch_counts spans;
    struct backend_counts counts = {0};
    if (g->backend.count != NULL) g->backend.count(g->backend.self, &counts);
    trace_exporter_count(g->exporter, &spans);
    metrics_set(&g->metrics, METRIC_RUNNING, requests_running(g));
    metrics_set(&g->metrics, METRIC_WAITING, requests_queued(g));
    metrics_set(&g->metrics, METRIC_BATCHES, batches_live(g->batches));
    metrics_set(&g->metrics, METRIC_BATCH_LINES, batches_in_flight(g->batches));
    metrics_set(&g->metrics, METRIC_CONNECTIONS, http_server_connections(g->http));
    metrics_set(&g->metrics, METRIC_CACHE_MEMORY, g->cache != NULL ? cache_service_held(g->cache) : 0);
    metrics_set(&g->metrics, METRIC_LINK_BYTES, counts.sent);
    metrics_set(&g->metrics, METRIC_THREADS, counts.threads);
    metrics_set(&g->metrics, METRIC_SPANS, spans.exported);
    metrics_set(&g->metrics, METRIC_SPANS_DROPPED, spans.dropped);
    metrics_set(&g->metrics, METRIC_SPANS_WAITING, spans.waiting);
    metrics_set(&g->metrics, METRIC_SPANS_FAILURES, spans.failures);
}

/* Names of upstreams and what they cost are for administrators. */
static void routes_metrics(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct buf out;
    (void)rest;
    buf_init(&out, 1 << 20);
    set_metrics(g);
    metrics_append(&g->metrics, &out);
    if (gateway_keys_check(&g->keys, http_request(x), GATEWAY_MAY_ADMIN, NULL) == ERR_OK) upstreams_metrics(g, &out);
    gateway_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

yyjson_mut_val *routes_status_value(struct gateway *g, bool admin, yyjson_mut_doc *doc) {
    yyjson_mut_val *root = g->backend.status(g->backend.self, doc);
    upstreams_status(g, admin, doc, root);
    yyjson_mut_obj_add_uint(doc, root, "queued", requests_queued(g));
    return root;
}

static void routes_status(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    bool admin = gateway_keys_check(&g->keys, http_request(x), GATEWAY_MAY_ADMIN, NULL) == ERR_OK;
    yyjson_mut_doc_set_root(doc, routes_status_value(g, admin, doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void routes_requests(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, recent_value(g, doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void routes_request(struct gateway *g, struct http_exchange *x, const char *id) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *value = capture_value(g, id, doc);
    if (value != NULL) {
        yyjson_mut_doc_set_root(doc, value);
        gateway_respond_json(x, 200, doc);
    } else {
        struct err e = {0};
        err_set(&e, ERR_NOT_FOUND, "nothing is kept of a request \"%.64s\"", id);
        err_hint(&e, g->capture > 0 ? "the oldest bodies go when newer ones need their room; --capture SIZE gives more"
                                    : "bodies are kept only if the node is started with --capture SIZE");
        gateway_respond_error(x, e.code, &e);
    }
    yyjson_mut_doc_free(doc);
}

#define OPEN  0
#define KEY   GATEWAY_MAY_ASK
#define ADMIN GATEWAY_MAY_ADMIN
const struct route endpoint_routes[] = {
#define CALL(method, path, api, auth, help)       {method, path, &api_##api, NULL, NULL, 0, auth, help},
#define ROUTE(method, path, handler, auth, help)  {method, path, NULL, NULL, routes_##handler, 0, auth, help},
#define UPLOAD(method, path, handler, auth, help) {method, path, NULL, routes_##handler##_begin, routes_##handler, 0, auth, help},
#define NODE_ROUTE(method, path, id, auth, help)  {method, path, NULL, NULL, NULL, ENDPOINT_ROUTE_##id, auth, help},
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef UPLOAD
#undef NODE_ROUTE
};
const size_t endpoint_n_routes = ARRAY_LEN(endpoint_routes);
