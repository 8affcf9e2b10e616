/* SPDX-License-Identifier: MIT
 * See models_routes.h. */
#include "node/models_routes.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "node/admin.h"
#include "node/listing.h"

static uint32_t list_requests(void *user, const char *instance) { return calls_work(user, instance).calls; }

static void on_list(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    const struct models_routes *r = user;
    struct record own = {0};
    const struct record **records = mem_calloc(r->records->n_linked + 1, sizeof(*records));
    struct listing l = {.records = records, .catalog = r->catalog, .requests = list_requests, .user = r->calls};
    r->own_record(r->user, &own);
    records[l.n_records++] = &own;
    for (size_t i = 0; i < r->records->n_linked; i++) records[l.n_records++] = r->records->linked[i];
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, listing_make(&l, doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
    record_done(&own);
    free(records);
}

/* ---- changes ---- */

/* An exchange that waits for another node's answer. */
struct waiting_exchange {
    struct http_exchange *x; /* NULL: its client has gone */
};

static void exchange_gone(void *user) { ((struct waiting_exchange *)user)->x = NULL; }

static void exchange_done(void *user, err_code code, const char *model, const struct err *e) {
    struct waiting_exchange *w = user;
    if (w->x && code != ERR_OK) {
        gateway_respond_error(w->x, code, e);
    } else if (w->x) {
        yyjson_mut_doc *doc = json_new();
        yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
        yyjson_mut_obj_add_bool(doc, root, "done", true);
        yyjson_mut_obj_add_strcpy(doc, root, "model", model);
        gateway_respond_json(w->x, 200, doc);
        yyjson_mut_doc_free(doc);
    }
    free(w);
}

static void on_change(const struct models_routes *r, struct http_exchange *x, bool load) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    struct load_wish wish = {0};
    wish_set(&wish, WISH_KEPT, true);
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "model", &name, &e);
    if (code == ERR_OK) code = wish_read(yyjson_doc_get_root(doc), &wish, &e);
    wish_set(&wish, WISH_PINNED, false);
    wish_unset(&wish, WISH_ASKED);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
    } else {
        struct waiting_exchange *w = MEM_NEW(struct waiting_exchange);
        w->x = x;
        http_exchange_on_gone(x, exchange_gone, w);
        if (load) models_load(r->models, name, &wish, exchange_done, w);
        else models_unload(r->models, name, exchange_done, w);
    }
    yyjson_doc_free(doc);
}

static void on_load(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_change(user, x, true);
}

static void on_unload(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_change(user, x, false);
}

static void on_delete(void *user, struct http_exchange *x, const char *name) {
    const struct models_routes *r = user;
    struct waiting_exchange *w = MEM_NEW(struct waiting_exchange);
    w->x = x;
    http_exchange_on_gone(x, exchange_gone, w);
    models_remove_here(r->models, name, exchange_done, w);
}

void models_routes_add(struct models_routes *r, struct gateway *g) {
    gateway_set_route(g, GATEWAY_ROUTE_MODELS, on_list, r);
    gateway_set_route(g, GATEWAY_ROUTE_MODELS_LOAD, on_load, r);
    gateway_set_route(g, GATEWAY_ROUTE_MODELS_UNLOAD, on_unload, r);
    gateway_set_route(g, GATEWAY_ROUTE_MODELS_DELETE, on_delete, r);
}
