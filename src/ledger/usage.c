/* SPDX-License-Identifier: MIT
 * See usage.h. */
#include "ledger/usage.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void usage_done(struct usage *u) {
    free(u->rows);
    *u = (struct usage){0};
}

static struct usage_row *row_for(struct usage *u, const struct usage_row *like) {
    for (size_t i = u->n; i-- > 0;) {
        struct usage_row *r = &u->rows[i];
        if (r->day == like->day && strcmp(r->key, like->key) == 0 && strcmp(r->model, like->model) == 0) return r;
    }
    return NULL;
}

err_code usage_add(struct usage *u, const struct usage_row *more, struct err *e) {
    struct usage_row *r = row_for(u, more);
    if (r != NULL) {
        r->requests += more->requests;
        r->failed += more->failed;
        r->prompt_tokens += more->prompt_tokens;
        r->cached_tokens += more->cached_tokens;
        r->completion_tokens += more->completion_tokens;
        r->money += more->money;
        r->quota_requests += more->quota_requests;
        r->quota_tokens += more->quota_tokens;
        return ERR_OK;
    }
    if (u->n == USAGE_MAX_ROWS) return err_set(e, ERR_LIMIT, "%d counts wait for the state file: one is lost", USAGE_MAX_ROWS);
    if (u->n == u->cap) {
        u->cap = u->cap > 0 ? 2 * u->cap : 16;
        u->rows = mem_realloc(u->rows, u->cap, sizeof(*u->rows));
    }
    u->rows[u->n++] = *more;
    return ERR_OK;
}

bool usage_take(struct usage *u, struct usage_row *ret) {
    if (u->n == 0) return false;
    *ret = u->rows[--u->n];
    return true;
}
