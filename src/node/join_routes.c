/* SPDX-License-Identifier: MIT
 * The admin routes of join.h: POST /caravan/v1/nodes/remove {"name", "grace"}, /allow and /forget {"name"}, /caravan/v1/key/rotate
 * {"grace"}. Besides a key for it (gateway/keys.h) they want Content-Type: application/json, which a web page of another origin cannot send
 * without asking first. */
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

/* What the node "name" in the body is to be: done by one of these. */
typedef err_code (*named_fn)(struct node *n, const char *name, yyjson_val *body, int64_t *ret, struct err *e);

static void admin_named(struct node *n, struct http_exchange *x, named_fn fn, const char *key) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    int64_t value = 1;
    err_code code = join_admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "name", &name, &e);
    if (code == ERR_OK) code = fn(n, name, yyjson_doc_get_root(doc), &value, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else admin_done(x, key, value);
}

static err_code do_remove(struct node *n, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    int64_t grace = 0;
    size_t told = 0;
    err_code code = json_need_i64(body, "grace", 0, KEY_MAX_GRACE_S, &grace, e);
    if (code == ERR_OK) code = join_remove(n, name, grace, &told, e);
    *ret = (int64_t)told;
    return code;
}

static err_code do_allow(struct node *n, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    (void)body, (void)ret;
    return join_allow(n, name, e);
}

static err_code do_forget(struct node *n, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    (void)body, (void)ret;
    return join_forget(n, name, e);
}

static void on_remove(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    admin_named(user, x, do_remove, "told");
}

static void on_allow(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    admin_named(user, x, do_allow, "done");
}

static void on_forget(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    admin_named(user, x, do_forget, "done");
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
    gateway_set_route(n->gateway, GATEWAY_ROUTE_NODES_FORGET, on_forget, n);
    gateway_set_route(n->gateway, GATEWAY_ROUTE_KEY_ROTATE, on_rotate, n);
}
