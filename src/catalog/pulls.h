/* SPDX-License-Identifier: MIT
 * Models that this node fetches from hubs into its models folder, for its API and for other nodes (pull/fetch; each in a thread). What runs
 * and how the last ones ended stands in the node's record, so every node of the cluster shows it. At most RECORD_MAX_PULLS are listed.
 * Loop thread only; owned by the node. */
#ifndef CARAVAN_CATALOG_PULLS_H
#define CARAVAN_CATALOG_PULLS_H

#include "io/loop.h"
#include "members/record.h"

struct pulls_config {
    const char *dir;                           /* the models folder; NULL: there is none, and every pull is refused */
    const char *hf_endpoint, *ollama_registry; /* pull/fetch.h */
    uint32_t connections;                      /* ranges of a file at once */
};
struct pulls_events {
    void (*changed)(void *user); /* the list has changed so that others should hear of it: at most once a second for mere progress */
    void (*came)(void *user);    /* a model has come into the folder */
    void *user;
};
struct pulls; /* opaque */
struct pulls *pulls_create(struct io_loop *loop, const struct pulls_config *config, const struct pulls_events *events);
/* Those that run end, and keep what has come for the next time. No further one begins. */
void pulls_stop(struct pulls *p);
void pulls_free(struct pulls *p); /* NULL is fine; doesn't wait */

/* Begins to fetch, or goes on. ERR_STALE: this one runs. ERR_BUSY: enough run. ERR_INVALID: no hub has such a name. ERR_UNAVAILABLE: there
 * is no models folder. How it ends is in the list. */
err_code pulls_start(struct pulls *p, const char *source, struct err *e);
/* Ends one that runs, which keeps what has come; takes one that has ended out of the list. ERR_NOT_FOUND. */
err_code pulls_drop(struct pulls *p, const char *source, struct err *e);
/* To be called now and then. */
void pulls_tick(struct pulls *p);
/* What the record says of them. */
void pulls_record(const struct pulls *p, struct record *r);

#endif
