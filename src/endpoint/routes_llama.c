/* SPDX-License-Identifier: MIT
 * What llama-server tells of itself: GET /props, GET /slots and GET /lora-adapters. See routes.h. */
#include <stdio.h>
#include <string.h>

#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "model/adapter.h"
#include "requests/requests.h"

/* The model that "?model=NAME" names, or the only one; NULL: the error has been answered. */
static const struct backend_model *asked_model(struct gateway *g, struct http_exchange *x) {
    const struct backend_model *model = NULL;
    char name[API_MAX_MODEL_NAME + 1] = "";
    struct err e = {0};
    routes_query_value(http_request(x)->query, "model", name, sizeof(name));
    err_code code = gateway_find_told(g, http_request(x), name, &model, &e);
    if (code == ERR_OK) return model;
    gateway_respond_error(x, code, &e);
    return NULL;
}

static void add_str(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, const char *text) {
    yyjson_mut_obj_add_strcpy(doc, o, key, text != NULL ? text : "");
}

static uint32_t slots_of(const struct backend_model *m) { return m->n_parallel > 0 ? m->n_parallel : 1; }

void routes_props(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = asked_model(g, x);
    (void)rest;
    if (m == NULL) return;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *defaults = yyjson_mut_obj_add_obj(doc, root, "default_generation_settings");
    yyjson_mut_obj_add_uint(doc, defaults, "n_ctx", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, root, "total_slots", slots_of(m));
    add_str(doc, root, "model_alias", m->id);
    add_str(doc, root, "model_path", m->id);
    yyjson_mut_val *modalities = yyjson_mut_obj_add_obj(doc, root, "modalities");
    yyjson_mut_obj_add_bool(doc, modalities, "vision", m->facts.sees);
    yyjson_mut_obj_add_bool(doc, modalities, "audio", m->facts.hears);
    add_str(doc, root, "chat_template", m->chat_template);
    add_str(doc, root, "bos_token", m->bos);
    add_str(doc, root, "eos_token", m->eos);
    add_str(doc, root, "build_info", g->fingerprint);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* Of the path clients see the file's name. */
void routes_lora_adapters(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = asked_model(g, x);
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    uint32_t n = 0;
    (void)rest;
    if (m == NULL) return;
    if (m->lora != NULL) model_adapters_parse(m->lora, list, &n, NULL);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    for (uint32_t i = 0; i < n; i++) {
        const char *slash = strrchr(list[i].path, '/');
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, root);
        yyjson_mut_obj_add_uint(doc, o, "id", i);
        add_str(doc, o, "path", slash != NULL ? slash + 1 : list[i].path);
        yyjson_mut_obj_add_real(doc, o, "scale", list[i].scale);
    }
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* Requests have no places of their own here: as many slots as a copy of the model has, busy ones for the calls of this node. */
void routes_slots(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = asked_model(g, x);
    (void)rest;
    if (m == NULL) return;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    uint32_t n = slots_of(m);
    size_t busy = requests_computed(g, m->id);
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *slot = yyjson_mut_arr_add_obj(doc, root);
        yyjson_mut_obj_add_uint(doc, slot, "id", i);
        yyjson_mut_obj_add_uint(doc, slot, "n_ctx", m->n_ctx);
        yyjson_mut_obj_add_bool(doc, slot, "is_processing", i < busy);
    }
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}
