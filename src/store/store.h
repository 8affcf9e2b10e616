/* SPDX-License-Identifier: MIT
 * The data that a node must keep, in one SQLite file (WAL, schema in tables/migrations.def, statements in tables/queries.def): the
 * responses of /v1/responses, cached answers (cache.h), keys and usage (ledger.h), what upstreams cost (spend.h), files (files.h),
 * batches (batches.h) and samples for charts (history.h). Asynchronous: only a thread of the store uses
 * the file. The owner asks; then the wake function is called on the store's thread, and may only wake the owner's loop; the owner takes
 * the answers with store_deliver on its own thread. Asks are done in order. All functions here belong to the owner's thread. */
#ifndef CARAVAN_STORE_STORE_H
#define CARAVAN_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct store;
struct store_ask;

enum { STORE_MAX_CHAIN = 1000, STORE_MAX_WAITING = 4096 };

struct store_options {
    const char *path;       /* NULL: the data lasts only as long as this process */
    int64_t retention_s;    /* older responses are removed; 0: never */
    uint64_t cache_size;    /* bytes that cached answers may take (cache.h); 0: none are kept */
    void (*wake)(void *user);
    void *user;
};

/* ERR_IO and ERR_FORMAT (the file is of a newer version, or not a store) name the file. */
err_code store_open(const struct store_options *options, struct store **ret, struct err *e);
/* Finishes the waiting asks without answers. NULL is fine. */
void store_close(struct store *s);
/* Calls the functions of all asks that are done. */
void store_deliver(struct store *s);
/* Waits until all asks are done, and calls their functions. Blocks: for the start of a process, before its loop runs. */
void store_finish(struct store *s);

/* ERR_OK: text is the answer (JSON), valid during the call; "" for put and drop. ERR_NOT_FOUND, ERR_IO, ERR_BUSY: *e says why. */
typedef void (*store_fn)(void *user, err_code code, const char *text, size_t len, const struct err *e);
/* The ask's function will not be called. */
void store_cancel(struct store_ask *ask);

struct store_response {
    const char *owner;         /* the key that it belongs to: other keys don't find it; "" if there are no keys */
    const char *id, *previous; /* previous: NULL none */
    int64_t created;           /* seconds since 1970 */
    const char *input;         /* JSON array of items */
    const char *response;      /* the JSON object that the client got */
};
/* Copies all of it. There is no answer; a failure is logged. */
void store_response_put(struct store *s, const struct store_response *r);
struct store_ask *store_response_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
struct store_ask *store_response_input(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
/* The conversation up to this response: [[input, response], ...], oldest first. */
struct store_ask *store_response_chain(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
struct store_ask *store_response_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user);

#endif
