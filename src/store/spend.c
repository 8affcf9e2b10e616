/* SPDX-License-Identifier: MIT
 * The table of what upstreams have cost. See spend.h. */
#include "store/spend.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/store_priv.h"

static const char subject[] = "what upstreams cost";

struct spend_ask {
    struct store_ask ask;
    char *upstream; /* owned */
    int64_t day, more;
};

static struct spend_ask *of(struct store_ask *a) { return (struct spend_ask *)(void *)a; }

static void spend_free(struct store_ask *a) {
    free(of(a)->upstream);
    store_ask_free(a);
}

/* ---- the store's thread ---- */

static err_code add_run(struct store *s, struct store_ask *ask) {
    sqlite3_stmt *q = store_query(s, QUERY_SPEND_ADD);
    sqlite3_bind_text(q, 1, of(ask)->upstream, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, of(ask)->day);
    sqlite3_bind_int64(q, 3, of(ask)->more);
    return store_query_end(s, q, sqlite3_step(q), subject, &ask->err);
}

static err_code read_run(struct store *s, struct store_ask *ask) {
    sqlite3_stmt *q = store_query(s, QUERY_SPEND_READ);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *rows = yyjson_mut_arr(doc);
    int rc;
    yyjson_mut_doc_set_root(doc, rows);
    sqlite3_bind_int64(q, 1, of(ask)->day);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        yyjson_mut_val *row = yyjson_mut_arr_add_arr(doc, rows);
        yyjson_mut_arr_add_strcpy(doc, row, (const char *)sqlite3_column_text(q, 0));
        yyjson_mut_arr_add_int(doc, row, sqlite3_column_int64(q, 1));
        yyjson_mut_arr_add_int(doc, row, sqlite3_column_int64(q, 2));
    }
    json_write(&ask->text, doc);
    yyjson_mut_doc_free(doc);
    return store_query_end(s, q, rc, subject, &ask->err);
}

/* ---- asks ---- */

static struct spend_ask *ask_new(const struct store_verb *verb, int64_t day, store_fn fn, void *user) {
    struct spend_ask *a = MEM_NEW(struct spend_ask);
    store_ask_init(&a->ask, verb, fn, user);
    a->day = day;
    return a;
}

void store_spend_add(struct store *s, const char *upstream, int64_t day, int64_t more) {
    static const struct store_verb verb = {.run = add_run, .free = spend_free, .silent = true};
    struct spend_ask *a = ask_new(&verb, day, NULL, NULL);
    a->upstream = mem_strdup(upstream);
    a->more = more;
    store_ask_post(s, &a->ask);
}

struct store_ask *store_spend_read(struct store *s, int64_t since, store_fn fn, void *user) {
    static const struct store_verb verb = {.run = read_run, .free = spend_free};
    return store_ask_post(s, &ask_new(&verb, since, fn, user)->ask);
}
