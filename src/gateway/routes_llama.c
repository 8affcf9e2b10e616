/* SPDX-License-Identifier: MIT
 * What llama-server tells of itself: GET /props and GET /slots; and the answer of GET / that its clients and Ollama's take for a sign of
 * life. See routes.h. */
#include <stdio.h>
#include <string.h>

#include "gateway/routes.h"
#include "gateway/server_priv.h"

void routes_root(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char text[] = "Caravan is running\n";
    (void)g;
    (void)rest;
    http_respond(x, 200, "text/plain; charset=utf-8", text, sizeof(text) - 1);
}

/* The model that "?model=NAME" names, or the only one; NULL: the error has been answered. */
static const struct backend_model *asked_model(struct gateway *g, struct http_exchange *x) {
    const struct backend_model *model = NULL;
    char name[API_MAX_MODEL_NAME + 1] = "";
    struct err e = {0};
    routes_query_value(http_request(x)->query, "model", name, sizeof(name));
    err_code code = gateway_find_model(g, name, &model, &e);
    if (code == ERR_OK) return model;
    gateway_respond_error(x, code, &e);
    return NULL;
}

static void add_str(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, const char *text) {
    yyjson_mut_obj_add_strcpy(doc, o, key, text != NULL ? text : "");
}

void routes_props(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = asked_model(g, x);
    (void)rest;
    if (m == NULL) return;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *defaults = yyjson_mut_obj_add_obj(doc, root, "default_generation_settings");
    yyjson_mut_obj_add_uint(doc, defaults, "n_ctx", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, root, "total_slots", g->n_calls + 1);
    add_str(doc, root, "model_alias", m->id);
    add_str(doc, root, "model_path", m->id);
    yyjson_mut_val *modalities = yyjson_mut_obj_add_obj(doc, root, "modalities");
    yyjson_mut_obj_add_bool(doc, modalities, "vision", false);
    yyjson_mut_obj_add_bool(doc, modalities, "audio", false);
    add_str(doc, root, "chat_template", m->chat_template);
    add_str(doc, root, "bos_token", m->bos);
    add_str(doc, root, "eos_token", m->eos);
    add_str(doc, root, "build_info", g->fingerprint);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* Requests have no places of their own here: a busy one for each that runs on this node, and one that is free. */
void routes_slots(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = asked_model(g, x);
    (void)rest;
    if (m == NULL) return;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    for (size_t i = 0; i <= g->n_calls; i++) {
        yyjson_mut_val *slot = yyjson_mut_arr_add_obj(doc, root);
        yyjson_mut_obj_add_uint(doc, slot, "id", i);
        yyjson_mut_obj_add_uint(doc, slot, "n_ctx", m->n_ctx);
        yyjson_mut_obj_add_bool(doc, slot, "is_processing", i < g->n_calls);
    }
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}
