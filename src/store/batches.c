/* SPDX-License-Identifier: MIT
 * The tables of batches and of their results. See batches.h. */
#include "store/batches.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/statement.h"

static const char subject[] = "batches";

struct store_ask *store_batch_put(struct store *s, const char *owner, const char *id, const char *json, bool live, int64_t created,
                                  store_fn fn, void *user) {
    const struct statement st = {
        .query = QUERY_BATCH_PUT, .what = subject, .texts = {id, owner, json}, .n_texts = 3, .numbers = {live, created}, .n_numbers = 2};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_batch_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    const struct statement st = {.query = QUERY_BATCH_GET, .what = subject, .missing = "batch", .texts = {id, owner}, .n_texts = 2};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_batch_list(struct store *s, const char *owner, const char *after, int64_t limit, store_fn fn, void *user) {
    const struct statement st = {
        .query = QUERY_BATCH_LIST, .what = subject, .texts = {owner, after}, .n_texts = 2, .numbers = {limit}, .n_numbers = 1};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_batches_live(struct store *s, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_BATCHES_LIVE, .what = subject}, fn, user);
}

void store_batch_sweep(struct store *s, int64_t before) {
    statement_post(s, &(struct statement){.query = QUERY_BATCH_SWEEP, .what = subject, .numbers = {before}, .n_numbers = 1}, NULL, NULL);
}

struct store_ask *store_results_put(struct store *s, const char *batch, const char *json, store_fn fn, void *user) {
    const struct statement st = {.query = QUERY_RESULTS_PUT, .what = subject, .texts = {batch, json}, .n_texts = 2};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_results_done(struct store *s, const char *batch, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_RESULTS_DONE, .what = subject, .texts = {batch}, .n_texts = 1}, fn, user);
}

/* ---- pages ---- */

struct page_ask {
    struct store_ask ask;
    char *batch; /* owned */
    bool failed;
    int64_t after;
};

static struct page_ask *of(struct store_ask *a) { return (struct page_ask *)(void *)a; }

static void page_free(struct store_ask *a) {
    free(of(a)->batch);
    store_ask_free(a);
}

static err_code page_run(struct store *s, struct store_ask *a) {
    sqlite3_stmt *q = store_query(s, QUERY_RESULTS_PAGE);
    struct buf rows;
    int64_t last = -1;
    int rc;
    buf_init(&rows, STORE_MAX_ANSWER / 2);
    sqlite3_bind_text(q, 1, of(a)->batch, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, of(a)->failed);
    sqlite3_bind_int64(q, 3, of(a)->after);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && rows.len < STORE_RESULTS_PAGE) {
        last = sqlite3_column_int64(q, 0);
        buf_append(&rows, sqlite3_column_text(q, 1), (size_t)sqlite3_column_bytes(q, 1));
        buf_append_byte(&rows, '\n');
    }
    err_code code = store_query_end(s, q, rc, subject, &a->err);
    if (code == ERR_OK && last >= 0) {
        buf_printf(&a->text, "%lld\n", (long long)last);
        buf_append(&a->text, rows.data, rows.len);
    }
    if (code == ERR_OK && (rows.failed || a->text.failed)) code = err_set(&a->err, ERR_LIMIT, "a result is too long");
    buf_done(&rows);
    return code;
}

struct store_ask *store_results_page(struct store *s, const char *batch, bool failed, int64_t after, store_fn fn, void *user) {
    static const struct store_verb verb = {.run = page_run, .free = page_free};
    struct page_ask *p = MEM_NEW(struct page_ask);
    store_ask_init(&p->ask, &verb, fn, user);
    p->batch = mem_strdup(batch);
    p->failed = failed;
    p->after = after;
    return store_ask_post(s, &p->ask);
}
