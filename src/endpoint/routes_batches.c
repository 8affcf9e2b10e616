/* SPDX-License-Identifier: MIT
 * The batches of a key: made, listed, one, cancelled. See routes.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "batch/batches.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "store/batches.h"

enum { PAGE = 20, MAX_PAGE = 100 };

/* An exchange that waits for the store. */
struct wanted {
    struct gateway *g;
    struct http_exchange *x;   /* NULL: its client has gone; what was asked of the store is carried out */
    char owner[GATEWAY_OWNER_SIZE];
    char *id;                  /* of a batch; owned */
    yyjson_doc *body;          /* of a new batch; owned */
    struct batch_order order;
    char cloud[16];
    struct batches_job *job;
    int64_t limit;
};

static void wanted_free(struct wanted *w) {
    yyjson_doc_free(w->body);
    free(w->id);
    free(w);
}

static void on_gone(void *user) { ((struct wanted *)user)->x = NULL; }

static struct wanted *wanted_new(struct gateway *g, struct http_exchange *x, const char *id, size_t len) {
    struct wanted *w = MEM_NEW(struct wanted);
    *w = (struct wanted){.g = g, .x = x, .id = mem_strndup(id, len)};
    gateway_keys_owner(&g->keys, http_request(x), w->owner);
    http_exchange_on_gone(x, on_gone, w);
    return w;
}

static void refuse(struct wanted *w, err_code code, const struct err *e) {
    if (w->x != NULL) gateway_respond_error(w->x, code, e);
    wanted_free(w);
}

static void respond_text(struct wanted *w, const char *text, size_t len) {
    if (w->x != NULL) http_respond(w->x, 200, "application/json", text, len);
    wanted_free(w);
}

static void respond_job(struct wanted *w, struct batches_job *job) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    batch_object_write(batches_object(job), &text);
    if (w->x != NULL) gateway_respond(w->x, 200, "application/json", &text);
    else buf_done(&text);
    wanted_free(w);
}

/* ---- make: the file is looked for, the batch is kept, and then it begins ---- */

static void on_kept(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct wanted *w = user;
    (void)text;
    (void)len;
    if (code != ERR_OK) {
        batches_drop(w->job);
        refuse(w, code, e);
        return;
    }
    batches_begin(w->job);
    respond_job(w, w->job);
}

static void on_input(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct wanted *w = user;
    struct err e = *cause;
    yyjson_doc *kept = code == ERR_OK ? json_read(text, len) : NULL;
    const char *batch = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(kept), "batch"));
    if (code == ERR_NOT_FOUND) code = err_set_field(&e, ERR_INVALID, "input_file_id", "there is no file \"%.80s\" here", w->order.input);
    if (code == ERR_OK && batch != NULL && batch[0] != '\0')
        code = err_set_field(&e, ERR_INVALID, "input_file_id", "\"%.80s\" has the results of a batch", w->order.input);
    yyjson_doc_free(kept);
    if (code == ERR_OK) {
        w->job = batches_make(w->g->batches, w->owner, &w->order, w->cloud[0] != '\0' ? w->cloud : NULL, &e);
        code = e.code;
    }
    if (code != ERR_OK) refuse(w, code, &e);
    else batches_keep(w->job, on_kept, w);
}

void routes_batch_make(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct http_request *r = http_request(x);
    const char *cloud = http_request_header(r, "x-caravan-cloud");
    struct wanted *w = wanted_new(g, x, "", 0);
    struct err e = {0};
    (void)rest;
    err_code code = uploads_has_room(g->uploads, 0, &e) == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_OK;
    if (code == ERR_OK) code = json_parse_body(r->body, r->body_len, &w->body, &e);
    if (code == ERR_OK) code = batch_order_read(yyjson_doc_get_root(w->body), &w->order, &e);
    if (code == ERR_OK && cloud != NULL && strcmp(cloud, "never") != 0 && strcmp(cloud, "allowed") != 0)
        code = err_set(&e, ERR_INVALID, "header x-caravan-cloud: expected \"never\" or \"allowed\", got \"%.40s\"", cloud);
    if (code != ERR_OK) {
        refuse(w, code, &e);
        return;
    }
    snprintf(w->cloud, sizeof(w->cloud), "%s", cloud != NULL ? cloud : "");
    store_file_get(g->store, w->owner, w->order.input, clock_wall_s(), on_input, w);
}

