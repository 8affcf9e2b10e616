/* SPDX-License-Identifier: MIT
 * A small blocking HTTP/1.1 client over plain TCP, for the command line talking to a node on loopback: one request at a time, the
 * connection kept between them. No TLS, no proxies, no redirects (outgoing traffic to the world is curl's). One thread, except cancel. */
#ifndef CARAVAN_HTTP_CLIENT_H
#define CARAVAN_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct http_client;

/* url: "http://127.0.0.1:8080", a path after the port is put before every request's path. api_key (may be NULL) goes along as a Bearer
 * token. Nothing is connected yet. */
err_code http_client_create(const char *url, const char *api_key, struct http_client **ret, struct err *e);
void http_client_free(struct http_client *c); /* NULL is fine */

/* One line of a streamed response, without its end; valid during the call. false: enough, the connection is cut. */
typedef bool (*http_line_fn)(void *user, const char *line, size_t len);

struct http_client_request {
    const char *method, *path;       /* "POST", "/v1/chat/completions" */
    const char *type;                /* of the body; NULL: JSON */
    const void *body;                /* or NULL */
    size_t body_len;
    int timeout_ms;                  /* most silence from the server (connecting included); <= 0: none */
    http_line_fn on_line;         /* NULL: the body goes to ret_body. Else each line of a 2xx response goes here as it comes */
    /* Called about ten times a second while nothing comes; false: enough, the request ends with ERR_CANCELLED. NULL: none. It may send
     * requests with another client. */
    bool (*on_wait)(void *user);
    void *user;
};
/* *ret_status is the HTTP status. ret_body (initialised by the caller, cleared first) gets the body of a response that was not given to
 * on_line, so also that of an error. ERR_NETWORK: cannot connect; ERR_CLOSED: the connection broke; ERR_TIMEOUT; ERR_CANCELLED;
 * ERR_PROTOCOL; ERR_LIMIT: the body is larger than ret_body's maximum. An HTTP error status is not an error here. */
err_code http_client_send(struct http_client *c, const struct http_client_request *r, int *ret_status, struct buf *ret_body, struct err *e);
/* Makes the request that runs return ERR_CANCELLED; any thread, any signal handler. */
void http_client_cancel(struct http_client *c);

/* The data of a server-sent-events line ("data: ..."), or NULL for any other line; *ret_len is its length. */
const char *http_sse_data(const char *line, size_t len, size_t *ret_len);

#endif
