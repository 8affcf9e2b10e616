/* SPDX-License-Identifier: MIT
 * Makes, lists and removes keys, and shows what was used. See routes.h. */
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "endpoint/routes.h"
#include "gateway/admin.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "store/ledger.h"

/* An exchange that waits for the store. */
struct waiting {
    struct gateway *g;
    struct http_exchange *x;
    struct store_ask *ask;
    struct ledger_key key;             /* that is made or removed */
    char secret[LEDGER_SECRET_SIZE];
};

static void waiting_free(struct waiting *w) {
    ledger_key_done(&w->key);
    free(w);
}

static struct waiting *waiting_new(struct gateway *g, struct http_exchange *x) {
    struct waiting *w = MEM_NEW(struct waiting);
    *w = (struct waiting){.g = g, .x = x};
    return w;
}

static void on_gone(void *user) { ((struct waiting *)user)->x = NULL; } /* what was asked of the store is carried out */

static void respond(struct waiting *w, yyjson_mut_doc *doc) {
    if (w->x != NULL) gateway_respond_json(w->x, 200, doc);
    yyjson_mut_doc_free(doc);
    waiting_free(w);
}

static void respond_error(struct waiting *w, err_code code, const struct err *e) {
    if (w->x != NULL) gateway_respond_error(w->x, code, e);
    waiting_free(w);
}

/* ---- keys ---- */

static const char *const used_fields[LEDGER_QUOTAS] = {
#define QUOTA(id, field, option, unit, window, words) #field,
#include "../../tables/quotas.def"
#undef QUOTA
};

static yyjson_mut_val *key_object(struct gateway *g, yyjson_mut_doc *doc, const struct ledger_key *key) {
    int64_t now = clock_wall_s();
    yyjson_mut_val *o = ledger_key_json(doc, key), *used = yyjson_mut_obj_add_obj(doc, o, "used");
    for (enum ledger_quota q = 0; q < LEDGER_QUOTAS; q++) {
        int64_t amount = account_used(g->accounting.book, now, key->id, q);
        if (q == LEDGER_MONEY_MONTH) yyjson_mut_obj_add_real(doc, used, used_fields[q], (double)amount / 1e6);
        else yyjson_mut_obj_add_int(doc, used, used_fields[q], amount);
    }
    yyjson_mut_obj_add_bool(doc, o, "expired", ledger_key_expired(key, now));
    return o;
}

