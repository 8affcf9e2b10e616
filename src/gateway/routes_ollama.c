/* SPDX-License-Identifier: MIT
 * Ollama's routes that need no model: which there are, what they are, and a version number. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/chat.h"
#include "gateway/server_priv.h"

/* What clients compare: the features up to it are here. */
#define OLLAMA_VERSION "0.12.6"

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, int64_t when) {
    time_t t = (time_t)when;
    struct tm tm;
    char text[40];
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    yyjson_mut_obj_add_strcpy(doc, o, key, text);
}

static void add_details(yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_val *d = yyjson_mut_obj_add_obj(doc, o, "details");
    yyjson_mut_obj_add_str(doc, d, "parent_model", "");
    yyjson_mut_obj_add_str(doc, d, "format", "gguf");
    yyjson_mut_obj_add_str(doc, d, "family", "");
    yyjson_mut_obj_add_arr(doc, d, "families");
    yyjson_mut_obj_add_str(doc, d, "parameter_size", "");
    yyjson_mut_obj_add_str(doc, d, "quantization_level", "");
}

/* A name that stays the same as long as the model does: FNV-1a of what is known of it, in the form of a digest. */
static void add_digest(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct backend_model *m) {
    uint64_t h = 0xCBF29CE484222325u;
    char text[65];
    for (const char *p = m->id; *p != '\0'; p++) h = (h ^ (uint8_t)*p) * 0x100000001B3u;
    for (int i = 0; i < 4; i++) {
        snprintf(text + 16 * i, 17, "%016llx", (unsigned long long)h);
        h = (h ^ m->n_vocab ^ (uint64_t)i) * 0x100000001B3u;
    }
    yyjson_mut_obj_add_strcpy(doc, o, "digest", text);
}

static void list_models(struct gateway *g, struct io_http_exchange *x, bool loaded) {
    size_t n;
    const struct backend_model *models = g->backend.models(g->backend.self, &n);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *list = yyjson_mut_obj_add_arr(doc, root, "models");
    yyjson_mut_doc_set_root(doc, root);
    for (size_t i = 0; i < n; i++) {
        if (loaded && !models[i].ready) continue;
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, o, "name", models[i].id);
        yyjson_mut_obj_add_strcpy(doc, o, "model", models[i].id);
        yyjson_mut_obj_add_uint(doc, o, "size", 0);
        add_digest(doc, o, &models[i]);
        add_details(doc, o);
        add_time(doc, o, loaded ? "expires_at" : "modified_at", loaded ? models[i].created + 100LL * 365 * 86400 : models[i].created);
        if (!loaded) continue;
        yyjson_mut_obj_add_uint(doc, o, "size_vram", 0);
        yyjson_mut_obj_add_uint(doc, o, "context_length", models[i].n_ctx);
    }
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

void handle_ollama_tags(struct gateway *g, struct io_http_exchange *x, const char *rest) {
    (void)rest;
    list_models(g, x, false);
}

void handle_ollama_ps(struct gateway *g, struct io_http_exchange *x, const char *rest) {
    (void)rest;
    list_models(g, x, true);
}

void handle_ollama_version(struct gateway *g, struct io_http_exchange *x, const char *rest) {
    (void)g;
    (void)rest;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "version", OLLAMA_VERSION);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static err_code find_shown(struct gateway *g, struct io_http_exchange *x, const struct backend_model **ret, struct err *e) {
    const struct io_http_request *http = io_http_request(x);
    char name[GATEWAY_MAX_MODEL_NAME + 1] = "";
    yyjson_doc *doc = NULL;
    err_code rc = json_parse(http->body, http->body_len, &doc, e);
    if (rc != ERR_OK) return e->code = ERR_FORMAT;
    yyjson_val *root = yyjson_doc_get_root(doc), *v = yyjson_obj_get(root, "model");
    if (v == NULL) v = yyjson_obj_get(root, "name");
    size_t len = yyjson_get_len(v);
    if (!yyjson_is_str(v) || len == 0 || len >= sizeof name) {
        rc = gateway_wrong(e, "model", "the model's name");
    } else {
        if (len > 7 && strcmp(yyjson_get_str(v) + len - 7, ":latest") == 0) len -= 7;
        snprintf(name, sizeof name, "%.*s", (int)len, yyjson_get_str(v));
        rc = gateway_find_model(g, name, ret, e);
    }
    yyjson_doc_free(doc);
    return rc;
}

void handle_ollama_show(struct gateway *g, struct io_http_exchange *x, const char *rest) {
    const struct backend_model *m = NULL;
    struct err e = {0};
    (void)rest;
    err_code rc = find_shown(g, x, &m, &e);
    if (rc != ERR_OK) {
        gateway_respond_error(x, rc, &e);
        return;
    }
    struct engine_chat_caps caps = {0};
    const char *template = m->chat_template != NULL ? m->chat_template : "";
    bool known = *template != '\0' && engine_chat_caps(g->chat, template, &caps, &e) == ERR_OK;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "modelfile", "");
    yyjson_mut_obj_add_str(doc, root, "parameters", "");
    yyjson_mut_obj_add_strcpy(doc, root, "template", template);
    add_details(doc, root);
    yyjson_mut_val *info = yyjson_mut_obj_add_obj(doc, root, "model_info");
    yyjson_mut_obj_add_strcpy(doc, info, "general.basename", m->id);
    yyjson_mut_obj_add_uint(doc, info, "general.context_length", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, info, "general.vocab_size", m->n_vocab);
    yyjson_mut_val *can = yyjson_mut_obj_add_arr(doc, root, "capabilities");
    yyjson_mut_arr_add_str(doc, can, "completion");
    if (known && caps.tools) yyjson_mut_arr_add_str(doc, can, "tools");
    if (toolcall_detect_reasoning(template) != NULL) yyjson_mut_arr_add_str(doc, can, "thinking");
    add_time(doc, root, "modified_at", m->created);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}
