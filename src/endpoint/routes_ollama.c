/* SPDX-License-Identifier: MIT
 * Ollama's routes that don't call a model: the list of models, one model, a version. See routes.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/parse.h"
#include "base/mem.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "model/card.h"
#include "requests/render.h"
#include "requests/requests.h"

/* Clients compare it with the version that a feature came with. */
#define OLLAMA_VERSION "0.12.6"

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, int64_t when) {
    time_t t = (time_t)when;
    struct tm tm;
    char text[40];
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    yyjson_mut_obj_add_strcpy(doc, o, key, text);
}

/* "751M", "7.2B". */
static void add_size(yyjson_mut_doc *doc, yyjson_mut_val *o, uint64_t n) {
    char text[24] = "";
    if (n >= 1000000000) snprintf(text, sizeof(text), "%.1fB", (double)n / 1e9);
    else if (n > 0) snprintf(text, sizeof(text), "%.0fM", (double)n / 1e6);
    yyjson_mut_obj_add_strcpy(doc, o, "parameter_size", text);
}

static void add_details(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct model_facts *f) {
    yyjson_mut_val *d = yyjson_mut_obj_add_obj(doc, o, "details");
    yyjson_mut_obj_add_str(doc, d, "parent_model", "");
    yyjson_mut_obj_add_str(doc, d, "format", "gguf");
    yyjson_mut_obj_add_strcpy(doc, d, "family", f->family);
    yyjson_mut_arr_add_strcpy(doc, yyjson_mut_obj_add_arr(doc, d, "families"), f->family);
    add_size(doc, d, f->n_params);
    yyjson_mut_obj_add_strcpy(doc, d, "quantization_level", f->quantization);
}

static void add_capabilities(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct backend_model *m, const struct chat_caps *caps) {
    yyjson_mut_val *can = yyjson_mut_obj_add_arr(doc, root, "capabilities");
    if (m->facts.pooling != MODEL_POOLING_NONE) { /* it writes no text, although its header may have a template or infill tokens */
        yyjson_mut_arr_add_str(doc, can, m->facts.pooling == MODEL_POOLING_RANK ? "rerank" : "embedding");
        return;
    }
    yyjson_mut_arr_add_str(doc, can, "completion");
    if (caps != NULL && caps->tools) yyjson_mut_arr_add_str(doc, can, "tools");
    if (m->chat_template != NULL && toolcall_detect_reasoning(m->chat_template) != NULL) yyjson_mut_arr_add_str(doc, can, "thinking");
    if (m->facts.fim_pre[0] != '\0') yyjson_mut_arr_add_str(doc, can, "insert");
    if (m->facts.sees) yyjson_mut_arr_add_str(doc, can, "vision");
    if (m->facts.hears) yyjson_mut_arr_add_str(doc, can, "audio");
}

/* The time at which the model will be unloaded. "Never" is a date that every client can read. */
static int64_t expires(struct gateway *g, const struct backend_model *m) {
    int64_t when = g->backend.expires != NULL ? g->backend.expires(g->backend.self, m->id) : INT64_MAX;
    return when != INT64_MAX ? when : m->created + 100LL * 365 * 86400;
}

/* Clients that asked for "x:latest" don't recognise "x". */
static void add_name(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *id) {
    char name[API_MAX_MODEL_NAME + 8];
    snprintf(name, sizeof(name), "%s%s", id, strchr(id, ':') != NULL ? "" : ":latest");
    yyjson_mut_obj_add_strcpy(doc, o, "name", name);
    yyjson_mut_obj_add_strcpy(doc, o, "model", name);
}

static yyjson_mut_val *add_model(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct backend_model *m, const char *name) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
    add_name(doc, o, name);
    yyjson_mut_obj_add_uint(doc, o, "size", m->facts.bytes);
    yyjson_mut_obj_add_strcpy(doc, o, "digest", m->facts.digest);
    add_details(doc, o, &m->facts);
    /* The capabilities of the others depend on their templates, which are not looked at here. */
    if (m->facts.pooling != MODEL_POOLING_NONE) add_capabilities(doc, o, m, NULL);
    return o;
}

/* The aliases of the routes file; of those for which only upstreams answer, nothing is known but the name. */
static void add_aliases(struct gateway *g, const struct ledger_key *key, yyjson_mut_doc *doc, yyjson_mut_val *list) {
    static const struct backend_model elsewhere;
    const struct routing_alias *a;
    for (size_t i = 0; (a = routing_table_alias(aliases_table(g->aliases), i)) != NULL; i++) {
        const struct backend_model *m = gateway_find_aliased(g, a);
        if (gateway_find_may(key, a->name, NULL) != ERR_OK || (m == NULL && !gateway_find_leaves(a))) continue;
        add_time(doc, add_model(doc, list, m != NULL ? m : &elsewhere, a->name), "modified_at", m != NULL ? m->created : 0);
    }
}

