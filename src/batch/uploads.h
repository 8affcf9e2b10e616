/* SPDX-License-Identifier: MIT
 * The files that clients keep here (/v1/files): an uploaded one is a file in the files folder, named by its id, and a row of the store; the
 * results of a batch are rows of the store only. Bounded in all bytes together; a file goes when its time is over. Loop thread. */
#ifndef CARAVAN_BATCH_UPLOADS_H
#define CARAVAN_BATCH_UPLOADS_H

#include "batch/object.h"
#include "http/server.h"
#include "io/loop.h"
#include "store/files.h"

struct gateway;
struct uploads;

struct uploads_options {
    const char *dir;       /* the folder, made when it is needed; NULL: no files are kept here */
    uint64_t max_bytes;    /* of all files together, results included */
    int64_t ttl_s;         /* how long a file is kept, if its client says nothing; 0: for ever */
};
/* The gateway outlives it, and has its store. Removes files of the folder that no row knows. Blocks: for the start. ERR_IO. */
err_code uploads_open(struct gateway *g, const struct uploads_options *options, struct uploads **ret, struct err *e);
void uploads_close(struct uploads *f); /* after the HTTP server, so that no upload comes any more; NULL is fine */

/* ERR_UNSUPPORTED: no files are kept here. ERR_NO_ROOM: not so many bytes more. */
err_code uploads_has_room(const struct uploads *f, uint64_t bytes, struct err *e);
/* The path of an uploaded file; caller frees. */
char *uploads_path(const struct uploads *f, const char *id);
/* When a file that is made now expires, if nobody says so: 0: never. */
int64_t uploads_expiry(const struct uploads *f, int64_t now);
struct store *uploads_store(const struct uploads *f);
/* Deletes a file; the caller knows that it is there, and this owner's. fn and the result as for store_file_drop. */
struct store_ask *uploads_drop(struct uploads *f, const char *owner, const char *id, store_fn fn, void *user);

/* ---- upload.c: POST /v1/files ---- */

/* For on_headers: takes the body in pieces. false: it has been refused. */
bool uploads_begin(struct uploads *f, struct http_exchange *x, const char *owner);
/* The body is complete: answers, now or later. */
void uploads_end(struct uploads *f, struct http_exchange *x);

/* ---- content.c: GET /v1/files/{id}/content ---- */

/* Streams the file that the store has described (the owner has been checked), or answers with an error. */
void uploads_send(struct uploads *f, struct http_exchange *x, yyjson_val *kept);

#endif
