/* SPDX-License-Identifier: MIT
 * See statement.h. */
#include "store/statement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct statement_ask {
    struct store_ask ask;
    struct statement st;
    char *texts[STATEMENT_MAX_TEXTS]; /* owned */
};

static struct statement_ask *of(struct store_ask *a) { return (struct statement_ask *)(void *)a; }

static void statement_free(struct store_ask *a) {
    for (size_t i = 0; i < of(a)->st.n_texts; i++) free(of(a)->texts[i]);
    store_ask_free(a);
}

static err_code statement_run(struct store *s, struct store_ask *a) {
    const struct statement *st = &of(a)->st;
    sqlite3_stmt *q = store_query(s, st->query);
    int at = 1;
    for (size_t i = 0; i < st->n_texts; i++) sqlite3_bind_text(q, at++, of(a)->texts[i], -1, SQLITE_STATIC);
    for (size_t i = 0; i < st->n_numbers; i++) sqlite3_bind_int64(q, at++, st->numbers[i]);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) buf_append(&a->text, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    bool reads = sqlite3_stmt_readonly(q) != 0;
    err_code code = store_query_end(s, q, rc, st->what, &a->err);
    if (code != ERR_OK) return code;
    if (a->text.failed) return err_set(&a->err, ERR_LIMIT, "%s: the answer is too long", st->what);
    bool found = rc == SQLITE_ROW || (!reads && sqlite3_changes(s->db) > 0);
    if (found || st->missing == NULL) return ERR_OK;
    return err_set(&a->err, ERR_NOT_FOUND, "there is no %s \"%.80s\"", st->missing, of(a)->texts[0]);
}

struct store_ask *statement_post(struct store *s, const struct statement *st, store_fn fn, void *user) {
    static const struct store_verb verb = {.run = statement_run, .free = statement_free},
                                   silent = {.run = statement_run, .free = statement_free, .silent = true};
    struct statement_ask *a = MEM_NEW(struct statement_ask);
    assert(st->n_texts <= STATEMENT_MAX_TEXTS && st->n_numbers <= STATEMENT_MAX_NUMBERS);
    store_ask_init(&a->ask, fn != NULL ? &verb : &silent, fn, user);
    a->st = *st;
    for (size_t i = 0; i < st->n_texts; i++) {
        a->texts[i] = mem_strdup(st->texts[i]);
        a->ask.bytes += strlen(st->texts[i]);
    }
    return store_ask_post(s, &a->ask);
}
