/* SPDX-License-Identifier: MIT
 * See accounting.h. */
#include "gateway/accounting.h"

#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "gateway/gateway.h"
#include "store/ledger.h"

enum { FLUSH_MS = 2000 };

/* ---- loading ---- */

struct loading {
    struct gateway *g;
    err_code code;
    struct err err;
};

static err_code load_key(struct gateway *g, yyjson_val *row, struct err *e) {
    uint8_t hash[IO_SHA256_SIZE];
    struct ledger_key key;
    const char *text = yyjson_get_str(yyjson_obj_get(row, "hash"));
    if (text == NULL || !str_unhex(text, hash, sizeof(hash))) return err_set(e, ERR_FORMAT, "the state file: the hash of a key is damaged");
    err_code code = ledger_key_read(yyjson_obj_get(row, "key"), hash, &key, e);
    if (code != ERR_OK) {
        err_prefix(e, "the state file: a key");
        return code;
    }
    gateway_keys_add(&g->keys, &key);
    return ERR_OK;
}

static void on_keys(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct loading *l = user;
    l->code = code;
    l->err = *e;
    yyjson_doc *doc = code == ERR_OK ? json_read(text, len) : NULL;
    yyjson_val *row;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(doc)), i, max, row) if (l->code == ERR_OK) l->code = load_key(l->g, row, &l->err);
    yyjson_doc_free(doc);
}

static int64_t number(yyjson_val *row, const char *name) { return yyjson_get_sint(yyjson_obj_get(row, name)); }

static void on_sums(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct loading *l = user;
    struct gateway *g = l->g;
    if (code != ERR_OK) log_warn("gateway", "what keys have used today is not known: %s", e->text);
    yyjson_doc *doc = code == ERR_OK ? json_read(text, len) : NULL;
    yyjson_val *row;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(doc)), i, max, row) {
        const char *key = yyjson_get_str(yyjson_obj_get(row, "key"));
        struct account_amount day = {number(row, "day_requests"), number(row, "day_tokens"), number(row, "day_money")},
                              month = {number(row, "requests"), number(row, "tokens"), number(row, "money")};
        if (key != NULL) account_restore(g->accounting.book, clock_wall_s(), key, &day, &month);
    }
    yyjson_doc_free(doc);
}

static void on_flush(void *user) { gateway_accounting_flush(user); }

err_code gateway_accounting_open(struct gateway *g, struct err *e) {
    struct loading l = {.g = g};
    int64_t now = clock_wall_s();
    g->accounting.book = account_book_open();
    g->accounting.timer = io_timer_open(g->loop, on_flush, g);
    store_keys(g->store, on_keys, &l);
    store_usage_sums(g->store, calendar_day(calendar_month_begin(now)), calendar_day(now), on_sums, &l);
    store_finish(g->store);
    if (l.code != ERR_OK && e != NULL) *e = l.err;
    return l.code;
}

/* ---- counting ---- */

void gateway_accounting_flush(struct gateway *g) {
    struct usage_row r;
    g->accounting.armed = false;
    while (usage_take(&g->accounting.usage, &r)) {
        store_usage_add(g->store, &(struct store_usage){.day = r.day,
                                                        .key = r.key,
                                                        .model = r.model,
                                                        .requests = r.requests,
                                                        .failed = r.failed,
                                                        .prompt_tokens = r.prompt_tokens,
                                                        .cached_tokens = r.cached_tokens,
                                                        .completion_tokens = r.completion_tokens,
                                                        .money = r.money,
                                                        .quota_requests = r.quota_requests,
                                                        .quota_tokens = r.quota_tokens});
    }
}

void gateway_accounting_count(struct gateway *g, const struct usage_row *row) {
    struct err e = {0};
    if (usage_add(&g->accounting.usage, row, &e) != ERR_OK) log_warn("gateway", "%s", e.text);
    if (g->accounting.armed) return;
    io_timer_start(g->accounting.timer, FLUSH_MS, 0);
    g->accounting.armed = true;
}

void gateway_accounting_close(struct gateway *g) {
    if (g->store != NULL) gateway_accounting_flush(g);
    io_timer_close(g->accounting.timer);
    usage_done(&g->accounting.usage);
    account_book_close(g->accounting.book);
}
