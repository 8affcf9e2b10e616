/* SPDX-License-Identifier: MIT
 * The admin routes of models: GET /caravan/v1/models (what is where), POST /caravan/v1/models/load {"model", ...} and /unload {"model"},
 * DELETE /caravan/v1/models/NAME. A load is answered once it has begun; its progress is in the list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "node/calls.h"
#include "node/models.h"
#include "node/status.h"
#include "node/node_priv.h"

/* ---- the list ---- */

struct listing {
    struct node *n;
    const struct record **records; /* all nodes, this one first */
    size_t n_records;
    yyjson_mut_doc *doc;
};

static void list_stage(struct listing *l, yyjson_mut_val *stages, const struct record *r, const struct record_stage *s) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(l->doc, stages);
    yyjson_mut_obj_add_strcpy(l->doc, o, "node", r->name);
    yyjson_mut_obj_add_uint(l->doc, o, "stage", s->stage);
    yyjson_mut_obj_add_uint(l->doc, o, "first_layer", s->first);
    yyjson_mut_obj_add_uint(l->doc, o, "last_layer", s->end - 1);
    status_progress(l->doc, o, s);
    yyjson_mut_obj_add_uint(l->doc, o, "bytes", s->bytes);
}

static void list_instance(struct listing *l, yyjson_mut_val *instances, const struct record *by, const struct record_model *m) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(l->doc, instances), *stages = yyjson_mut_obj_add_arr(l->doc, o, "stages");
    uint64_t done = 0, all = 0;
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_stages; k++) {
            const struct record_stage *s = &l->records[i]->stages[k];
            if (strcmp(s->instance, m->instance) != 0) continue;
            list_stage(l, stages, l->records[i], s);
            done += s->phase == STAGE_LOADING ? s->progress : 100;
            all += 100;
        }
    yyjson_mut_obj_add_strcpy(l->doc, o, "instance", m->instance);
    yyjson_mut_obj_add_uint(l->doc, o, "replica", m->replica);
    yyjson_mut_obj_add_strcpy(l->doc, o, "coordinator", by->name);
    yyjson_mut_obj_add_str(l->doc, o, "state", m->ready ? "ready" : m->failed ? "failed" : m->n_stage ? "loading" : "waiting");
    if (all < 100ULL * m->n_stage) all = 100ULL * m->n_stage; /* stages that their holders have not spoken of yet */
    yyjson_mut_obj_add_uint(l->doc, o, "progress", m->ready ? 100 : all ? 100 * done / all : 0);
    yyjson_mut_obj_add_uint(l->doc, o, "n_stage", m->n_stage);
    yyjson_mut_obj_add_int(l->doc, o, "since", m->created);
    yyjson_mut_obj_add_uint(l->doc, o, "requests", calls_load(l->n, m->instance));
    yyjson_mut_obj_add_uint(l->doc, o, "context", m->n_ctx);
    yyjson_mut_obj_add_strcpy(l->doc, o, "message", m->message);
}

static const struct model_card *list_card(const struct listing *l, const char *name) {
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++)
            if (strcmp(l->records[i]->cards[k].name, name) == 0) return &l->records[i]->cards[k];
    return NULL;
}

