/* SPDX-License-Identifier: MIT
 * The table of cached answers. See cache.h. */
#include "store/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_priv.h"

/* TOUCH_S: how often the last use of an answer is written: a write costs more than a read. ROW: what a row takes besides its data. */
enum { TOUCH_S = 60, ROW = 256 };

static const char subject[] = "a cached answer";

struct cache_ask {
    struct store_ask ask;
    uint8_t key[STORE_CACHE_KEY];
    int64_t now, expires;
    void *data;
    size_t len;
};

static struct cache_ask *of(struct store_ask *a) { return (struct cache_ask *)(void *)a; }

static void cache_free(struct store_ask *a) {
    free(of(a)->data);
    store_ask_free(a);
}

/* ---- the store's thread ---- */

static void bind_key(sqlite3_stmt *q, const struct cache_ask *a) { sqlite3_bind_blob(q, 1, a->key, sizeof(a->key), SQLITE_STATIC); }

static err_code touch(struct store *s, int64_t id, int64_t now, struct err *e) {
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_TOUCH);
    sqlite3_bind_int64(q, 1, id);
    sqlite3_bind_int64(q, 2, now);
    return store_query_end(s, q, sqlite3_step(q), subject, e);
}

static err_code get_run(struct store *s, struct store_ask *ask) {
    struct cache_ask *a = of(ask);
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_GET);
    int64_t id = 0, used = 0;
    bind_key(q, a);
    sqlite3_bind_int64(q, 2, a->now);
    int rc = sqlite3_step(q);
    bool found = rc == SQLITE_ROW;
    if (found) {
        id = sqlite3_column_int64(q, 0);
        buf_append(&ask->text, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
        used = sqlite3_column_int64(q, 2);
    }
    err_code code = store_query_end(s, q, rc, subject, &ask->err);
    if (code == ERR_OK && !found) return err_set(&ask->err, ERR_NOT_FOUND, "there is no such answer");
    return code == ERR_OK && used + TOUCH_S <= a->now ? touch(s, id, a->now, &ask->err) : code;
}

/* Runs a statement that removes rows and gives their sizes. *ret_any: it removed some. */
static err_code remove_rows(struct store *s, sqlite3_stmt *q, bool *ret_any, struct err *e) {
    int rc;
    *ret_any = false;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        s->cache_used -= (uint64_t)sqlite3_column_int64(q, 0);
        *ret_any = true;
    }
    return store_query_end(s, q, rc, subject, e);
}

static err_code insert(struct store *s, const struct cache_ask *a, struct err *e) {
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_PUT);
    bind_key(q, a);
    sqlite3_bind_int64(q, 2, a->now);
    sqlite3_bind_int64(q, 3, a->expires);
    sqlite3_bind_int64(q, 4, (int64_t)a->len + ROW);
    sqlite3_bind_blob64(q, 5, a->data, a->len, SQLITE_STATIC);
    err_code code = store_query_end(s, q, sqlite3_step(q), subject, e);
    if (code == ERR_OK) s->cache_used += a->len + ROW;
    return code;
}

static err_code put_run(struct store *s, struct store_ask *ask) {
    struct cache_ask *a = of(ask);
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_DROP);
    bool any;
    bind_key(q, a);
    err_code code = remove_rows(s, q, &any, &ask->err);
    if (code == ERR_OK && a->len + ROW <= s->cache_size) code = insert(s, a, &ask->err);
    for (any = true; code == ERR_OK && any && s->cache_used > s->cache_size;)
        code = remove_rows(s, store_query(s, QUERY_CACHE_EVICT), &any, &ask->err);
    return code;
}

err_code store_cache_sweep(struct store *s, int64_t now, struct err *e) {
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_SWEEP);
    bool any;
    sqlite3_bind_int64(q, 1, now);
    return remove_rows(s, q, &any, e);
}

err_code store_cache_begin(struct store *s, struct err *e) {
    sqlite3_stmt *q = store_query(s, QUERY_CACHE_SIZE);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) s->cache_used = (uint64_t)sqlite3_column_int64(q, 0);
    return store_query_end(s, q, rc, subject, e);
}

/* ---- asks ---- */

static struct cache_ask *ask_new(const struct store_verb *verb, const uint8_t *key, int64_t now, store_fn fn, void *user) {
    struct cache_ask *a = MEM_NEW(struct cache_ask);
    store_ask_init(&a->ask, verb, fn, user);
    memcpy(a->key, key, sizeof(a->key));
    a->now = now;
    return a;
}

struct store_ask *store_cache_get(struct store *s, const uint8_t key[STORE_CACHE_KEY], int64_t now, store_fn fn, void *user) {
    static const struct store_verb verb = {.run = get_run, .free = cache_free};
    return store_ask_post(s, &ask_new(&verb, key, now, fn, user)->ask);
}

void store_cache_put(struct store *s, const uint8_t key[STORE_CACHE_KEY], const void *data, size_t len, int64_t now, int64_t expires) {
    static const struct store_verb verb = {.run = put_run, .free = cache_free, .silent = true};
    pthread_mutex_lock(&s->lock);
    bool full = s->bytes_waiting + len > STORE_CACHE_MAX_WAITING;
    pthread_mutex_unlock(&s->lock);
    if (full) return;
    struct cache_ask *a = ask_new(&verb, key, now, NULL, NULL);
    a->expires = expires;
    a->data = mem_alloc(len > 0 ? len : 1);
    memcpy(a->data, data, len);
    a->len = a->ask.bytes = len;
    store_ask_post(s, &a->ask);
}
