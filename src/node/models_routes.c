/* SPDX-License-Identifier: MIT
 * See models_routes.h. */
#include "node/models_routes.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "endpoint/routes.h"
#include "engine/params.h"
#include "gateway/admin.h"
#include "gateway/answer.h"
#include "model/adapter.h"
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

/* Another node may load the model, and a client has another working directory than this one. */
static err_code check_adapters(const char *text, struct err *e) {
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    uint32_t n = 0;
    err_code code = model_adapters_parse(text, list, &n, e);
    for (uint32_t i = 0; i < n && code == ERR_OK; i++)
        if (list[i].path[0] != '/')
            code = err_set_field(e, ERR_INVALID, "lora", "\"%s\" is not the whole path of an adapter", list[i].path);
    return code;
}

/* {"model", and what it is loaded with} */
static err_code read_wish(struct http_exchange *x, yyjson_doc **doc, const char **name, struct load_wish *wish, struct err *e) {
    err_code code = admin_body(x, doc, e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(*doc), "model", name, e);
    if (code == ERR_OK) code = wish_read(yyjson_doc_get_root(*doc), wish, e);
    if (code == ERR_OK) code = check_adapters(wish->lora, e);
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

/* ---- the scales of adapters ---- */

/* The loaded model of this name; "": the only one that has adapters. */
static err_code find_adapted(const struct models_routes *r, const char *name, const struct backend_model **ret, struct err *e) {
    const struct backend_model *found = NULL;
    size_t n, n_found = 0;
    const struct backend_model *models = r->backend.models(r->backend.self, &n);
    for (size_t i = 0; i < n; i++) {
        if (models[i].lora == NULL || models[i].lora[0] == '\0' || (name[0] != '\0' && strcmp(models[i].id, name) != 0)) continue;
        found = &models[i];
        n_found++;
    }
    if (n_found > 1)
        return err_set_field(e, ERR_INVALID, "model", "several models have adapters: say which one, as in ?model=%s", found->id);
    if (n_found == 0) {
        err_set(e, ERR_NOT_FOUND, "no model%s%s%s is loaded with adapters", name[0] ? " \"" : "", name, name[0] ? "\"" : "");
        err_hint(e, "caravan load MODEL --lora FILE");
        return ERR_NOT_FOUND;
    }
    *ret = found;
    return ERR_OK;
}

/* [{"id": N, "scale": X}, ...]; adapters that are not in it get 0, as in llama-server. */
static err_code read_scales(yyjson_val *body, struct model_adapter *list, uint32_t n, struct err *e) {
    yyjson_val *v;
    size_t i, max;
    if (!yyjson_is_arr(body)) return err_set(e, ERR_INVALID, "expected an array of {\"id\": N, \"scale\": X}");
    for (uint32_t k = 0; k < n; k++) list[k].scale = 0;
    yyjson_arr_foreach(body, i, max, v) {
        yyjson_val *id = yyjson_obj_get(v, "id"), *scale = yyjson_obj_get(v, "scale");
        if (!yyjson_is_uint(id) || !yyjson_is_num(scale))
            return err_set(e, ERR_INVALID, "entry %zu: expected {\"id\": N, \"scale\": X}", i);
        if (yyjson_get_uint(id) >= n)
            return err_set_field(e, ERR_INVALID, "id", "there is no adapter %llu: the model has %u",
                                 (unsigned long long)yyjson_get_uint(id), n);
        err_code code = json_get_double(v, "scale", -ENGINE_MAX_SCALE, ENGINE_MAX_SCALE, &list[yyjson_get_uint(id)].scale, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code scales_wish(struct http_exchange *x, const char *lora, struct load_wish *ret, struct err *e) {
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    char text[WISH_MAX_TEXT];
    uint32_t n = 0;
    yyjson_doc *doc = NULL;
    err_code code = model_adapters_parse(lora, list, &n, e);
    if (code == ERR_OK) code = admin_json(x, &doc, e);
    if (code == ERR_OK) code = read_scales(yyjson_doc_get_root(doc), list, n, e);
    if (code == ERR_OK) code = model_adapters_write(list, n, text, sizeof(text), e);
    if (code == ERR_OK) wish_set_text(ret, WISH_LORA, text);
    yyjson_doc_free(doc);
    return code;
}

/* {"success": true}, as llama-server answers. */
static void scales_set(void *user, err_code code, const char *model, const struct err *e) {
    struct waiting_exchange *w = user;
    (void)model;
    if (w->x && code != ERR_OK) {
        gateway_respond_error(w->x, code, e);
    } else if (w->x) {
        yyjson_mut_doc *doc = json_new();
        yyjson_mut_obj_add_bool(doc, yyjson_mut_doc_get_root(doc), "success", true);
        gateway_respond_json(w->x, 200, doc);
        yyjson_mut_doc_free(doc);
    }
    free(w);
}

static void on_adapters_set(void *user, struct http_exchange *x, const char *rest) {
    const struct models_routes *r = user;
    const struct backend_model *model = NULL;
    struct load_wish wish = {0};
    struct err e = {0};
    char name[MODEL_NAME_SIZE] = "";
    (void)rest;
    routes_query_value(http_request(x)->query, "model", name, sizeof(name));
    err_code code = find_adapted(r, name, &model, &e);
    if (code == ERR_OK) code = scales_wish(x, model->lora, &wish, &e);
    if (code == ERR_OK) models_load(r->models, model->id, &wish, scales_set, wait_begin(x));
    else gateway_respond_error(x, code, &e);
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
    endpoint_set_route(ep, ENDPOINT_ROUTE_ADAPTERS_SET, on_adapters_set, r);
}
