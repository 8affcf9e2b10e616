/* SPDX-License-Identifier: MIT
 * See plan_model.h. */
#include "show/plan_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "paper/shapes.h"
#include "pull/fetch.h"

enum { HEADER_MS = 60000, MAX_HEADERS = 1 << 28, PART_HEAD = 16 };

/* ---- a file ---- */

/* Counts what the file's header promises and the file doesn't have. */
static void count_missing(const char *path, struct sheet_source *f) {
    struct stat st;
    if (stat(path, &st) != 0) return;
    for (size_t i = 0; i < model_gguf_n_tensors(f->gguf); i++) {
        const struct model_tensor *t = model_gguf_tensor(f->gguf, i);
        uint64_t end = t->offset + t->bytes, size = (uint64_t)st.st_size;
        if (end <= size) continue;
        f->missing += end - (t->offset > size ? t->offset : size);
        f->n_missing++;
    }
}

static err_code open_file(const char *path, struct sheet_source *f, struct err *e) {
    struct err header = {0};
    err_code code = model_gguf_open(path, &f->gguf, e);
    if (code == ERR_OK || shapes_open_header(path, &f->gguf, &header) != ERR_OK) return code;
    count_missing(path, f);
    return ERR_OK;
}

static bool open_in_folder(const struct options *o, const char *name, struct sheet_source *f, err_code *ret_code, struct err *e) {
    char *dir = cli_models_dir(o), *path = folder_find(dir, name);
    if (path) *ret_code = open_file(path, f, e);
    free(dir);
    free(path);
    return path != NULL;
}

/* ---- the running node (node/model_header.h) ---- */

static uint64_t number_at(const uint8_t *p) {
    uint64_t n = 0;
    for (int i = 8; i-- > 0;) n = n << 8 | p[i];
    return n;
}

static err_code read_parts(const char *name, const struct buf *b, struct model_gguf **ret, struct err *e) {
    struct model_part parts[MODEL_MAX_PARTS];
    uint32_t n = 0;
    for (size_t at = 0; at < b->len; n++) {
        uint64_t len = b->len - at < PART_HEAD ? UINT64_MAX : number_at(b->data + at + 8);
        if (n == MODEL_MAX_PARTS || len > b->len - at - PART_HEAD)
            return err_set(e, ERR_PROTOCOL, "the node's answer is not the header of \"%s\"", name);
        parts[n] = (struct model_part){.header = b->data + at + PART_HEAD, .header_len = (size_t)len, .file_size = number_at(b->data + at)};
        at += PART_HEAD + (size_t)len;
    }
    return model_gguf_from_parts(name, parts, n, ret, e);
}

static err_code ask_node(const struct options *o, const char *name, struct model_gguf **ret, struct err *e) {
    struct http_client *c = NULL;
    struct cli_api api;
    struct buf path, body;
    yyjson_doc *doc = NULL;
    int status = 0;
    buf_init(&path, 1 << 16);
    buf_init(&body, MAX_HEADERS);
    buf_append_str(&path, "/caravan/v1/headers/");
    cli_put_url(name, &path);
    err_code code = cli_api_open(o, &api, &c, e);
    struct http_client_request r = {.method = "GET", .path = buf_cstr(&path), .timeout_ms = HEADER_MS};
    if (code == ERR_OK) code = http_client_send(c, &r, &status, &body, e);
    if (code == ERR_OK && status == 200) {
        code = read_parts(name, &body, ret, e);
    } else if (code == ERR_OK) {
        json_parse(buf_cstr(&body), body.len, &doc, NULL);
        code = cli_api_check(&api, status, yyjson_doc_get_root(doc), e);
    }
    yyjson_doc_free(doc);
    http_client_free(c);
    buf_done(&path);
    buf_done(&body);
    return code;
}

/* ---- a hub ---- */

static bool is_published(const char *name) {
    static const char *const starts[] = {"hf:", "ollama:", "http://", "https://"};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

static err_code ask_hub(const struct options *o, const char *name, struct model_gguf **ret, struct err *e) {
    static const struct fetch_events none = {0};
    struct fetch_job job = {.name = name,
                            .dir = "",
                            .hf_endpoint = option_text(o, OPT_HF_ENDPOINT),
                            .ollama_registry = option_text(o, OPT_OLLAMA_REGISTRY),
                            .events = &none};
    return fetch_header(&job, ret, e);
}

/* ---- all places ---- */

static err_code nowhere(const char *name, bool node_runs, struct err *e) {
    char hint[sizeof(e->hint)];
    if (!e) return ERR_NOT_FOUND;
    snprintf(hint, sizeof(hint), "%s", e->hint);
    err_set(e, ERR_NOT_FOUND, "there is no model \"%s\": no file, %s, and no model that plans know by name", name,
            node_runs ? "none of the cluster" : "none of the models folder");
    err_hint(e, "%s", hint);
    return ERR_NOT_FOUND;
}

err_code plan_model_find(const struct options *o, const char *name, bool node_runs, struct sheet_source *ret, struct err *e) {
    struct err why = {0};
    err_code code = ERR_NOT_FOUND, asked = ERR_NOT_FOUND;
    *ret = (struct sheet_source){0};
    if (is_published(name)) return ask_hub(o, name, &ret->gguf, e);
    if (access(name, F_OK) == 0 || strchr(name, '/')) return open_file(name, ret, e);
    if (option_is_set(o, OPT_MODELS_DIR) && open_in_folder(o, name, ret, &code, e)) return code;
    if (node_runs) asked = ask_node(o, name, &ret->gguf, &why);
    if (asked == ERR_OK) return ERR_OK;
    if (open_in_folder(o, name, ret, &code, e)) return code;
    if (asked == ERR_UNAVAILABLE) { /* the cluster's model goes before one of that name that plans know */
        if (e) *e = why;
        return asked;
    }
    code = shapes_open(name, &ret->gguf, e);
    ret->is_shape = code == ERR_OK;
    if (code != ERR_NOT_FOUND) return code;
    if (asked == ERR_NOT_FOUND) return nowhere(name, node_runs, e);
    if (e) *e = why;
    return asked;
}
