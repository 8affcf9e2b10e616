/* SPDX-License-Identifier: MIT
 * What the calls of a gateway share. */
#ifndef CARAVAN_REQUESTS_REQUESTS_PRIV_H
#define CARAVAN_REQUESTS_REQUESTS_PRIV_H

#include "io/work.h"
#include "requests/habits.h"
#include "requests/render.h"
#include "requests/requests.h"

struct call;
struct captures;
struct recent;

struct requests {
    struct call *calls;
    size_t n_calls;
    struct model_queue *queues; /* calls that wait for a place (call_queue.c) */
    struct io_task queue_task;
    struct recent *recent;      /* those that ended last */
    struct captures *captures;  /* their bodies; NULL: none are kept */
    struct io_works *readers;   /* threads that read long requests (call_read.c) */
    struct io_works *fetchers;  /* those that read requests with pictures at addresses, and wait for these */
    struct render *render;      /* the models' chat templates */
    struct habits *habits;      /* how the models begin their answers */
    struct io_wake *render_wake;
    struct buf scratch;         /* one event's bytes */
    struct buf text;            /* one token's text */
    uint64_t id_state;          /* the last number that an id got */
};

#endif
