/* SPDX-License-Identifier: MIT
 * Subcommands talking to the node that runs on this machine: where it is (node.json in the state folder, else --api), and its admin API. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "node/join.h"

enum { ADMIN_MS = 15000 };

bool cli_node_find(const struct options *o, struct cli_node *ret) {
    char *path = cli_state_path(o, "node.json"), text[512];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    if (f) fclose(f);
    free(path);
    yyjson_doc *doc = NULL;
    if (n == 0 || json_parse(text, n, &doc, NULL) != ERR_OK) return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    int64_t pid = 0, listen = 0, api = 0;
    const char *host = "", *api_host = "";
    bool found = json_need_i64(root, "pid", 1, INT32_MAX, &pid, NULL) == ERR_OK &&
                 json_need_i64(root, "listen", 1, 65535, &listen, NULL) == ERR_OK &&
                 json_need_i64(root, "api", 1, 65535, &api, NULL) == ERR_OK && json_need_str(root, "host", &host, NULL) == ERR_OK &&
                 json_need_str(root, "api_host", &api_host, NULL) == ERR_OK && kill((pid_t)pid, 0) == 0;
    if (found) {
        *ret = (struct cli_node){.listen = (uint16_t)listen, .api = (uint16_t)api};
        snprintf(ret->host, sizeof(ret->host), "%s", host);
        snprintf(ret->api_host, sizeof(ret->api_host), "%s", api_host);
    }
    yyjson_doc_free(doc);
    return found;
}

/* The error in an answer of the admin API. */
static err_code admin_error(int status, const struct buf *body, struct err *e) {
    yyjson_doc *doc = NULL;
    const char *message = NULL;
    if (json_parse((const char *)body->data, body->len, &doc, NULL) == ERR_OK)
        json_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "error"), "message", &message, NULL);
    err_code code = status == 401   ? ERR_AUTH
                    : status == 403 ? ERR_FORBIDDEN
                    : status == 404 ? ERR_NOT_FOUND
                    : status == 503 ? ERR_UNAVAILABLE
                                    : ERR_INVALID;
    err_set(e, code, "%s", message ? message : "the node refused");
    if (status == 401) err_hint(e, "give one of the node's API keys with --api-key");
    if (status == 403) err_hint(e, "give an admin key with --api-key; the user who runs the node needs none on its machine");
    yyjson_doc_free(doc);
    return code;
}

err_code cli_admin_post(const struct options *o, const char *path, const char *body, yyjson_doc **ret_doc, struct err *e) {
    return cli_admin_ask(o, "POST", path, body, ret_doc, e);
}

/* An address at which a program of this machine reaches what listens at host. */
static const char *reachable(const char *host) {
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ? "127.0.0.1" : host; /* "::" is IPv4 too */
}

static bool same_host(const char *a, const char *b) {
    return strcmp(a, b) == 0 || (strcmp(a, "localhost") == 0 && strcmp(b, "127.0.0.1") == 0);
}

/* The first word of --api-key: the configuration file of a node may have "KEY admin" there. */
static bool given_key(const struct options *o, char ret[CLI_KEY_MAX]) {
    char *const *keys;
    if (option_texts(o, OPT_API_KEY, &keys) == 0) return false;
    snprintf(ret, CLI_KEY_MAX, "%.*s", (int)strcspn(keys[0], " \t"), keys[0]);
    return true;
}

static void own_key(const struct options *o, char ret[CLI_KEY_MAX]) {
    char *path = cli_state_path(o, JOIN_OWN_KEY);
    if (file_read_secret(path, "admin key", ret, CLI_KEY_MAX, NULL) != ERR_OK) ret[0] = '\0';
    free(path);
}

err_code cli_api_find(const struct options *o, struct cli_api *ret, struct err *e) {
    struct io_addr a;
    struct cli_node n;
    struct cli_api found = {0};
    err_code code = cli_addr(option_text(o, OPT_API), "127.0.0.1", 8080, &a, e);
    if (code != ERR_OK) return code;
    bool here = cli_node_find(o, &n);
    if (here && !option_is_set(o, OPT_API)) {
        a.port = n.api;
        snprintf(a.host, sizeof(a.host), "%s", reachable(n.api_host));
    }
    here = here && a.port == n.api && same_host(a.host, reachable(n.api_host)); /* its key is for no other */
    if (!given_key(o, found.key) && here) own_key(o, found.key);
    snprintf(found.url, sizeof(found.url), strchr(a.host, ':') ? "http://[%s]:%u" : "http://%s:%u", a.host, a.port);
    *ret = found;
    return ERR_OK;
}

err_code cli_api_open(const struct options *o, struct cli_api *ret, struct http_client **ret_client, struct err *e) {
    err_code code = cli_api_find(o, ret, e);
    return code == ERR_OK ? http_client_create(ret->url, ret->key[0] ? ret->key : NULL, ret_client, e) : code;
}

err_code cli_admin_ask(const struct options *o, const char *method, const char *path, const char *body, yyjson_doc **ret_doc,
                       struct err *e) {
    struct http_client *c = NULL;
    struct cli_api api;
    int status = 0;
    err_code code = cli_api_open(o, &api, &c, e);
    struct buf answer;
    buf_init(&answer, 16 << 20);
    struct http_client_request r = {
        .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0, .timeout_ms = ADMIN_MS};
    if (code == ERR_OK) code = http_client_send(c, &r, &status, &answer, e);
    if (code == ERR_NETWORK) {
        code = err_set(e, ERR_UNAVAILABLE, "no node answers at %s", api.url);
        err_hint(e, "start it first (caravan up), or say where its API is with --api");
    }
    if (code == ERR_OK && status != 200) code = admin_error(status, &answer, e);
    if (code == ERR_OK && ret_doc) code = json_parse((const char *)answer.data, answer.len, ret_doc, e);
    buf_done(&answer);
    http_client_free(c);
    return code;
}

void cli_stage_progress(yyjson_val *stage, struct buf *b) {
    char done[STR_SHORT], all[STR_SHORT], rate[STR_SHORT], left[STR_SHORT];
    uint64_t to_fetch = yyjson_get_uint(yyjson_obj_get(stage, "to_fetch")), fetched = yyjson_get_uint(yyjson_obj_get(stage, "fetched"));
    yyjson_val *seconds = yyjson_obj_get(stage, "seconds_left");
    buf_printf(b, " %llu %%", (unsigned long long)yyjson_get_uint(yyjson_obj_get(stage, "progress")));
    if (to_fetch == 0 || fetched >= to_fetch) return;
    buf_printf(b, " (%s of %s", str_size(fetched, done), str_size(to_fetch, all));
    if (seconds)
        buf_printf(b, ", %s/s, %s left", str_size(yyjson_get_uint(yyjson_obj_get(stage, "fetch_rate")), rate),
                   str_duration(yyjson_get_uint(seconds) * 1000000, left));
    buf_append_str(b, ")");
}
