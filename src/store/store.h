/* SPDX-License-Identifier: MIT
 * What a node must not forget, in one SQLite file (WAL, schema in tables/migrations.def): so far the responses of /v1/responses.
 * Asynchronous: a thread of the store's own does all work with the file; the owner asks, is woken (the wake function is called on the
 * store's thread, and may only wake the owner's loop), and takes the answers with store_deliver on its own thread. Asks are done in order.
 * Everything but the wake function belongs to the owner's thread. */
#ifndef CARAVAN_STORE_STORE_H
#define CARAVAN_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct store;
struct store_ask;

enum { STORE_MAX_CHAIN = 1000, STORE_MAX_WAITING = 4096 };

struct store_options {
    const char *path;       /* NULL: nothing is kept beyond this process */
    int64_t retention_s;    /* older responses are removed; 0: never */
    void (*wake)(void *user);
    void *user;
};

/* ERR_IO, ERR_FORMAT (a file of a newer version, or none of ours) name the file. */
err_code store_open(const struct store_options *options, struct store **ret, struct err *e);
/* Finishes what waits, without answers. NULL is fine. */
void store_close(struct store *s);
/* Gives the answers that are there. */
void store_deliver(struct store *s);

/* code ERR_OK: text is what was asked for (JSON), valid during the call; "" for put and drop. ERR_NOT_FOUND, ERR_IO, ERR_BUSY: e says
 * why. */
typedef void (*store_fn)(void *user, err_code code, const char *text, size_t len, const struct err *e);
/* No answer will come. */
void store_cancel(struct store_ask *ask);

struct store_response {
    const char *owner;         /* whose it is: nobody else finds it; "" where there are no keys */
    const char *id, *previous; /* previous: NULL none */
    int64_t created;           /* seconds since 1970 */
    const char *input;         /* JSON array of items */
    const char *response;      /* the JSON object that the client got */
};
/* Copies all. Nobody is told; what fails is logged. */
void store_response_put(struct store *s, const struct store_response *r);
struct store_ask *store_response_get(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
struct store_ask *store_response_input(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
/* The conversation up to this response: [[input, response], ...], oldest first. */
struct store_ask *store_response_chain(struct store *s, const char *owner, const char *id, store_fn fn, void *user);
struct store_ask *store_response_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user);

#endif
