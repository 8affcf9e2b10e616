/* SPDX-License-Identifier: MIT
 * The store's thread and its statements. See store.h. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

enum kind { KIND_PUT, KIND_GET, KIND_INPUT, KIND_CHAIN, KIND_DROP, KINDS };

enum { SWEEP_S = 600, MAX_ANSWER = 256 << 20 };

static const char *const statements[KINDS] = {
    [KIND_PUT] = "INSERT OR REPLACE INTO responses (id, owner, previous, created, input, response) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [KIND_GET] = "SELECT response FROM responses WHERE id = ?1 AND owner = ?2",
    [KIND_INPUT] = "SELECT input FROM responses WHERE id = ?1 AND owner = ?2",
    [KIND_CHAIN] = "WITH RECURSIVE chain (id, previous, depth) AS (SELECT id, previous, 0 FROM responses WHERE id = ?1 AND owner = ?2 "
                   "UNION ALL SELECT r.id, r.previous, depth + 1 FROM responses r JOIN chain ON r.id = chain.previous "
                   "WHERE r.owner = ?2 AND depth < 1000) "
                   "SELECT r.input, r.response FROM chain JOIN responses r USING (id) ORDER BY depth DESC",
    [KIND_DROP] = "DELETE FROM responses WHERE id = ?1 AND owner = ?2",
};

struct store_ask {
    struct list link;
    enum kind kind;
    char *id, *owner, *previous, *input, *response;
    int64_t created;
    store_fn fn;     /* NULL: no answer is wanted */
    void *user;
    err_code code;
    struct err err;
    struct buf text; /* the answer */
};

struct store {
    sqlite3 *db;                     /* the store's thread's, once it runs */
    sqlite3_stmt *ready[KINDS];
    int64_t retention_s, swept;
    void (*wake)(void *user);
    void *user;
    pthread_t thread;
    pthread_mutex_t lock;            /* of what follows */
    pthread_cond_t more;
    struct list waiting, done;
    size_t n_waiting;
    bool closing;
};

static void ask_free(struct store_ask *a) {
    free(a->id);
    free(a->owner);
    free(a->previous);
    free(a->input);
    free(a->response);
    buf_done(&a->text);
    free(a);
}

/* ---- the store's thread ---- */

static err_code db_error(struct store *s, const char *what, struct err *e) {
    return err_set(e, ERR_IO, "the state file: %s: %s", what, sqlite3_errmsg(s->db));
}

static void bind_text(sqlite3_stmt *q, int at, const char *text) {
    if (text != NULL) sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
}

static void add_column(struct buf *out, sqlite3_stmt *q, int column) {
    buf_append(out, sqlite3_column_text(q, column), (size_t)sqlite3_column_bytes(q, column));
}

static void take_row(struct store_ask *a, sqlite3_stmt *q) {
    if (a->kind != KIND_CHAIN) {
        add_column(&a->text, q, 0);
        return;
    }
    buf_append_str(&a->text, a->text.len == 0 ? "[[" : ",[");
    add_column(&a->text, q, 0);
    buf_append_byte(&a->text, ',');
    add_column(&a->text, q, 1);
    buf_append_byte(&a->text, ']');
}

static err_code ask_run(struct store *s, struct store_ask *a) {
    sqlite3_stmt *q = s->ready[a->kind];
    size_t rows = 0;
    int rc;
    bind_text(q, 1, a->id);
    bind_text(q, 2, a->owner);
    if (a->kind == KIND_PUT) {
        bind_text(q, 3, a->previous);
        sqlite3_bind_int64(q, 4, a->created);
        bind_text(q, 5, a->input);
        bind_text(q, 6, a->response);
    }
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        take_row(a, q);
        rows++;
    }
    err_code code = rc == SQLITE_DONE ? ERR_OK : db_error(s, "a response", &a->err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    if (code != ERR_OK) return code;
    if (a->kind == KIND_CHAIN && rows > 0) buf_append_byte(&a->text, ']');
    if (a->text.failed) return err_set(&a->err, ERR_LIMIT, "the conversation is too long");
    bool found = a->kind == KIND_PUT || (a->kind == KIND_DROP ? sqlite3_changes(s->db) > 0 : rows > 0);
    return found ? ERR_OK : err_set(&a->err, ERR_NOT_FOUND, "there is no response \"%.80s\"", a->id);
}

