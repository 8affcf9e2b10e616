/* SPDX-License-Identifier: MIT
 * What the tables' files need to make asks and to run their statements. See store_priv.h. */
#include <stdlib.h>

#include "store/store_priv.h"

/* ---- statements ---- */

err_code store_error(struct store *s, const char *what, struct err *e) {
    return err_set(e, ERR_IO, "the state file: %s: %s", what, sqlite3_errmsg(s->db));
}

sqlite3_stmt *store_query(struct store *s, enum store_query which) { return s->ready[which]; }

err_code store_query_end(struct store *s, sqlite3_stmt *q, int rc, const char *what, struct err *e) {
    err_code code = rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : store_error(s, what, e);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return code;
}

/* ---- asks ---- */

void store_cancel(struct store_ask *ask) { ask->fn = NULL; }

void store_ask_init(struct store_ask *a, const struct store_verb *verb, store_fn fn, void *user) {
    *a = (struct store_ask){.verb = verb, .fn = fn, .user = user};
    buf_init(&a->text, STORE_MAX_ANSWER);
}

void store_ask_free(struct store_ask *a) {
    buf_done(&a->text);
    free(a);
}

struct store_ask *store_ask_post(struct store *s, struct store_ask *a) {
    pthread_mutex_lock(&s->lock);
    if (s->n_waiting == STORE_MAX_WAITING) { /* answered like the others, later */
        a->code = err_set(&a->err, ERR_BUSY, "the state file is behind by %d requests", STORE_MAX_WAITING);
        list_push_back(&s->done, &a->link);
        s->wake(s->user);
    } else {
        list_push_back(&s->waiting, &a->link);
        s->n_waiting++;
        s->bytes_waiting += a->bytes;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return a;
}
