/* SPDX-License-Identifier: MIT
 * Requests to servers of the world from the loop, many at once, by libcurl: HTTPS with HTTP/2 where the server has it, connections kept
 * and shared, proxies from the environment, no redirects (a key would go along). Names are resolved in threads of libcurl, so nothing here
 * blocks. The owner of the outbound makes requests; a request belongs to the outbound, and its pointer is good until its end, which is
 * on_end or outbound_cancel. Callbacks come from the loop, never from a function here; a request may be cancelled in any of them. Loop
 * thread. For one document in a thread: web.h; for large files: download.h. */
#ifndef CARAVAN_HTTP_OUTBOUND_H
#define CARAVAN_HTTP_OUTBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"

enum {
    OUTBOUND_MAX_RUNNING = 1024,        /* requests at once */
    OUTBOUND_MAX_HEADERS = 64 * 1024,   /* bytes of an answer's headers */
    OUTBOUND_MAX_WAITING = 256 * 1024,  /* bytes of a body that wait for their reader; then the server is not read from */
};

struct outbound;
struct outbound_request;

struct outbound_header {
    const char *name, *value;
};

/* The head of an answer. Texts are valid during the call. */
struct outbound_head {
    int status;
    uint32_t retry_after_s;    /* 0: none was sent */
    const char *content_type;  /* "" if none was sent */
};

/* What a request ended with, and how far it came, which says what may be done about it. */
struct outbound_end {
    err_code code; /* OK: the whole body has come, whatever the status. NETWORK, AUTH (the certificate), TIMEOUT, CLOSED, LIMIT,
                                  INVALID (the address) */
    const struct err *err; /* names the host, never the path or a header */
    bool sent; /* the server may have got the request */
};

struct outbound_options {
    const char *url;
    const struct outbound_header *headers; /* names and values without control characters */
    size_t n_headers;
    const void *body; /* POST; NULL: GET. Copied. */
    size_t body_len;
    const char *ca_file; /* certificates that are trusted instead of the system's; NULL: the system's */
    uint32_t connect_ms; /* for name, connection and TLS */
    uint32_t silent_ms; /* the longest silence after that, also before the first byte; while the reader holds, it isn't counted */
    uint64_t max_body; /* bytes of the answer */
    void (*on_head)(void *user, const struct outbound_head *head); /* before all others */
    void (*on_body)(void *user, const void *data, size_t len);
    void (*on_end)(void *user, const struct outbound_end *end); /* once, the last */
    void *user;
};

struct outbound *outbound_create(struct io_loop *loop);
/* Cancels all requests and closes all connections. NULL is fine. */
void outbound_free(struct outbound *o);
/* ERR_BUSY: too many are running. ERR_INVALID: a header with control characters. Everything else comes by on_end. All is copied. */
err_code outbound_start(struct outbound *o, const struct outbound_options *options, struct outbound_request **ret, struct err *e);
/* Ends the request; no callback comes any more. */
void outbound_cancel(struct outbound_request *r);
/* Delivers nothing while `hold` is true: what comes waits, first here, then in the connection, then at the server. */
void outbound_hold(struct outbound_request *r, bool hold);
size_t outbound_running(const struct outbound *o);

#endif
