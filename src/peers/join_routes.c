/* SPDX-License-Identifier: MIT
 * The admin routes of join.h. */
#include "peers/join.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/admin.h"
#include "gateway/answer.h"
#include "members/key.h"

static void admin_done(struct http_exchange *x, const char *key, int64_t value) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_int(doc, root, key, value);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

/* Does something with the node that "name" in the body names. */
typedef err_code (*named_fn)(struct join *j, const char *name, yyjson_val *body, int64_t *ret, struct err *e);

static void admin_named(struct join *j, struct http_exchange *x, named_fn fn, const char *key) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    const char *name = NULL;
    int64_t value = 1;
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "name", &name, &e);
    if (code == ERR_OK) code = fn(j, name, yyjson_doc_get_root(doc), &value, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else admin_done(x, key, value);
}

static err_code do_remove(struct join *j, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    int64_t grace = 0;
    size_t told = 0;
    err_code code = json_need_i64(body, "grace", 0, KEY_MAX_GRACE_S, &grace, e);
    if (code == ERR_OK) code = join_remove(j, name, grace, &told, e);
    *ret = (int64_t)told;
    return code;
}

static err_code do_allow(struct join *j, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    (void)body, (void)ret;
    return known_set_out(join_known(j), name, false, e);
}

static err_code do_forget(struct join *j, const char *name, yyjson_val *body, int64_t *ret, struct err *e) {
    (void)body, (void)ret;
    return known_forget(join_known(j), name, e);
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
    err_code code = admin_body(x, &doc, &e);
    if (code == ERR_OK) code = json_need_i64(yyjson_doc_get_root(doc), "grace", 0, KEY_MAX_GRACE_S, &grace, &e);
    if (code == ERR_OK) code = cluster_key_rotate(join_key(user), grace, &told, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) gateway_respond_error(x, code, &e);
    else admin_done(x, "told", (int64_t)told);
}

static void on_invite(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    struct err e = {0};
    char code[INVITE_TEXT_SIZE];
    if (join_invite(user, code, &e) != ERR_OK) {
        gateway_respond_error(x, e.code, &e);
        return;
    }
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "code", code);
    http_response_header(x, "Cache-Control", "no-store");
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

void join_routes_add(struct join *j, struct endpoint *ep) {
    endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_REMOVE, on_remove, j);
    endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_ALLOW, on_allow, j);
    endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_FORGET, on_forget, j);
    endpoint_set_route(ep, ENDPOINT_ROUTE_KEY_ROTATE, on_rotate, j);
    endpoint_set_route(ep, ENDPOINT_ROUTE_INVITE, on_invite, j);
}
