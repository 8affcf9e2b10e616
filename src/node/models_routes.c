/* SPDX-License-Identifier: MIT
 * See models_routes.h. */
#include "node/models_routes.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "gateway/admin.h"
#include "gateway/answer.h"
#include "node/listing.h"

static uint32_t list_requests(void *user, const char *instance) { return balance_work(user, instance).calls; }

yyjson_mut_val *models_routes_list(const struct models_routes *r, yyjson_mut_doc *doc) {
    struct record own = {0};
    const struct record **records = mem_calloc(r->records->n_linked + 1, sizeof(*records));
    struct listing l = {.records = records, .catalog = r->catalog, .requests = list_requests, .user = r->balance};
    r->own_record(r->user, &own);
    records[l.n_records++] = &own;
    for (size_t i = 0; i < r->records->n_linked; i++) records[l.n_records++] = r->records->linked[i];
    yyjson_mut_val *list = listing_make(&l, doc);
    record_done(&own);
    free(records);
    return list;
}

static void on_list(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, models_routes_list(user, doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- changes ---- */

/* An exchange that waits for another node's answer. */
struct waiting_exchange {
    struct http_exchange *x; /* NULL: its client has gone */
};

static void exchange_gone(void *user) { ((struct waiting_exchange *)user)->x = NULL; }

static struct waiting_exchange *wait_begin(struct http_exchange *x) {
    struct waiting_exchange *w = MEM_NEW(struct waiting_exchange);
    w->x = x;
    http_exchange_on_gone(x, exchange_gone, w);
    return w;
}

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

/* {"model", and what it is loaded with} */
static err_code read_wish(struct http_exchange *x, yyjson_doc **doc, const char **name, struct load_wish *wish, struct err *e) {
    err_code code = admin_body(x, doc, e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(*doc), "model", name, e);
    if (code == ERR_OK) code = wish_read(yyjson_doc_get_root(*doc), wish, e);
    wish_set(wish, WISH_PINNED, false);
    wish_unset(wish, WISH_ASKED);
    return code;
}

/* An exchange that waits for a plan. */
struct planned {
    struct http_exchange *x; /* NULL: its client has gone */
    yyjson_mut_doc *doc;
};

static void planned_gone(void *user) { ((struct planned *)user)->x = NULL; }

static void planned_done(void *user, err_code code, yyjson_mut_val *plan, const struct err *e) {
    struct planned *p = user;
    if (code == ERR_NO_ROOM || code == ERR_WHOLE_ONLY) { /* that is an answer */
        plan = yyjson_mut_obj(p->doc);
        yyjson_mut_obj_add_bool(p->doc, plan, "fits", false);
        yyjson_mut_obj_add_strcpy(p->doc, plan, "text", e->text);
        yyjson_mut_obj_add_strcpy(p->doc, plan, "hint", e->hint);
        code = ERR_OK;
    }
    yyjson_mut_doc_set_root(p->doc, plan);
    if (p->x && code == ERR_OK) gateway_respond_json(p->x, 200, p->doc);
    else if (p->x) gateway_respond_error(p->x, code, e);
    yyjson_mut_doc_free(p->doc);
    free(p);
}

static void on_plan(void *user, struct http_exchange *x, const char *rest) {
    const struct models_routes *r = user;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    struct load_wish wish = {0};
    (void)rest;
    err_code code = read_wish(x, &doc, &name, &wish, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
    } else {
        struct planned *p = MEM_NEW(struct planned);
        *p = (struct planned){.x = x, .doc = yyjson_mut_doc_new(NULL)};
        http_exchange_on_gone(x, planned_gone, p);
        models_plan(r->models, name, &wish, p->doc, planned_done, p);
    }
    yyjson_doc_free(doc);
}

static void on_change(const struct models_routes *r, struct http_exchange *x, bool load) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    struct load_wish wish = {0};
    wish_set(&wish, WISH_KEPT, true);
    err_code code = read_wish(x, &doc, &name, &wish, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
    } else {
        struct waiting_exchange *w = wait_begin(x);
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

static void on_fetch(const struct models_routes *r, struct http_exchange *x, bool drop) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *source = NULL, *node = NULL;
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "model", &source, &e);
    if (code == ERR_OK && yyjson_obj_get(yyjson_doc_get_root(doc), "node"))
        code = json_need_str(yyjson_doc_get_root(doc), "node", &node, &e);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else models_pull(r->models, node, source, drop, exchange_done, wait_begin(x));
    yyjson_doc_free(doc);
}

static void on_pull(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_fetch(user, x, false);
}

static void on_unpull(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_fetch(user, x, true);
}

static void on_empty(const struct models_routes *r, struct http_exchange *x, bool on) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "name", &name, &e);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else models_drain(r->models, name, on, exchange_done, wait_begin(x));
    yyjson_doc_free(doc);
}

static void on_drain(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_empty(user, x, true);
}

static void on_undrain(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    on_empty(user, x, false);
}

static void on_delete(void *user, struct http_exchange *x, const char *name) {
    const struct models_routes *r = user;
    models_remove_here(r->models, name, exchange_done, wait_begin(x));
}

void models_routes_add(struct models_routes *r, struct endpoint *ep) {
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS, on_list, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_PLAN, on_plan, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_LOAD, on_load, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_UNLOAD, on_unload, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_PULL, on_pull, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_UNPULL, on_unpull, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_DRAIN, on_drain, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_UNDRAIN, on_undrain, r);
    endpoint_set_route(ep, ENDPOINT_ROUTE_MODELS_DELETE, on_delete, r);
}
