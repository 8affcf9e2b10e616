/* SPDX-License-Identifier: MIT
 * How subcommands find the node that runs on this machine (node.json in the state folder, else --api), and ask its admin API. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "peers/join.h"
#include "terminal/stop.h"
#include "terminal/table.h"

enum { ADMIN_MS = 15000, WATCH_MS = 1000 };

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

/* Does a Caravan node answer there? Its status is JSON, and so is its refusal to show it. */
static bool is_caravan(const struct cli_api *api) {
    struct http_client *c = NULL;
    struct http_client_request r = {.method = "GET", .path = "/caravan/v1/status", .timeout_ms = ADMIN_MS};
    struct buf body;
    yyjson_doc *doc = NULL;
    int status = 0;
    buf_init(&body, 16 << 20);
    bool is = http_client_create(api->url, api->key[0] ? api->key : NULL, &c, NULL) == ERR_OK &&
              http_client_send(c, &r, &status, &body, NULL) == ERR_OK &&
              json_parse((const char *)body.data, body.len, &doc, NULL) == ERR_OK;
    yyjson_val *root = yyjson_doc_get_root(doc);
    is = is &&
         (status == 200 ? yyjson_is_arr(yyjson_obj_get(root, "nodes")) : (status == 401 || status == 403) && yyjson_obj_get(root, "error"));
    yyjson_doc_free(doc);
    buf_done(&body);
    http_client_free(c);
    return is;
}

static err_code code_of_status(int status) {
    switch (status) {
    case 401: return ERR_AUTH;
    case 403: return ERR_FORBIDDEN;
    case 404: return ERR_NOT_FOUND;
    case 429: return ERR_BUSY;
    default: return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

err_code cli_api_check(const struct cli_api *api, int status, yyjson_val *root, struct err *e) {
    if (status == 200 && root) return ERR_OK;
    const char *message = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "error"), "message"));
    err_code code = code_of_status(status);
    if ((!message || status == 404) && !is_caravan(api)) {
        err_set(e, ERR_PROTOCOL, "what answers at %s is no Caravan node (HTTP status %d)", api->url, status);
        err_hint(e, "another program has this port; --api HOST:PORT says where the node's API is");
        return ERR_PROTOCOL;
    }
    err_set(e, code, "%s", message ? message : "the node refused");
    if (code == ERR_AUTH)
        err_hint(e,
                 api->key[0] ? "the node at %s does not accept this key; --api-key KEY gives another one"
                             : "the node at %s wants an API key: --api-key KEY, or CARAVAN_API_KEY",
                 api->url);
    if (code == ERR_UNAVAILABLE) err_hint(e, "`caravan models` says how the models stand, `caravan doctor` how the machines do");
    if (code == ERR_FORBIDDEN) err_hint(e, "give an admin key with --api-key; the user who runs the node needs none on its machine");
    return code;
}

err_code cli_api_silent(const struct cli_api *api, struct err *e) {
    err_set(e, ERR_UNAVAILABLE, "no node answers at %s", api->url);
    err_hint(e, "start it first (caravan up), or say where its API is with --api");
    return ERR_UNAVAILABLE;
}

/* The node's answer to a request, or that nobody gave one. */
static err_code api_answer(const struct cli_api *api, err_code code, int status, const struct buf *body, yyjson_doc **ret_doc,
                           struct err *e) {
    yyjson_doc *doc = NULL;
    if (code == ERR_NETWORK) return cli_api_silent(api, e);
    if (code == ERR_OK || code == ERR_PROTOCOL) {
        if (code == ERR_OK) json_parse((const char *)body->data, body->len, &doc, NULL);
        code = cli_api_check(api, status, yyjson_doc_get_root(doc), e);
    }
    if (code == ERR_OK && ret_doc) *ret_doc = doc;
    else yyjson_doc_free(doc);
    return code;
}

void cli_put_url(const char *text, struct buf *out) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:";
    for (const char *p = text; *p; p++)
        if (strchr(plain, *p)) buf_append(out, p, 1);
        else buf_printf(out, "%%%02X", (unsigned char)*p);
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

bool cli_api_named(const struct options *o) { return o->values[OPT_API].source >= OPTION_FROM_ENVIRONMENT; }

err_code cli_api_find(const struct options *o, struct cli_api *ret, struct err *e) {
    struct io_addr a;
    struct cli_node n;
    struct cli_api found = {0};
    err_code code = cli_addr(option_text(o, OPT_API), "127.0.0.1", 8080, &a, e);
    if (code != ERR_OK) return code;
    bool here = cli_node_find(o, &n), named = !here || option_is_set(o, OPT_API);
    const char *host = reachable(named ? a.host : n.api_host);
    uint16_t port = named ? a.port : n.api;
    here = here && port == n.api && same_host(host, reachable(n.api_host)); /* its key is sent to no other program */
    if (!given_key(o, found.key) && here) own_key(o, found.key);
    snprintf(found.url, sizeof(found.url), strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host, port);
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
    stop_cancels(c);
    if (code == ERR_OK) {
        code = http_client_send(c, &r, &status, &answer, e);
        code = api_answer(&api, code, status, &answer, ret_doc, e);
    }
    stop_cancels(NULL);
    buf_done(&answer);
    http_client_free(c);
    return code;
}

/* ---- showing ---- */

static err_code show_once(const struct options *o, const char *path, cli_put_fn put, struct err *e) {
    yyjson_doc *doc = NULL;
    struct buf out;
    buf_init(&out, 16 << 20);
    err_code code = cli_admin_ask(o, "GET", path, NULL, &doc, e);
    if (code == ERR_OK && option_flag(o, OPT_JSON)) {
        cli_shows_json(o, yyjson_doc_get_root(doc));
    } else if (code == ERR_OK) {
        if (option_flag(o, OPT_WATCH) && table_width() > 0) buf_append_str(&out, "\033[H\033[2J"); /* clear the screen */
        put(yyjson_doc_get_root(doc), clock_wall_s(), table_width(), &out);
    }
    if (code == ERR_OK) code = cli_print(&out, e);
    yyjson_doc_free(doc);
    buf_done(&out);
    return code;
}

err_code cli_show(const struct options *o, const char *path, cli_put_fn put, struct err *e) {
    stop_open();
    err_code code = show_once(o, path, put, e);
    while (code == ERR_OK && option_flag(o, OPT_WATCH) && stop_wait(WATCH_MS)) code = show_once(o, path, put, e);
    return code;
}
