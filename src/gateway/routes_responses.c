/* SPDX-License-Identifier: MIT
 * Stored responses: reading one, listing its input, deleting it. See routes.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "api/parse.h"
#include "gateway/call.h"
#include "gateway/routes.h"
#include "gateway/server_priv.h"

enum { PAGE = 20, MAX_PAGE = 100 };

struct stored {
    struct http_exchange *x;
    struct store_ask *ask;
    char *id;
};

static void stored_free(struct stored *s) {
    free(s->id);
    free(s);
}

static void stored_gone(void *user) {
    struct stored *s = user;
    store_cancel(s->ask);
    stored_free(s);
}

static void on_response(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct stored *s = user;
    if (code != ERR_OK) gateway_respond_error(s->x, code, e);
    else http_respond(s->x, 200, "application/json", text, len);
    stored_free(s);
}

static void on_dropped(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct stored *s = user;
    (void)text;
    (void)len;
    if (code != ERR_OK) {
        gateway_respond_error(s->x, code, e);
    } else {
        yyjson_mut_doc *doc = json_new();
        yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
        yyjson_mut_obj_add_strcpy(doc, root, "id", s->id);
        yyjson_mut_obj_add_str(doc, root, "object", "response");
        yyjson_mut_obj_add_bool(doc, root, "deleted", true);
        gateway_respond_json(s->x, 200, doc);
        yyjson_mut_doc_free(doc);
    }
    stored_free(s);
}

/* The value of a name in "a=1&b=2", as it stands; false: it is not there or too long. */
bool routes_query_value(const char *query, const char *name, char *out, size_t size) {
    size_t name_len = strlen(name), len;
    const char *part;
    for (const char *at = query; str_next(&at, '&', &part, &len);) {
        if (len <= name_len || strncmp(part, name, name_len) != 0 || part[name_len] != '=' || len - name_len > size) continue;
        snprintf(out, size, "%.*s", (int)(len - name_len - 1), part + name_len + 1);
        return true;
    }
    return false;
}

static err_code page_size(const char *query, size_t *ret, struct err *e) {
    char text[16];
    int64_t n = PAGE;
    if (routes_query_value(query, "limit", text, sizeof(text)) && (!str_parse_i64(text, &n) || n < 1 || n > MAX_PAGE))
        return api_wrong(e, "limit", "a number from 1 to 100");
    *ret = (size_t)n;
    return ERR_OK;
}

/* Adds one page of the items, newest first unless order=asc. */
static void add_page(yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_val *items, const char *query, size_t limit) {
    char after[128] = "", order[8] = "";
    bool ascending = routes_query_value(query, "order", order, sizeof(order)) && strcmp(order, "asc") == 0;
    bool started = !routes_query_value(query, "after", after, sizeof(after)), more = false;
    yyjson_mut_val *data = yyjson_mut_obj_add_arr(doc, root, "data");
    size_t n = yyjson_arr_size(items);
    yyjson_val *first = NULL, *last = NULL;
    for (size_t i = 0; i < n; i++) {
        yyjson_val *item = yyjson_arr_get(items, ascending ? i : n - 1 - i), *id = yyjson_obj_get(item, "id");
        if (started && yyjson_mut_arr_size(data) == limit) {
            more = true;
            break;
        }
        if (started) {
            yyjson_mut_arr_append(data, yyjson_val_mut_copy(doc, item));
            if (first == NULL) first = id;
            last = id;
        }
        if (yyjson_equals_str(id, after)) started = true;
    }
    yyjson_mut_obj_add_val(doc, root, "first_id", first != NULL ? yyjson_val_mut_copy(doc, first) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, root, "last_id", last != NULL ? yyjson_val_mut_copy(doc, last) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_bool(doc, root, "has_more", more);
}

static void on_input(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct stored *s = user;
    struct err e = *cause;
    size_t limit = PAGE;
    const char *query = http_request(s->x)->query;
    if (code == ERR_OK) code = page_size(query, &limit, &e);
    if (code != ERR_OK) {
        gateway_respond_error(s->x, code, &e);
    } else {
        yyjson_doc *items = json_read(text, len);
        yyjson_mut_doc *doc = json_new();
        yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
        yyjson_mut_obj_add_str(doc, root, "object", "list");
        add_page(doc, root, yyjson_doc_get_root(items), query, limit);
        gateway_respond_json(s->x, 200, doc);
        yyjson_mut_doc_free(doc);
        yyjson_doc_free(items);
    }
    stored_free(s);
}

static struct stored *stored_new(struct http_exchange *x, const char *id, size_t len) {
    struct stored *s = MEM_NEW(struct stored);
    s->x = x;
    s->id = mem_strndup(id, len);
    http_exchange_on_gone(x, stored_gone, s);
    return s;
}

void routes_response_get(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char items[] = "/input_items";
    char owner[GATEWAY_OWNER_SIZE];
    size_t len = strlen(rest);
    gateway_keys_owner(&g->keys, http_request(x), owner);
    if (len > sizeof(items) - 1 && strcmp(rest + len - (sizeof(items) - 1), items) == 0) {
        struct stored *s = stored_new(x, rest, len - (sizeof(items) - 1));
        s->ask = store_response_input(g->store, owner, s->id, on_input, s);
    } else {
        struct stored *s = stored_new(x, rest, len);
        s->ask = store_response_get(g->store, owner, s->id, on_response, s);
    }
}

void routes_response_drop(struct gateway *g, struct http_exchange *x, const char *rest) {
    char owner[GATEWAY_OWNER_SIZE];
    gateway_keys_owner(&g->keys, http_request(x), owner);
    struct stored *s = stored_new(x, rest, strlen(rest));
    s->ask = store_response_drop(g->store, owner, s->id, on_dropped, s);
}

/* The response is there and complete: it can't be cancelled any more. */
static void on_complete(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct stored *s = user;
    struct err e = *cause;
    (void)text;
    (void)len;
    if (code == ERR_OK) code = err_set(&e, ERR_INVALID, "the response \"%.80s\" is complete: it cannot be cancelled", s->id);
    gateway_respond_error(s->x, code, &e);
    stored_free(s);
}

static void answer_cancelled(struct http_exchange *x, const char *id) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_strcpy(doc, root, "id", id);
    yyjson_mut_obj_add_str(doc, root, "object", "response");
    yyjson_mut_obj_add_str(doc, root, "status", "cancelled");
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

void routes_response_post(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char cancel[] = "/cancel";
    char owner[GATEWAY_OWNER_SIZE];
    size_t len = strlen(rest), n = sizeof(cancel) - 1;
    struct err e = {0};
    gateway_keys_owner(&g->keys, http_request(x), owner);
    if (len <= n || strcmp(rest + len - n, cancel) != 0) {
        gateway_respond_error(x, err_set(&e, ERR_NOT_FOUND, "there is no \"%.120s\" here", http_request(x)->path), &e);
        return;
    }
    struct stored *s = stored_new(x, rest, len - n);
    if (!call_cancel(g, owner, s->id)) {
        s->ask = store_response_get(g->store, owner, s->id, on_complete, s);
        return;
    }
    answer_cancelled(x, s->id);
    stored_free(s);
}
