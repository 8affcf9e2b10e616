/* SPDX-License-Identifier: MIT
 * The files of a key: made, listed, one, its content, deleted. See routes.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "batch/batches.h"
#include "endpoint/asking.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"

enum { PAGE = 10000 };

/* NULL: it has been answered: no files are kept here. */
static struct asking *files_asked(struct gateway *g, struct http_exchange *x, const char *id, size_t len) {
    struct err e = {0};
    err_code code = uploads_has_room(g->uploads, 0, &e);
    if (code != ERR_UNSUPPORTED) return asking_create(g, x, id, len);
    gateway_respond_error(x, code, &e);
    return NULL;
}

/* ---- make ---- */

bool routes_file_make_begin(struct gateway *g, struct http_exchange *x) {
    char owner[GATEWAY_OWNER_SIZE];
    gateway_keys_owner(&g->keys, http_request(x), owner);
    return uploads_begin(g->uploads, x, owner);
}

void routes_file_make(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    uploads_end(g->uploads, x);
}

/* ---- list ---- */

static void add_ends(yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_val *rows, size_t shown) {
    yyjson_mut_obj_add_str(doc, root, "object", "list");
    if (shown > 0) {
        yyjson_mut_obj_add_val(doc, root, "first_id", yyjson_val_mut_copy(doc, yyjson_obj_get(yyjson_arr_get(rows, 0), "id")));
        yyjson_mut_obj_add_val(doc, root, "last_id", yyjson_val_mut_copy(doc, yyjson_obj_get(yyjson_arr_get(rows, shown - 1), "id")));
    }
    yyjson_mut_obj_add_bool(doc, root, "has_more", yyjson_arr_size(rows) > shown);
}

void routes_respond_page(struct http_exchange *x, const char *text, size_t len, size_t limit, routes_row_fn object, void *user) {
    yyjson_doc *kept = json_read(text, len);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *data = yyjson_mut_obj_add_arr(doc, root, "data");
    yyjson_val *row, *rows = json_some(yyjson_doc_get_root(kept));
    size_t i, n, shown = yyjson_arr_size(rows) > limit ? limit : yyjson_arr_size(rows);
    yyjson_arr_foreach(rows, i, n, row) if (i < shown) yyjson_mut_arr_append(data, object(user, doc, row));
    add_ends(doc, root, rows, shown);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(kept);
}

static yyjson_mut_val *file_object(void *user, yyjson_mut_doc *doc, yyjson_val *row) {
    (void)user;
    return batch_file_object(doc, row);
}

static void on_list(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct asking *a = user;
    if (asking_failed(a, code, e)) return;
    routes_respond_page(a->x, text, len, (size_t)a->limit, file_object, NULL);
    asking_free(a);
}

void routes_file_list(struct gateway *g, struct http_exchange *x, const char *rest) {
    const char *query = http_request(x)->query;
    char purpose[32] = "", after[BATCH_ID_SIZE] = "", order[8] = "";
    struct err e = {0};
    (void)rest;
    struct asking *a = files_asked(g, x, "", 0);
    if (a == NULL) return;
    a->limit = PAGE;
    err_code code = routes_query_limit(query, PAGE, &a->limit, &e);
    if (code != ERR_OK) {
        asking_refuse(a, code, &e);
        return;
    }
    routes_query_value(query, "purpose", purpose, sizeof(purpose));
    routes_query_value(query, "after", after, sizeof(after));
    routes_query_value(query, "order", order, sizeof(order));
    const struct store_file_range range = {purpose, after, strcmp(order, "asc") == 0, a->limit + 1};
    a->ask = store_file_list(g->store, a->owner, &range, clock_wall_s(), on_list, a);
}

/* ---- one file ---- */

static void on_file(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct asking *a = user;
    if (asking_failed(a, code, e)) return;
    yyjson_doc *kept = json_read(text, len);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, batch_file_object(doc, yyjson_doc_get_root(kept)));
    asking_give_doc(a, doc);
    yyjson_doc_free(kept);
}

static void on_content(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct asking *a = user;
    if (asking_failed(a, code, e)) return;
    yyjson_doc *kept = json_read(text, len);
    uploads_send(a->g->uploads, a->x, yyjson_doc_get_root(kept));
    yyjson_doc_free(kept);
    asking_free(a);
}

void routes_file_get(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char content[] = "/content";
    size_t len = strlen(rest), n = sizeof(content) - 1;
    bool whole = len > n && strcmp(rest + len - n, content) == 0;
    struct asking *a = files_asked(g, x, rest, whole ? len - n : len);
    if (a == NULL) return;
    a->ask = store_file_get(g->store, a->owner, a->id, clock_wall_s(), whole ? on_content : on_file, a);
}

/* ---- delete ---- */

static void on_dropped(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    (void)text;
    (void)len;
    if (!asking_failed(user, code, e)) asking_give_deleted(user, "file");
}

static void on_to_drop(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct asking *a = user;
    struct err in_use = {0};
    (void)text;
    (void)len;
    if (code == ERR_OK && batches_use(a->g->batches, a->id)) {
        err_set(&in_use, ERR_INVALID, "a batch that runs needs the file \"%.80s\": cancel it first", a->id);
        asking_refuse(a, ERR_INVALID, &in_use);
    } else if (code != ERR_OK) {
        asking_refuse(a, code, e);
    } else {
        a->ask = uploads_drop(a->g->uploads, a->owner, a->id, on_dropped, a);
    }
}

void routes_file_drop(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct asking *a = files_asked(g, x, rest, strlen(rest));
    if (a != NULL) a->ask = store_file_get(g->store, a->owner, a->id, clock_wall_s(), on_to_drop, a);
}
