/* SPDX-License-Identifier: MIT
 * The table of routes, and the handlers that don't belong to one API. See routes.h. */
#include <string.h>

#include "base/mem.h"
#include "gateway/routes.h"
#include "gateway/server_priv.h"

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

static yyjson_mut_val *model_object(yyjson_mut_doc *doc, const struct backend_model *m) {
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_strcpy(doc, o, "id", m->id);
    yyjson_mut_obj_add_str(doc, o, "object", "model");
    yyjson_mut_obj_add_sint(doc, o, "created", m->created);
    yyjson_mut_obj_add_str(doc, o, "owned_by", "caravan");
    yyjson_mut_obj_add_uint(doc, o, "context_length", m->n_ctx);
    yyjson_mut_obj_add_bool(doc, o, "ready", m->ready);
    return o;
}

static void routes_openai_models(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    size_t n;
    const struct backend_model *models = g->backend.models(g->backend.self, &n);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *data = yyjson_mut_arr(doc);
    yyjson_mut_obj_add_str(doc, root, "object", "list");
    yyjson_mut_obj_add_val(doc, root, "data", data);
    for (size_t i = 0; i < n; i++) yyjson_mut_arr_append(data, model_object(doc, &models[i]));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void routes_openai_model(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *model = NULL;
    struct err e = {0};
    err_code code = gateway_find_model(g, rest, &model, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, model_object(doc, model));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void routes_metrics(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct buf out;
    (void)rest;
    buf_init(&out, 1 << 20);
    metrics_append(&g->metrics, &out);
    metrics_append_gauge(&out, "caravan_requests_running", "generation requests that are being answered", g->n_calls);
    metrics_append_gauge(&out, "caravan_connections", "connections of clients", http_server_connections(g->http));
    gateway_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static void routes_status(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, g->backend.status(g->backend.self, doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

#define OPEN  0
#define KEY   GATEWAY_MAY_ASK
#define ADMIN GATEWAY_MAY_ADMIN
const struct route gateway_routes[] = {
#define CALL(method, path, api, auth, help)      {method, path, &api_##api, NULL, 0, auth, help},
#define ROUTE(method, path, handler, auth, help) {method, path, NULL, routes_##handler, 0, auth, help},
#define NODE_ROUTE(method, path, id, auth, help) {method, path, NULL, NULL, GATEWAY_ROUTE_##id, auth, help},
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef NODE_ROUTE
};
const size_t gateway_n_routes = ARRAY_LEN(gateway_routes);
