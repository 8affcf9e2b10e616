/* SPDX-License-Identifier: MIT
 * Fetches small documents by HTTP(S), for example the answers of a model hub. Blocking, by libcurl, one call at a time in any one thread.
 * Proxies are taken from the environment (http_proxy, https_proxy, no_proxy), redirects are followed, a token is sent only to the hub it is
 * for (struct web_token). Tries again by itself where that makes sense (web_retry). Large files: http/download.h. */
#ifndef CARAVAN_HTTP_WEB_H
#define CARAVAN_HTTP_WEB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { WEB_MAX_URL = 4096, WEB_MAX_TRIES = 6 };

/* Called before a pause: its reason, and its length in seconds. */
typedef void (*web_waiting_fn)(void *user, const char *why, unsigned seconds);

/* A Bearer token, and the address of the hub that it is for. It is sent only to addresses with the same scheme, host and port, whoever
 * named them: the user, a redirect, or an answer's Link header. text NULL: there is none. */
struct web_token {
    const char *text, *hub;
};

struct web_request {
    const char *url;
    struct web_token token;
    const char *accept;                /* Accept header; NULL: anything */
    const atomic_int *stop; /* becomes another value than 0, by a signal or another thread: give up with ERR_CANCELLED; may be NULL */
    web_waiting_fn on_waiting; /* may be NULL */
    void *user;
    uint64_t first;            /* only so many bytes from the beginning, whether or not the server knows ranges; 0: all */
};

/* The answer's body goes to ret_body (initialised by the caller; cleared). ret_next (may be NULL): the address in its Link header with
 * rel="next", or "". Errors: ERR_AUTH (401, 403), ERR_NOT_FOUND (404, 410), ERR_BUSY (429 to the end), ERR_NETWORK, ERR_TIMEOUT,
 * ERR_LIMIT (the body is too large), ERR_PROTOCOL (another status). */
err_code web_get(const struct web_request *r, struct buf *ret_body, char ret_next[WEB_MAX_URL], struct err *e);

/* How many seconds to wait before another attempt, after `failures` failures in a row, the last with this status (0: none came) and this
 * Retry-After (seconds; 0: none). -1: another attempt would fail too, or there were enough. Pure. */
int web_retry(unsigned failures, long status, long retry_after);
/* The error that a status means; `url` is its subject. */
err_code web_status_error(long status, const char *url, struct err *e);
/* Waits; ends early if *stop is set, and returns false then. */
bool web_wait(unsigned seconds, const atomic_int *stop);
/* The part of a Link header (RFC 8288) that is the next page: false if there is none. Pure. */
bool web_link_next(const char *header, char ret[WEB_MAX_URL]);

#endif
