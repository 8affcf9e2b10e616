/* SPDX-License-Identifier: MIT
 * The store from within. store.c has the file and the thread; each table has a file of its own (responses.c, cache.c, ledger.c, spend.c),
 * which makes asks and runs them by the functions of ask.c. An ask belongs to the owner's thread until it is posted, then to the store's
 * thread until it is done. */
#ifndef CARAVAN_STORE_STORE_PRIV_H
#define CARAVAN_STORE_STORE_PRIV_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "store/store.h"

enum store_query {
#define QUERY(id, sql) QUERY_##id,
#include "../../tables/queries.def"
#undef QUERY
    STORE_QUERIES
};

enum { STORE_MAX_ANSWER = 256 << 20 };

/* What an ask does. */
struct store_verb {
    err_code (*run)(struct store *s, struct store_ask *a); /* on the store's thread; fills a->text, or a->err */
    void (*free)(struct store_ask *a);                     /* frees the ask and what it holds */
    bool silent;                                           /* nobody waits for the answer: a failure is logged */
};

/* The beginning of each ask; the file of a table puts its own fields after it. */
struct store_ask {
    struct list link;
    const struct store_verb *verb;
    store_fn fn;     /* NULL: no answer is wanted */
    void *user;
    size_t bytes;    /* of memory that it holds besides the answer */
    err_code code;
    struct err err;
    struct buf text; /* the answer */
};

struct store {
    sqlite3 *db;                     /* the store's thread's, once it runs */
    sqlite3_stmt *ready[STORE_QUERIES];
    int64_t retention_s, swept;
    uint64_t cache_size, cache_used; /* bytes that cached answers may take, and take now; used is the store's thread's */
    void (*wake)(void *user);
    void *user;
    pthread_t thread;
    pthread_mutex_t lock;            /* of what follows */
    pthread_cond_t more, idle;
    struct list waiting, done;
    size_t n_waiting, bytes_waiting;
    bool running, closing; /* running: an ask is being done */
};

/* ---- for the files of the tables: ask.c ---- */

/* Fills in the beginning of an ask. */
void store_ask_init(struct store_ask *a, const struct store_verb *verb, store_fn fn, void *user);
/* Frees the beginning of an ask, and the ask. */
void store_ask_free(struct store_ask *a);
/* Gives the ask to the store's thread. */
struct store_ask *store_ask_post(struct store *s, struct store_ask *a);

/* On the store's thread: a statement, to be bound and stepped, and then ended. */
sqlite3_stmt *store_query(struct store *s, enum store_query which);
/* ERR_IO: SQLite's own words, about `what`. */
err_code store_error(struct store *s, const char *what, struct err *e);
/* Ends a statement whose last step gave rc. ERR_IO: it failed, and e says so; `what` names the subject. */
err_code store_query_end(struct store *s, sqlite3_stmt *q, int rc, const char *what, struct err *e);

/* ---- the tables' own part of opening and sweeping, on the store's thread or before it runs ---- */

err_code store_response_sweep(struct store *s, int64_t now, struct err *e);
err_code store_cache_begin(struct store *s, struct err *e);
err_code store_cache_sweep(struct store *s, int64_t now, struct err *e);

#endif
