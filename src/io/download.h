/* SPDX-License-Identifier: MIT
 * A large file from the world by HTTP(S), in several ranges at once where the server allows it, interrupted and gone on with as often as
 * need be. Until it is whole it stands as "<path>.part", and what is missing of it in "<path>.part.json". Blocking, in the calling thread
 * (libcurl's multi interface); knows nothing of models or hubs. What io/web.h says of proxies, redirects and tokens holds here too. */
#ifndef CARAVAN_IO_DOWNLOAD_H
#define CARAVAN_IO_DOWNLOAD_H

#include "io/web.h"

enum { IO_DOWNLOAD_MAX_CONNECTIONS = 16, IO_SHA256_TEXT = 65 };

enum io_download_phase { IO_DOWNLOAD_FETCHING, IO_DOWNLOAD_CHECKING };
struct io_download_progress {
    enum io_download_phase phase;
    uint64_t done, size; /* bytes; size 0: not known */
};

struct io_download {
    const char *url, *token;           /* token may be NULL */
    const char *path;                  /* where it shall stand in the end; must not be there */
    uint64_t size;                     /* as published; 0: what the server says */
    const char *sha256;                /* as published, 64 hex digits; NULL or "": what a hub's header says, or none */
    uint32_t connections;              /* at most IO_DOWNLOAD_MAX_CONNECTIONS */
    const volatile sig_atomic_t *stop; /* becomes 1: keep what is there, return ERR_CANCELLED; may be NULL */
    void (*on_progress)(void *user, const struct io_download_progress *p); /* about ten times a second; may be NULL */
    io_web_waiting_fn on_waiting;                                          /* may be NULL */
    void *user;
};
struct io_download_result {
    uint64_t size, fetched;      /* bytes of the file; of them, over the network this time */
    char sha256[IO_SHA256_TEXT]; /* as computed, or "" if none was published */
};

/* Errors: those of io_web_get, and ERR_NO_ROOM (before anything is fetched), ERR_IO, ERR_BUSY (another process is at this file),
 * ERR_FORMAT: it doesn't match its checksum or size (what came is removed). With any other error what has come is kept. */
err_code io_download(const struct io_download *d, struct io_download_result *ret, struct err *e);

#endif
