/* SPDX-License-Identifier: MIT
 * A running fetch: one thread that carries out the decisions of exchange.h over all links. For client.c only. */
#ifndef CARAVAN_WEIGHTS_FETCH_H
#define CARAVAN_WEIGHTS_FETCH_H

#include "weights/weights.h"
#include "weights/weights_priv.h"

struct weights_fetch;

/* The inputs of a fetch. All are borrowed and unchanged while it runs, except `home`: an open link to place->node, taken over (NULL:
 * none). */
struct weights_fetch_job {
    struct weights_shared *shared;
    struct weights_cache *cache;
    const struct weights_place *place;
    const char *id;
    const struct weights_chunk *chunks; /* missing or unsure chunks, sorted */
    uint32_t n;
    struct io_tls_stream *home;
};
err_code weights_fetch_start(const struct weights_fetch_job *job, struct weights_fetch **ret, struct err *e);
/* Waits at most ms until the chunk is there, and gives it priority. ERR_TIMEOUT, or the reason why it will not come. */
err_code weights_fetch_await(struct weights_fetch *f, uint32_t part, uint64_t chunk, int ms, struct err *e);
/* Waits at most ms until all chunks are there. */
err_code weights_fetch_await_all(struct weights_fetch *f, int ms, struct err *e);
void weights_fetch_progress(struct weights_fetch *f, struct weights_progress *ret);
uint64_t weights_fetch_bytes(struct weights_fetch *f); /* received, including useless ones */
void weights_fetch_stop(struct weights_fetch *f); /* ends the thread, frees it; NULL is fine */

#endif
