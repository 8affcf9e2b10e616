/* SPDX-License-Identifier: MIT
 * The routes file by HTTP: GET shows it with the state of its targets, PUT replaces it (?version=: this version of it
 * alone). See routes.h and aliases.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "gateway/upstreams.h"

static const char *state_of(struct gateway *g, const struct routing_target *t) {
    const struct backend_model *model = NULL;
    if (t->upstream != NULL) return "upstream";
    if (gateway_find_model(g, t->model, &model, NULL) != ERR_OK) return "absent";
    return model->ready ? "ready" : model->loadable ? "not loaded" : "failed";
}

static void add_alias(struct gateway *g, yyjson_mut_doc *doc, yyjson_mut_val *list, const struct routing_alias *a) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
    yyjson_mut_obj_add_strcpy(doc, o, "name", a->name);
    yyjson_mut_val *targets = yyjson_mut_obj_add_arr(doc, o, "targets");
    for (size_t i = 0; i < a->n_targets; i++) {
        const struct routing_target *t = &a->targets[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, targets);
        yyjson_mut_obj_add_strcpy(doc, v, "model", t->model);
        if (t->upstream != NULL) yyjson_mut_obj_add_strcpy(doc, v, "upstream", t->upstream->name);
        if (t->weight > 0) yyjson_mut_obj_add_uint(doc, v, "weight", t->weight);
        yyjson_mut_obj_add_str(doc, v, "state", state_of(g, t));
    }
}

void routes_aliases_get(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct routing_table *table = aliases_table(g->aliases);
    const struct routing_alias *a;
    (void)rest;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_strcpy(doc, root, "file", aliases_path(g->aliases));
    yyjson_mut_obj_add_strcpy(doc, root, "fault", aliases_fault(g->aliases));
    yyjson_mut_obj_add_strcpy(doc, root, "version", aliases_version(g->aliases));
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "aliases");
    for (size_t i = 0; (a = routing_table_alias(table, i)) != NULL; i++) add_alias(g, doc, list, a);
    upstreams_status(g, true, doc, root);
    yyjson_mut_obj_add_val(doc, root, "routes", table != NULL ? yyjson_val_mut_copy(doc, routing_table_root(table)) : yyjson_mut_obj(doc));
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* An exchange that waits until its routes have been written. */
struct waiting {
    struct gateway *gateway;
    struct http_exchange *x; /* NULL: its client has gone */
};

static void on_gone(void *user) { ((struct waiting *)user)->x = NULL; }

static void on_written(void *user, err_code code, const struct err *e) {
    struct waiting *w = user;
    if (w->x != NULL && code != ERR_OK) gateway_respond_error(w->x, code, e);
    else if (w->x != NULL) routes_aliases_get(w->gateway, w->x, "");
    free(w);
}

void routes_aliases_put(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct http_request *r = http_request(x);
    const char *type = http_request_header(r, "content-type");
    struct waiting *w = MEM_NEW(struct waiting);
    struct err e = {0};
    char old[ALIASES_VERSION_SIZE] = "";
    (void)rest;
    routes_query_value(r->query, "version", old, sizeof(old));
    *w = (struct waiting){.gateway = g, .x = x};
    err_code code = type != NULL && strncmp(type, "application/json", 16) == 0
                        ? aliases_write(g->aliases, old, r->body, r->body_len, on_written, w, &e)
                        : err_set(&e, ERR_INVALID, "Content-Type must be application/json");
    if (code == ERR_OK) {
        http_exchange_on_gone(x, on_gone, w);
        return;
    }
    gateway_respond_error(x, code, &e);
    free(w);
}
