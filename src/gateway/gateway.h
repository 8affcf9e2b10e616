/* SPDX-License-Identifier: MIT
 * The gateway: all that the requests (requests/) and the HTTP side (endpoint/) of a node use together. A plain struct without functions of
 * its own; endpoint/server.c makes it and frees it. Loop thread. */
#ifndef CARAVAN_GATEWAY_GATEWAY_H
#define CARAVAN_GATEWAY_GATEWAY_H

#include "cache/service.h"
#include "gateway/accounting.h"
#include "gateway/aliases.h"
#include "gateway/backend.h"
#include "gateway/keys.h"
#include "gateway/metrics.h"
#include "io/loop.h"
#include "store/store.h"

struct batches;
struct cloud;
struct events;
struct history_log;
struct uploads;
struct http_server;
struct logs;
struct requests;
struct trace_exporter;

struct gateway {
    struct io_loop *loop;
    struct backend backend;
    struct gateway_keys keys;
    char *fingerprint;
    uint32_t ping_ms;
    char *fetch_images;          /* from which hosts pictures are fetched (http/fetch.h); "": from none */
    size_t capture;              /* bytes for the bodies of requests and answers; 0: none are kept */
    clock_us replay_us;          /* how long a request that lost its place waits for another one; 0: it fails */
    struct aliases *aliases;     /* the routes file; NULL: there is none */
    struct loads *loads;         /* models that are being loaded for nobody in particular (loads.h) */
    struct store *store;
    struct trace_exporter *exporter; /* NULL: traces are off */
    struct cloud *cloud;         /* upstreams; NULL: the routes file has never named one */
    struct cache_service *cache; /* NULL: answers are not kept */
    struct gateway_metrics metrics;
    struct gateway_accounting accounting;
    struct requests *requests;   /* those that run and wait (requests/requests.h) */
    struct events *events;       /* pages that watch (endpoint/events.h) */
    struct logs *logs;           /* those who read the log (endpoint/logs.h) */
    struct history_log *history; /* samples for charts (endpoint/history_log.h) */
    struct uploads *uploads;         /* those that clients keep here (batch/uploads.h) */
    struct batches *batches;     /* requests that nobody waits for (batch/batches.h) */
    struct http_server *http;    /* the endpoint's */
};

#endif
