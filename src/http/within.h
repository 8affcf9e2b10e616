/* SPDX-License-Identifier: MIT
 * A request from within the process: an exchange (http/server.h) that no connection carries, so that what clients may ask by HTTP can be
 * done for them later, by the same handlers, to the same bytes. Loop thread. */
#ifndef CARAVAN_HTTP_WITHIN_H
#define CARAVAN_HTTP_WITHIN_H

#include "http/server.h"

struct http_within_request {
    const char *id;                    /* the request's id; cut if it is longer than HTTP_ID_SIZE */
    const char *path;                  /* POST is its method */
    const struct http_header *headers; /* may be NULL */
    size_t n_headers;
    const void *body;
    size_t body_len;
    const char *behalf;                /* http_request.behalf; not NULL */
};
struct http_within_answer {
    int status;
    const char *body;                  /* of a stream: all of it */
    size_t body_len;
    const char *headers;               /* the handler's, a line each with its end as in HTTP */
};
/* Called once, at the end of the answer and inside the handler that gives it; the exchange is gone then. It may not start other work. */
typedef void (*http_within_fn)(void *user, const struct http_within_answer *answer);

/* Copies the request. The exchange is to be given to a handler, as the server gives its own. */
struct http_exchange *http_within_open(const struct http_within_request *r, http_within_fn fn, void *user);
/* The request isn't wanted any more: its handler is told as if the client had gone. fn will not be called. */
void http_within_cancel(struct http_exchange *x);
/* The value of a header of the answer, copied; false: it has none, or one that is too long. */
bool http_within_header(const struct http_within_answer *a, const char *name, char *ret, size_t size);

#endif
