/* SPDX-License-Identifier: MIT
 * The store's file and its thread. See store.h. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_priv.h"

enum { SWEEP_S = 600 };

/* ---- the store's thread ---- */

static void sweep(struct store *s) {
    struct err e = {0};
    int64_t now = clock_wall_s();
    if (now - s->swept < SWEEP_S) return;
    s->swept = now;
    err_code code = store_response_sweep(s, now, &e);
    if (code == ERR_OK) code = store_cache_sweep(s, now, &e);
    if (code != ERR_OK) log_warn("store", "%s", e.text);
}

static void *store_main(void *user) {
    struct store *s = user;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (list_empty(&s->waiting) && !s->closing) pthread_cond_wait(&s->more, &s->lock);
        if (list_empty(&s->waiting)) break;
        struct store_ask *a = LIST_ENTRY(list_pop_front(&s->waiting), struct store_ask, link);
        s->n_waiting--;
        s->running = true;
        pthread_mutex_unlock(&s->lock);
        sweep(s);
        a->code = a->verb->run(s, a);
        pthread_mutex_lock(&s->lock);
        s->bytes_waiting -= a->bytes;
        s->running = false;
        list_push_back(&s->done, &a->link);
        pthread_cond_signal(&s->idle);
        if (!s->closing) s->wake(s->user);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the file ---- */

static err_code migrate(struct store *s, const char *path, struct err *e) {
    static const struct {
        int number;
        const char *sql;
    } steps[] = {
#define MIGRATION(number, sql) {number, sql},
#include "../../tables/migrations.def"
#undef MIGRATION
    };
    sqlite3_stmt *q = NULL;
    int have = -1;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        have = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    if (have < 0) return err_set(e, ERR_FORMAT, "\"%s\" is not a state file: %s", path, sqlite3_errmsg(s->db));
    int newest = steps[ARRAY_LEN(steps) - 1].number;
    if (have > newest)
        return err_set(e, ERR_FORMAT, "the state file \"%s\" is of a newer version (%d, this program knows %d)", path, have, newest);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (steps[i].number <= have) continue;
        char *sql = sqlite3_mprintf("BEGIN; %s PRAGMA user_version = %d; COMMIT;", steps[i].sql, steps[i].number);
        int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
        sqlite3_free(sql);
        if (rc != SQLITE_OK) return store_error(s, "bringing it to the present version", e);
    }
    return ERR_OK;
}

static const char *const queries[STORE_QUERIES] = {
#define QUERY(id, sql) [QUERY_##id] = sql,
#include "../../tables/queries.def"
#undef QUERY
};

static err_code open_file(struct store *s, const char *path, struct err *e) {
    if (path[0] != ':') { /* conversations are private: create the file first, since SQLite would make it readable for all users */
        err_code made = file_make_folders(path, e);
        int fd = made == ERR_OK ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
        if (made != ERR_OK) return made;
        if (fd < 0) return err_set_errno(e, ERR_IO, errno, "cannot open the state file \"%s\"", path);
        close(fd);
    }
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
        return err_set(e, ERR_IO, "cannot open the state file \"%s\": %s", path, sqlite3_errmsg(s->db));
    sqlite3_busy_timeout(s->db, 5000);
    sqlite3_exec(s->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", NULL, NULL, NULL);
    err_code code = migrate(s, path, e);
    for (int k = 0; k < STORE_QUERIES && code == ERR_OK; k++)
        if (sqlite3_prepare_v3(s->db, queries[k], -1, SQLITE_PREPARE_PERSISTENT, &s->ready[k], NULL) != SQLITE_OK)
            code = store_error(s, "its tables", e);
    return code == ERR_OK ? store_cache_begin(s, e) : code;
}

static void close_file(struct store *s) {
    for (int k = 0; k < STORE_QUERIES; k++) sqlite3_finalize(s->ready[k]);
    sqlite3_close(s->db);
}

err_code store_open(const struct store_options *o, struct store **ret, struct err *e) {
    struct store *s = MEM_NEW(struct store);
    *s = (struct store){.retention_s = o->retention_s, .cache_size = o->cache_size, .wake = o->wake, .user = o->user};
    list_init(&s->waiting);
    list_init(&s->done);
    err_code code = open_file(s, o->path != NULL ? o->path : ":memory:", e);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    pthread_cond_init(&s->idle, NULL);
    if (code == ERR_OK && pthread_create(&s->thread, NULL, store_main, s) != 0)
        code = err_set(e, ERR_INTERNAL, "no thread for the state file");
    if (code != ERR_OK) {
        close_file(s);
        free(s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

void store_close(struct store *s) {
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while (!list_empty(&s->done)) {
        struct store_ask *a = LIST_ENTRY(list_pop_front(&s->done), struct store_ask, link);
        a->verb->free(a);
    }
    close_file(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->more);
    free(s);
}

void store_deliver(struct store *s) {
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct list *link = list_pop_front(&s->done);
        pthread_mutex_unlock(&s->lock);
        if (link == NULL) return;
        struct store_ask *a = LIST_ENTRY(link, struct store_ask, link);
        if (a->fn != NULL) a->fn(a->user, a->code, buf_cstr(&a->text), a->text.len, &a->err);
        else if (a->code != ERR_OK && a->verb->silent) log_warn("store", "%s", a->err.text);
        a->verb->free(a);
    }
}

void store_finish(struct store *s) {
    pthread_mutex_lock(&s->lock);
    while (s->running || !list_empty(&s->waiting)) pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    store_deliver(s);
}
