/* SPDX-License-Identifier: MIT
 * The table of responses. See store.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/store_priv.h"

struct response_ask {
    struct store_ask ask;
    enum store_query query;
    char *id, *owner, *previous, *input, *response;
    int64_t created;
};

static struct response_ask *of(struct store_ask *a) { return (struct response_ask *)(void *)a; }

static void response_free(struct store_ask *a) {
    struct response_ask *r = of(a);
    free(r->id);
    free(r->owner);
    free(r->previous);
    free(r->input);
    free(r->response);
    store_ask_free(a);
}

/* ---- the store's thread ---- */

static void bind_text(sqlite3_stmt *q, int at, const char *text) {
    if (text != NULL) sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
}

static void add_column(struct buf *out, sqlite3_stmt *q, int column) {
    buf_append(out, sqlite3_column_text(q, column), (size_t)sqlite3_column_bytes(q, column));
}

static void take_row(struct response_ask *r, sqlite3_stmt *q) {
    struct buf *text = &r->ask.text;
    if (r->query != QUERY_RESPONSE_CHAIN) {
        add_column(text, q, 0);
        return;
    }
    buf_append_str(text, text->len == 0 ? "[[" : ",[");
    add_column(text, q, 0);
    buf_append_byte(text, ',');
    add_column(text, q, 1);
    buf_append_byte(text, ']');
}

static void bind_put(const struct response_ask *r, sqlite3_stmt *q) {
    bind_text(q, 3, r->previous);
    sqlite3_bind_int64(q, 4, r->created);
    bind_text(q, 5, r->input);
    bind_text(q, 6, r->response);
}

static err_code response_run(struct store *s, struct store_ask *a) {
    struct response_ask *r = of(a);
    sqlite3_stmt *q = store_query(s, r->query);
    size_t rows = 0;
    int rc;
    bind_text(q, 1, r->id);
    bind_text(q, 2, r->owner);
    if (r->query == QUERY_RESPONSE_PUT) bind_put(r, q);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        take_row(r, q);
        rows++;
    }
    err_code code = store_query_end(s, q, rc, "a response", &a->err);
    if (code != ERR_OK) return code;
    if (r->query == QUERY_RESPONSE_CHAIN && rows > 0) buf_append_byte(&a->text, ']');
    if (a->text.failed) return err_set(&a->err, ERR_LIMIT, "the conversation is too long");
    bool found = r->query == QUERY_RESPONSE_PUT || (r->query == QUERY_RESPONSE_DROP ? sqlite3_changes(s->db) > 0 : rows > 0);
    return found ? ERR_OK : err_set(&a->err, ERR_NOT_FOUND, "there is no response \"%.80s\"", r->id);
}

err_code store_response_sweep(struct store *s, int64_t now, struct err *e) {
    if (s->retention_s == 0) return ERR_OK;
    sqlite3_stmt *q = store_query(s, QUERY_RESPONSE_SWEEP);
    sqlite3_bind_int64(q, 1, now - s->retention_s);
    return store_query_end(s, q, sqlite3_step(q), "old responses stay", e);
}

/* ---- asks ---- */

static struct response_ask *ask_new(enum store_query query, const char *owner, const char *id, store_fn fn, void *user) {
    static const struct store_verb verb = {.run = response_run, .free = response_free},
                                   put = {.run = response_run, .free = response_free, .silent = true};
    struct response_ask *r = MEM_NEW(struct response_ask);
    store_ask_init(&r->ask, query == QUERY_RESPONSE_PUT ? &put : &verb, fn, user);
    r->query = query;
    r->id = mem_strdup(id);
    r->owner = mem_strdup(owner);
    return r;
}

void store_response_put(struct store *s, const struct store_response *r) {
    struct response_ask *a = ask_new(QUERY_RESPONSE_PUT, r->owner, r->id, NULL, NULL);
    a->previous = mem_strdup(r->previous);
    a->created = r->created;
    a->input = mem_strdup(r->input);
    a->response = mem_strdup(r->response);
    store_ask_post(s, &a->ask);
}

struct store_ask *store_response_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return store_ask_post(s, &ask_new(QUERY_RESPONSE_GET, owner, id, fn, user)->ask);
}

struct store_ask *store_response_input(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return store_ask_post(s, &ask_new(QUERY_RESPONSE_INPUT, owner, id, fn, user)->ask);
}

struct store_ask *store_response_chain(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return store_ask_post(s, &ask_new(QUERY_RESPONSE_CHAIN, owner, id, fn, user)->ask);
}

struct store_ask *store_response_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user) {
    return store_ask_post(s, &ask_new(QUERY_RESPONSE_DROP, owner, id, fn, user)->ask);
}
