/* SPDX-License-Identifier: MIT
 * The upstreams of the routes file as operators see them: metrics and status. Their names, addresses and counts; never a key. Loop
 * thread. */
#ifndef CARAVAN_GATEWAY_UPSTREAMS_H
#define CARAVAN_GATEWAY_UPSTREAMS_H

#include "base/json.h"

struct gateway;

/* The routes file has been read: if it names upstreams, there is a cloud from now on, and their keys are read anew. */
void upstreams_open(struct gateway *g);
/* Appends a series for each upstream (Prometheus' text format). */
void upstreams_metrics(const struct gateway *g, struct buf *out);
/* Adds the list "upstreams" to a status, if there are any; addresses, money and errors only if `admin`. */
void upstreams_status(const struct gateway *g, bool admin, yyjson_mut_doc *doc, yyjson_mut_val *status);

#endif
