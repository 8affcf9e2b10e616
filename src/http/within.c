/* SPDX-License-Identifier: MIT
 * See within.h. */
#include "http/within.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/server_priv.h"

struct http_within {
    struct http_exchange x;
    http_within_fn fn;
    void *user;
    int status; /* of a stream */
};

static void within_free(struct http_within *w) {
    http_exchange_done(&w->x);
    free(w);
}

struct http_exchange *http_within_open(const struct http_within_request *r, http_within_fn fn, void *user) {
    struct http_within *w = MEM_NEW(struct http_within);
    struct http_exchange *x = &w->x;
    w->fn = fn;
    w->user = user;
    http_exchange_init(x, NULL, r->body_len + 1);
    x->within = w;
    buf_append(&x->body, r->body, r->body_len);
    struct http_header *headers = arena_alloc(x->arena, (r->n_headers + 1) * sizeof(*headers));
    for (size_t i = 0; i < r->n_headers; i++)
        headers[i] = (struct http_header){arena_strdup(x->arena, r->headers[i].name), arena_strdup(x->arena, r->headers[i].value)};
    x->request = (struct http_request){.method = "POST",
                                       .path = arena_strdup(x->arena, r->path),
                                       .query = "",
                                       .headers = headers,
                                       .n_headers = r->n_headers,
                                       .body = buf_cstr(&x->body),
                                       .body_len = x->body.len,
                                       .from_loopback = true,
                                       .note = &x->note,
                                       .behalf = arena_strdup(x->arena, r->behalf)};
    snprintf(x->request.id, sizeof(x->request.id), "%s", r->id);
    return x;
}

void http_within_cancel(struct http_exchange *x) {
    x->ended = true;
    if (x->gone_fn != NULL) x->gone_fn(x->gone_user);
    within_free(x->within);
}

void http_within_start(struct http_exchange *x, int status) { x->within->status = status; }

void http_within_respond(struct http_exchange *x, int status, const void *body, size_t len) {
    struct http_within *w = x->within;
    const struct http_within_answer a = {
        .status = status != 0 ? status : w->status, .body = body, .body_len = len, .headers = buf_cstr(&x->extra)};
    x->ended = true;
    w->fn(w->user, &a);
    within_free(w);
}

bool http_within_header(const struct http_within_answer *a, const char *name, char *ret, size_t size) {
    size_t len = strlen(name);
    for (const char *at = a->headers, *end; (end = strstr(at, "\r\n")) != NULL; at = end + 2) {
        if (strncasecmp(at, name, len) != 0 || strncmp(at + len, ": ", 2) != 0) continue;
        size_t n = (size_t)(end - at) - len - 2;
        if (n >= size) return false;
        memcpy(ret, at + len + 2, n);
        ret[n] = '\0';
        return true;
    }
    return false;
}
