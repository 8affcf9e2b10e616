/* SPDX-License-Identifier: MIT
 * The admin routes of join.h: POST /caravan/v1/nodes/remove and /allow {"name"}, /caravan/v1/key/rotate {"grace"}. Besides a key for it
 * (gateway/keys.h) they want Content-Type: application/json, which a web page of another origin cannot send without asking first. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "members/key.h"
#include "node/node_priv.h"

err_code join_admin_body(struct http_exchange *x, yyjson_doc **ret, struct err *e) {
    const struct http_request *r = http_request(x);
    const char *type = http_request_header(r, "Content-Type");
    if (!type || strncmp(type, "application/json", 16) != 0) return err_set(e, ERR_INVALID, "Content-Type must be application/json");
    err_code code = json_parse(r->body, r->body_len, ret, e);
    if (code == ERR_OK && !yyjson_is_obj(yyjson_doc_get_root(*ret))) {
        yyjson_doc_free(*ret);
        code = err_set(e, ERR_INVALID, "expected an object");
    }
    return code;
}

static void admin_done(struct http_exchange *x, const char *key, int64_t value) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_int(doc, root, key, value);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static void admin_set_out(struct node *n, struct http_exchange *x, bool out) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    err_code code = join_admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "name", &name, &e);
    if (code == ERR_OK) code = join_set_out(n, name, out, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else admin_done(x, "done", 1);
}

static void on_remove(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    admin_set_out(user, x, true);
}

static void on_allow(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    admin_set_out(user, x, false);
}

static void on_rotate(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    int64_t grace = 0;
    size_t told = 0;
    err_code code = join_admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_i64(yyjson_doc_get_root(doc), "grace", 0, KEY_MAX_GRACE_S, &grace, &e);
    if (code == ERR_OK) code = join_rotate(user, grace, &told, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else admin_done(x, "told", (int64_t)told);
}

void join_routes_add(struct node *n) {
    gateway_set_route(n->gateway, GATEWAY_ROUTE_NODES_REMOVE, on_remove, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_NODES_ALLOW, on_allow, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_KEY_ROTATE, on_rotate, n);
}
