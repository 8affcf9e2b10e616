/* SPDX-License-Identifier: MIT
 * Fetches a file from an address that a stranger has named, such as a picture of a client's request. The stranger must not get at
 * anything that he could not reach himself: hosts with private, loopback, link-local or other special addresses are refused, unless the
 * owner has named the host. That is asked of the address that is connected to, at every step of a line of redirects, so it doesn't
 * matter what a name means a moment later. No proxy, since a proxy would look the name up again; no user names, no cookies, nothing
 * packed. Blocking; any thread. */
#ifndef CARAVAN_HTTP_FETCH_H
#define CARAVAN_HTTP_FETCH_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum { HTTP_FETCH_MAX_REDIRECTS = 3, HTTP_FETCH_MAX_HOSTS = 64, HTTP_FETCH_CONNECT_MS = 5000 };

/* Checks the owner's list: "HOST[:PORT],...", whose hosts may be fetched from, wherever they are; the word "public" stands for all hosts
 * with public addresses. "": none. ERR_INVALID. */
err_code http_fetch_check(const char *hosts, struct err *e);

/* The file at `url` ("http:", "https:"; from encrypted to plain no redirect is followed), at most as long as ret->max; *ret is
 * initialised by the caller. It takes at most `limit`. ERR_INVALID in all cases; the error names the host, and says why nothing came. */
err_code http_fetch(const char *url, const char *hosts, clock_us limit, struct buf *ret, struct err *e);

#endif
