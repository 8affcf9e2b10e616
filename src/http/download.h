/* SPDX-License-Identifier: MIT
 * Downloads a large file by HTTP(S), in several ranges at once where the server allows it, interrupted and resumed as often as
 * necessary. Until it is complete it is called "<path>.part", and "<path>.part.json" lists its missing ranges. Blocking, in the calling
 * thread (libcurl's multi interface); knows nothing of models or hubs. What http/web.h says of proxies, redirects and tokens holds here
 * too. */
#ifndef CARAVAN_HTTP_DOWNLOAD_H
#define CARAVAN_HTTP_DOWNLOAD_H

#include "http/web.h"

enum { HTTP_DOWNLOAD_MAX_CONNECTIONS = 16, HTTP_SHA256_TEXT = 65 };

enum http_download_phase { HTTP_DOWNLOAD_FETCHING, HTTP_DOWNLOAD_CHECKING };
struct http_download_progress {
    enum http_download_phase phase;
    uint64_t done, size; /* bytes; size 0: not known */
};

struct http_download {
    const char *url;
    struct web_token token;
    const char *path;                  /* the file's final path; must not exist */
    uint64_t size;                     /* as published; 0: what the server says */
    const char *sha256;                /* as published, 64 hex digits; NULL or "": what a hub's header says, or none */
    uint32_t connections;              /* at most HTTP_DOWNLOAD_MAX_CONNECTIONS */
    const atomic_int *stop;            /* as in struct web_request: keep the bytes so far and return ERR_CANCELLED; may be NULL */
    void (*on_progress)(void *user, const struct http_download_progress *p); /* about ten times a second; may be NULL */
    web_waiting_fn on_waiting;                                          /* may be NULL */
    void *user;
};
struct http_download_result {
    uint64_t size, fetched;      /* bytes of the file; of them, over the network this time */
    char sha256[HTTP_SHA256_TEXT]; /* as computed, or "" if none was published */
};

/* Errors: those of web_get, and ERR_NO_ROOM (before anything is fetched), ERR_IO, ERR_BUSY (another process is at this file),
 * ERR_FORMAT: it doesn't match its checksum or size, and is removed. With any other error the bytes so far are kept. */
err_code http_download(const struct http_download *d, struct http_download_result *ret, struct err *e);

#endif