static void list_models(struct gateway *g, struct http_exchange *x, bool loaded) {
    size_t n;
    const struct backend_model *models = g->backend.models(g->backend.self, &n);
    const struct ledger_key *key = gateway_keys_made_of(&g->keys, http_request(x));
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *list = yyjson_mut_obj_add_arr(doc, root, "models");
    for (size_t i = 0; i < n; i++) {
        const struct backend_model *m = &models[i];
        bool hidden = !loaded && routing_table_find(aliases_table(g->aliases), m->id) != NULL;
        if ((loaded && !m->ready) || hidden || gateway_find_may(key, m->id, NULL) != ERR_OK) continue;
        yyjson_mut_val *o = add_model(doc, list, m, m->id);
        add_time(doc, o, loaded ? "expires_at" : "modified_at", loaded ? expires(g, m) : m->created);
        if (!loaded) continue;
        yyjson_mut_obj_add_uint(doc, o, "size_vram", 0);
        yyjson_mut_obj_add_uint(doc, o, "context_length", m->n_ctx);
    }
    if (!loaded) add_aliases(g, key, doc, list);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

void routes_ollama_tags(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    list_models(g, x, false);
}

void routes_ollama_ps(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    list_models(g, x, true);
}

void routes_ollama_version(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)g;
    (void)rest;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "version", OLLAMA_VERSION);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static err_code find_shown(struct gateway *g, struct http_exchange *x, const struct backend_model **ret, struct err *e) {
    const struct http_request *http = http_request(x);
    char name[API_MAX_MODEL_NAME + 1] = "";
    yyjson_doc *doc = NULL;
    err_code code = json_parse_body(http->body, http->body_len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc), *v = yyjson_obj_get(root, "model");
    if (v == NULL) v = yyjson_obj_get(root, "name");
    size_t len = yyjson_get_len(v);
    if (!yyjson_is_str(v) || len == 0 || len >= sizeof(name)) {
        code = api_wrong(e, "model", "the model's name");
    } else {
        snprintf(name, sizeof(name), "%.*s", (int)len, yyjson_get_str(v));
        const struct routing_alias *a = routing_table_find(aliases_table(g->aliases), name);
        *ret = a != NULL ? gateway_find_aliased(g, a) : NULL;
        code = *ret != NULL ? gateway_find_may(gateway_keys_made_of(&g->keys, http), name, e) : gateway_find_told(g, http, name, ret, e);
    }
    yyjson_doc_free(doc);
    return code;
}

/* Adds "llama.context_length" and similar fields. */
static void add_info(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct backend_model *m) {
    yyjson_mut_val *info = yyjson_mut_obj_add_obj(doc, root, "model_info");
    const struct model_facts *f = &m->facts;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"context_length", f->n_ctx_train}, {"embedding_length", f->n_embd}, {"block_count", f->n_layer}, {"vocab_size", m->n_vocab}};
    yyjson_mut_obj_add_strcpy(doc, info, "general.architecture", f->family);
    yyjson_mut_obj_add_strcpy(doc, info, "general.basename", m->id);
    yyjson_mut_obj_add_strcpy(doc, info, "general.quantization", f->quantization);
    yyjson_mut_obj_add_uint(doc, info, "general.parameter_count", f->n_params);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char key[MODEL_MAX_ARCH + 32];
        snprintf(key, sizeof(key), "%s.%s", f->family, rows[i].name);
        yyjson_mut_obj_put(info, yyjson_mut_strcpy(doc, key), yyjson_mut_uint(doc, rows[i].value));
    }
}

/* A request to show a model. It waits for the template to be looked at (render.h). */
struct shown {
    struct gateway *gateway;
    struct http_exchange *x;
    struct render_job *job;
    char model[API_MAX_MODEL_NAME + 1];
};

static void show(struct shown *s, const struct chat_caps *caps) {
    const struct backend_model *m = NULL;
    struct err e = {0};
    err_code code = gateway_find_model(s->gateway, s->model, &m, &e);
    if (code != ERR_OK) {
        gateway_respond_error(s->x, code, &e);
    } else {
        char parameters[64];
        snprintf(parameters, sizeof(parameters), "num_ctx                        %u", m->n_ctx);
        yyjson_mut_doc *doc = json_new();
        yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
        yyjson_mut_obj_add_str(doc, root, "modelfile", "");
        yyjson_mut_obj_add_strcpy(doc, root, "parameters", parameters);
        yyjson_mut_obj_add_strcpy(doc, root, "template", m->chat_template != NULL ? m->chat_template : "");
        add_details(doc, root, &m->facts);
        add_info(doc, root, m);
        add_capabilities(doc, root, m, caps);
        add_time(doc, root, "modified_at", m->created);
        gateway_respond_json(s->x, 200, doc);
        yyjson_mut_doc_free(doc);
    }
    free(s);
}

static void on_shown(void *user, err_code code, const struct render_answer *answer, const struct err *e) {
    (void)e;
    show(user, code == ERR_OK ? &answer->caps : NULL);
}

static void shown_gone(void *user) {
    struct shown *s = user;
    render_cancel(requests_render(s->gateway), s->job);
    free(s);
}

void routes_ollama_show(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct backend_model *m = NULL;
    struct err e = {0};
    (void)rest;
    err_code code = find_shown(g, x, &m, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return;
    }
    struct shown *s = MEM_NEW(struct shown);
    *s = (struct shown){.gateway = g, .x = x};
    snprintf(s->model, sizeof(s->model), "%s", m->id);
    if (m->chat_template == NULL || *m->chat_template == '\0') {
        show(s, NULL);
        return;
    }
    s->job = render_caps(requests_render(g), m->chat_template, on_shown, s);
    http_exchange_on_gone(x, shown_gone, s);
}