void routes_keys_list(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *list = yyjson_mut_obj_add_arr(doc, root, "keys");
    for (size_t i = 0; i < g->keys.n_made; i++) yyjson_mut_arr_append(list, key_object(g, doc, &g->keys.made[i]));
    yyjson_mut_obj_add_bool(doc, root, "needed", g->keys.needed);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

static const struct ledger_key *find_key(const struct gateway_keys *k, const char *id_or_name) {
    for (size_t i = 0; i < k->n_made; i++)
        if (strcmp(k->made[i].id, id_or_name) == 0 || strcmp(k->made[i].name, id_or_name) == 0) return &k->made[i];
    return NULL;
}

static void on_made(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct waiting *w = user;
    (void)text;
    (void)len;
    if (code != ERR_OK) {
        respond_error(w, code, e);
        return;
    }
    struct ledger_key kept;
    ledger_key_copy(&w->key, &kept);
    gateway_keys_add(&w->g->keys, &kept);
    log_info("gateway", "the key \"%s\" (%s...) was made", w->key.name, w->key.start);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *o = key_object(w->g, doc, &w->key);
    yyjson_mut_obj_add_strcpy(doc, o, "secret", w->secret);
    yyjson_mut_doc_set_root(doc, o);
    respond(w, doc);
}

static void keep_key(struct waiting *w) {
    char hash[2 * IO_SHA256_SIZE + 1];
    struct buf text;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    str_hex(w->key.hash, IO_SHA256_SIZE, hash);
    yyjson_mut_doc_set_root(doc, ledger_key_json(doc, &w->key));
    buf_init(&text, SIZE_MAX - 1);
    json_write(&text, doc);
    w->ask = store_key_put(w->g->store, w->key.id, hash, buf_cstr(&text), on_made, w);
    http_exchange_on_gone(w->x, on_gone, w);
    buf_done(&text);
    yyjson_mut_doc_free(doc);
}

void routes_keys_make(struct gateway *g, struct http_exchange *x, const char *rest) {
    enum { MAX_KEYS = 10000 };
    (void)rest;
    yyjson_doc *body = NULL;
    struct err e = {0};
    struct waiting *w = waiting_new(g, x);
    err_code code = admin_body(x, &body, &e);
    if (code == ERR_OK) code = ledger_key_make(yyjson_doc_get_root(body), clock_wall_s(), w->secret, &w->key, &e);
    if (code == ERR_OK && find_key(&g->keys, w->key.name) != NULL)
        code = err_set_field(&e, ERR_INVALID, "name", "there is a key \"%s\" already", w->key.name);
    if (code == ERR_OK && g->keys.n_made >= MAX_KEYS) code = err_set(&e, ERR_LIMIT, "there are %d keys already", MAX_KEYS);
    yyjson_doc_free(body);
    if (code == ERR_OK) keep_key(w);
    else respond_error(w, code, &e);
}

static void on_dropped(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct waiting *w = user;
    (void)text;
    (void)len;
    if (code != ERR_OK) {
        respond_error(w, code, e);
        return;
    }
    log_info("gateway", "the key \"%s\" (%s...) was removed", w->key.name, w->key.start);
    gateway_keys_remove(&w->g->keys, w->key.id);
    account_forget(w->g->accounting.book, w->key.id);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_obj_add_strcpy(doc, yyjson_mut_doc_get_root(doc), "removed", w->key.id);
    respond(w, doc);
}

void routes_keys_drop(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct ledger_key *key = find_key(&g->keys, rest);
    if (key == NULL) {
        struct err e = {0};
        err_set(&e, ERR_NOT_FOUND, "there is no key \"%.80s\" here", rest);
        err_hint(&e, "`caravan keys list` shows them; keys of --api-key and --api-key-file are removed there");
        gateway_respond_error(x, e.code, &e);
        return;
    }
    struct waiting *w = waiting_new(g, x);
    ledger_key_copy(key, &w->key);
    w->ask = store_key_drop(g->store, w->key.id, on_dropped, w);
    http_exchange_on_gone(x, on_gone, w);
}

/* ---- usage ---- */

static const char *name_of(const struct gateway_keys *k, const char *id) {
    for (size_t i = 0; i < k->n_made; i++)
        if (strcmp(k->made[i].id, id) == 0) return k->made[i].name;
    return "";
}

static void add_usage_row(const struct gateway_keys *keys, yyjson_mut_doc *doc, yyjson_mut_val *list, yyjson_val *row) {
    char day[CALENDAR_TEXT];
    yyjson_mut_val *o = yyjson_val_mut_copy(doc, row);
    calendar_day_text(yyjson_get_sint(yyjson_obj_get(row, "day")), day);
    yyjson_mut_obj_put(o, yyjson_mut_str(doc, "day"), yyjson_mut_strcpy(doc, day));
    yyjson_mut_obj_put(o, yyjson_mut_str(doc, "money"), yyjson_mut_real(doc, yyjson_get_num(yyjson_obj_get(row, "money")) / 1e6));
    const char *key = yyjson_get_str(yyjson_obj_get(row, "key")), *gone = yyjson_get_str(yyjson_obj_get(row, "removed"));
    yyjson_mut_obj_add_strcpy(doc, o, "name", gone != NULL ? gone : name_of(keys, key != NULL ? key : ""));
    yyjson_mut_obj_put(o, yyjson_mut_str(doc, "removed"), yyjson_mut_bool(doc, gone != NULL));
    yyjson_mut_arr_append(list, o);
}

static void on_usage(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct waiting *w = user;
    if (code != ERR_OK) {
        respond_error(w, code, e);
        return;
    }
    yyjson_doc *rows = json_read(text, len);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, yyjson_mut_doc_get_root(doc), "usage");
    yyjson_val *row;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(rows)), i, max, row) add_usage_row(&w->g->keys, doc, list, row);
    yyjson_doc_free(rows);
    respond(w, doc);
}

static err_code day_of(const char *query, const char *name, int64_t *ret, struct err *e) {
    char text[32];
    if (!routes_query_value(query, name, text, sizeof(text))) return ERR_OK;
    if (calendar_day_parse(text, ret)) return ERR_OK;
    return err_set_field(e, ERR_INVALID, name, "\"%.40s\" is no day; write it as 2026-11-29", text);
}

void routes_usage(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    struct err e = {0};
    int64_t last = calendar_day(clock_wall_s()), first = last - 29;
    err_code code = day_of(http_request(x)->query, "to", &last, &e);
    if (code == ERR_OK) code = day_of(http_request(x)->query, "from", &first, &e);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return;
    }
    gateway_accounting_flush(g); /* the store does its work in order: this answer has all that has ended */
    struct waiting *w = waiting_new(g, x);
    w->ask = store_usage_list(g->store, first, last, on_usage, w);
    http_exchange_on_gone(x, on_gone, w);
}