static void sweep(struct store *s) {
    int64_t now = clock_wall_s();
    if (s->retention_s == 0 || now - s->swept < SWEEP_S) return;
    s->swept = now;
    char *sql = sqlite3_mprintf("DELETE FROM responses WHERE created < %lld", (long long)(now - s->retention_s));
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK) log_warn("store", "old responses stay: %s", sqlite3_errmsg(s->db));
    sqlite3_free(sql);
}

static void *store_main(void *user) {
    struct store *s = user;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (list_empty(&s->waiting) && !s->closing) pthread_cond_wait(&s->more, &s->lock);
        if (list_empty(&s->waiting)) break;
        struct store_ask *a = LIST_ENTRY(list_pop_front(&s->waiting), struct store_ask, link);
        s->n_waiting--;
        pthread_mutex_unlock(&s->lock);
        sweep(s);
        a->code = ask_run(s, a);
        pthread_mutex_lock(&s->lock);
        list_push_back(&s->done, &a->link);
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
        if (rc != SQLITE_OK) return db_error(s, "bringing it to the present version", e);
    }
    return ERR_OK;
}

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
    for (int k = 0; k < KINDS && code == ERR_OK; k++)
        if (sqlite3_prepare_v3(s->db, statements[k], -1, SQLITE_PREPARE_PERSISTENT, &s->ready[k], NULL) != SQLITE_OK)
            code = db_error(s, "its tables", e);
    return code;
}

static void close_file(struct store *s) {
    for (int k = 0; k < KINDS; k++) sqlite3_finalize(s->ready[k]);
    sqlite3_close(s->db);
}

err_code store_open(const struct store_options *o, struct store **ret, struct err *e) {
    struct store *s = MEM_NEW(struct store);
    *s = (struct store){.retention_s = o->retention_s, .wake = o->wake, .user = o->user};
    list_init(&s->waiting);
    list_init(&s->done);
    err_code code = open_file(s, o->path != NULL ? o->path : ":memory:", e);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
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
    while (!list_empty(&s->done)) ask_free(LIST_ENTRY(list_pop_front(&s->done), struct store_ask, link));
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
        else if (a->code != ERR_OK && a->kind == KIND_PUT) log_warn("store", "%s", a->err.text);
        ask_free(a);
    }
}

/* ---- asks ---- */

void store_cancel(struct store_ask *ask) { ask->fn = NULL; }

static struct store_ask *ask_new(enum kind kind, const char *owner, const char *id, store_fn fn, void *user) {
    struct store_ask *a = MEM_NEW(struct store_ask);
    *a = (struct store_ask){.kind = kind, .id = mem_strdup(id), .owner = mem_strdup(owner), .fn = fn, .user = user};
    buf_init(&a->text, MAX_ANSWER);
    return a;
}

static struct store_ask *ask_post(struct store *s, struct store_ask *a) {
    pthread_mutex_lock(&s->lock);
    if (s->n_waiting == STORE_MAX_WAITING) { /* answered like the others, later */
        a->code = err_set(&a->err, ERR_BUSY, "the state file is behind by %d requests", STORE_MAX_WAITING);
        list_push_back(&s->done, &a->link);
        s->wake(s->user);
    } else {
        list_push_back(&s->waiting, &a->link);
        s->n_waiting++;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return a;
}

void store_response_put(struct store *s, const struct store_response *r) {
    struct store_ask *a = ask_new(KIND_PUT, r->owner, r->id, NULL, NULL);
    a->previous = mem_strdup(r->previous);
    a->created = r->created;
    a->input = mem_strdup(r->input);
    a->response = mem_strdup(r->response);
    ask_post(s, a);
}

struct store_ask *store_response_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return ask_post(s, ask_new(KIND_GET, owner, id, fn, user));
}

struct store_ask *store_response_input(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return ask_post(s, ask_new(KIND_INPUT, owner, id, fn, user));
}

struct store_ask *store_response_chain(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return ask_post(s, ask_new(KIND_CHAIN, owner, id, fn, user));
}

struct store_ask *store_response_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return ask_post(s, ask_new(KIND_DROP, owner, id, fn, user));
}
