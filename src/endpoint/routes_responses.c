/* SPDX-License-Identifier: MIT
 * Stored responses: reading one, listing its input, deleting it. See routes.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "endpoint/asking.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "requests/call.h"

enum { PAGE = 20, MAX_PAGE = 100 };

static void on_response(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    if (!asking_failed(user, code, e)) asking_give(user, text, len);
}

static void on_dropped(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    (void)text;
    (void)len;
    if (!asking_failed(user, code, e)) asking_give_deleted(user, "response");
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

err_code routes_query_limit(const char *query, int64_t most, int64_t *ret, struct err *e) {
    char text[16];
    int64_t n = *ret;
    if (routes_query_value(query, "limit", text, sizeof(text)) && (!str_parse_i64(text, &n) || n < 1 || n > most))
        return err_set_field(e, ERR_INVALID, "limit", "expected a number from 1 to %lld", (long long)most);
    *ret = n;
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
    struct asking *a = user;
    struct err e = *cause;
    int64_t limit = PAGE;
    const char *query = http_request(a->x)->query;
    if (code == ERR_OK) code = routes_query_limit(query, MAX_PAGE, &limit, &e);
    if (asking_failed(a, code, &e)) return;
    yyjson_doc *items = json_read(text, len);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "object", "list");
    add_page(doc, root, yyjson_doc_get_root(items), query, (size_t)limit);
    asking_give_doc(a, doc);
    yyjson_doc_free(items);
}

void routes_response_get(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char items[] = "/input_items";
    size_t len = strlen(rest), n = sizeof(items) - 1;
    bool input = len > n && strcmp(rest + len - n, items) == 0;
    struct asking *a = asking_create(g, x, rest, input ? len - n : len);
    a->ask = input ? store_response_input(g->store, a->owner, a->id, on_input, a)
                   : store_response_get(g->store, a->owner, a->id, on_response, a);
}

void routes_response_drop(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct asking *a = asking_create(g, x, rest, strlen(rest));
    a->ask = store_response_drop(g->store, a->owner, a->id, on_dropped, a);
}

/* The response is there and complete: it can't be cancelled any more. */
static void on_complete(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct asking *a = user;
    struct err e = *cause;
    (void)text;
    (void)len;
    if (code == ERR_OK) code = err_set(&e, ERR_INVALID, "the response \"%.80s\" is complete: it cannot be cancelled", a->id);
    asking_refuse(a, code, &e);
}

static void give_cancelled(struct asking *a) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "id", a->id);
    yyjson_mut_obj_add_str(doc, root, "object", "response");
    yyjson_mut_obj_add_str(doc, root, "status", "cancelled");
    asking_give_doc(a, doc);
}

void routes_response_post(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char cancel[] = "/cancel";
    size_t len = strlen(rest), n = sizeof(cancel) - 1;
    struct err e = {0};
    if (len <= n || strcmp(rest + len - n, cancel) != 0) {
        gateway_respond_error(x, err_set(&e, ERR_NOT_FOUND, "there is no \"%.120s\" here", http_request(x)->path), &e);
        return;
    }
    struct asking *a = asking_create(g, x, rest, len - n);
    if (call_cancel(g, a->owner, a->id)) give_cancelled(a);
    else a->ask = store_response_get(g->store, a->owner, a->id, on_complete, a);
}