static void list_model(struct listing *l, yyjson_mut_val *models, const char *name) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(l->doc, models), *nodes, *instances;
    const struct model_card *card = list_card(l, name);
    bool ready = false, failed = false, loading = false;
    yyjson_mut_obj_add_strcpy(l->doc, o, "name", name);
    if (card) {
        yyjson_mut_obj_add_strcpy(l->doc, o, "id", card->id);
        yyjson_mut_obj_add_uint(l->doc, o, "bytes", card->bytes);
        yyjson_mut_obj_add_strcpy(l->doc, o, "quantisation", card->quant);
        yyjson_mut_obj_add_strcpy(l->doc, o, "architecture", card->arch);
        yyjson_mut_obj_add_uint(l->doc, o, "layers", card->n_layer);
        yyjson_mut_obj_add_uint(l->doc, o, "parameters", card->params);
        yyjson_mut_obj_add_uint(l->doc, o, "context_trained", card->n_ctx);
    }
    nodes = yyjson_mut_obj_add_arr(l->doc, o, "files");
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++)
            if (strcmp(l->records[i]->cards[k].name, name) == 0) yyjson_mut_arr_add_strcpy(l->doc, nodes, l->records[i]->name);
    instances = yyjson_mut_obj_add_arr(l->doc, o, "instances");
    for (size_t i = 0; i < l->n_records; i++)
        for (uint32_t k = 0; k < l->records[i]->n_models; k++) {
            const struct record_model *m = &l->records[i]->models[k];
            if (strcmp(m->name, name) != 0) continue;
            list_instance(l, instances, l->records[i], m);
            ready |= m->ready;
            failed |= m->failed;
            loading |= !m->ready && !m->failed;
        }
    yyjson_mut_obj_add_str(l->doc, o, "state", ready ? "ready" : loading ? "loading" : failed ? "failed" : "not loaded");
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Every name that a file or an instance has anywhere, each once, in order. The caller frees the array. */
static const char **list_names(const struct listing *l, size_t *ret_n) {
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < l->n_records; i++) n += l->records[i]->n_cards + l->records[i]->n_models;
    const char **names = mem_calloc(n, sizeof(*names));
    n = 0;
    for (size_t i = 0; i < l->n_records; i++) {
        for (uint32_t k = 0; k < l->records[i]->n_cards; k++) names[n++] = l->records[i]->cards[k].name;
        for (uint32_t k = 0; k < l->records[i]->n_models; k++) names[n++] = l->records[i]->models[k].name;
    }
    if (n > 1) qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) names[kept++] = names[i];
    *ret_n = kept;
    return names;
}

/* What of this node's models folder cannot be used, and why. */
static void list_bad(struct listing *l, yyjson_mut_val *root) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(l->doc, root, "unusable");
    const struct catalog_bad *bad;
    for (size_t i = 0; (bad = catalog_get_bad(l->n->catalog, i)) != NULL; i++) {
        if (!bad->settled) continue; /* it may be being written */
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(l->doc, list);
        yyjson_mut_obj_add_strcpy(l->doc, o, "file", bad->path);
        yyjson_mut_obj_add_strcpy(l->doc, o, "message", bad->why);
    }
    yyjson_mut_obj_add_uint(l->doc, root, "left_out", catalog_left_out(l->n->catalog));
}

static void on_list(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    struct node *n = user;
    struct record own = {0};
    struct listing l = {.n = n, .records = mem_calloc(n->n_records + 1, sizeof(*l.records)), .doc = yyjson_mut_doc_new(NULL)};
    node_own_record(n, &own);
    l.records[l.n_records++] = &own;
    for (size_t i = 0; i < n->n_records; i++) l.records[l.n_records++] = n->records[i];
    yyjson_mut_val *root = yyjson_mut_obj(l.doc), *models = yyjson_mut_obj_add_arr(l.doc, root, "models");
    yyjson_mut_doc_set_root(l.doc, root);
    size_t count;
    const char **names = list_names(&l, &count);
    for (size_t i = 0; i < count; i++) list_model(&l, models, names[i]);
    list_bad(&l, root);
    gateway_respond_json(x, 200, l.doc);
    yyjson_mut_doc_free(l.doc);
    record_done(&own);
    free(l.records);
    free(names);
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
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *root = yyjson_mut_obj(doc);
        yyjson_mut_doc_set_root(doc, root);
        yyjson_mut_obj_add_bool(doc, root, "done", true);
        yyjson_mut_obj_add_strcpy(doc, root, "model", model);
        gateway_respond_json(w->x, 200, doc);
        yyjson_mut_doc_free(doc);
    }
    free(w);
}

static void on_change(struct node *n, struct http_exchange *x, bool load) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    struct load_wish wish = {0};
    wish_set(&wish, WISH_KEPT, true);
    err_code code = join_admin_body(x, &doc, &e);
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
        if (load) models_load(n, name, &wish, exchange_done, w);
        else models_unload(n, name, exchange_done, w);
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
    struct waiting_exchange *w = MEM_NEW(struct waiting_exchange);
    w->x = x;
    http_exchange_on_gone(x, exchange_gone, w);
    models_remove_here(user, name, exchange_done, w);
}

void models_routes_add(struct node *n) {
    gateway_set_route(n->gateway, GATEWAY_ROUTE_MODELS, on_list, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_MODELS_LOAD, on_load, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_MODELS_UNLOAD, on_unload, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_MODELS_DELETE, on_delete, n);
}