/* ---- list ---- */

/* A batch that is live is shown as it is now. */
static yyjson_mut_val *listed(void *user, yyjson_mut_doc *doc, yyjson_val *kept) {
    const struct wanted *w = user;
    struct batches_job *job = batches_find(w->g->batches, w->owner, yyjson_get_str(yyjson_obj_get(kept, "id")));
    return job == NULL ? yyjson_val_mut_copy(doc, kept) : yyjson_mut_val_mut_copy(doc, yyjson_mut_doc_get_root(batches_object(job)->doc));
}

static void on_list(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct wanted *w = user;
    if (code != ERR_OK || w->x == NULL) {
        refuse(w, code, e);
        return;
    }
    routes_respond_page(w->x, text, len, (size_t)w->limit, listed, w);
    wanted_free(w);
}

void routes_batch_list(struct gateway *g, struct http_exchange *x, const char *rest) {
    const char *query = http_request(x)->query;
    char after[BATCH_ID_SIZE] = "";
    struct wanted *w = wanted_new(g, x, "", 0);
    struct err e = {0};
    (void)rest;
    w->limit = PAGE;
    err_code code = routes_query_limit(query, MAX_PAGE, &w->limit, &e);
    if (code != ERR_OK) {
        refuse(w, code, &e);
        return;
    }
    routes_query_value(query, "after", after, sizeof(after));
    store_batch_list(g->store, w->owner, after, w->limit + 1, on_list, w);
}

/* ---- one batch ---- */

static void on_batch(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    if (code != ERR_OK) refuse(user, code, e);
    else respond_text(user, text, len);
}

void routes_batch_get(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct wanted *w = wanted_new(g, x, rest, strlen(rest));
    struct batches_job *job = batches_find(g->batches, w->owner, w->id);
    if (job != NULL) respond_job(w, job);
    else store_batch_get(g->store, w->owner, w->id, on_batch, w);
}

/* It has come to its end. */
static void on_ended(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct wanted *w = user;
    struct err e = *cause;
    yyjson_doc *kept = code == ERR_OK ? json_read(text, len) : NULL;
    const char *status = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(kept), "status"));
    if (code == ERR_OK && status != NULL && strcmp(status, batch_state_name(BATCH_CANCELLED)) == 0) {
        respond_text(w, text, len);
    } else {
        if (code == ERR_OK)
            code = err_set(&e, ERR_INVALID, "the batch \"%.80s\" is %s: it cannot be cancelled", w->id, status != NULL ? status : "over");
        refuse(w, code, &e);
    }
    yyjson_doc_free(kept);
}

void routes_batch_post(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char cancel[] = "/cancel";
    size_t len = strlen(rest), n = sizeof(cancel) - 1;
    struct err e = {0};
    if (len <= n || strcmp(rest + len - n, cancel) != 0) {
        gateway_respond_error(x, err_set(&e, ERR_NOT_FOUND, "there is no \"%.120s\" here", http_request(x)->path), &e);
        return;
    }
    struct wanted *w = wanted_new(g, x, rest, len - n);
    struct batches_job *job = batches_find(g->batches, w->owner, w->id);
    err_code code = job != NULL ? batches_cancel(job, &e) : ERR_OK;
    if (code != ERR_OK) refuse(w, code, &e);
    else if (job != NULL) respond_job(w, job);
    else store_batch_get(g->store, w->owner, w->id, on_ended, w);
}
