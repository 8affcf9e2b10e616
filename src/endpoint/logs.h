/* SPDX-License-Identifier: MIT
 * GET /caravan/v1/logs: this node's log as server-sent events, from the file that `caravan logs` reads (base/log_tail.h). The last lines
 * come first, then new ones, at most twice a second; while nobody reads, nothing is looked at. A reader that is too slow is cut off by the
 * HTTP server. Loop thread. */
#ifndef CARAVAN_ENDPOINT_LOGS_H
#define CARAVAN_ENDPOINT_LOGS_H

#include "io/loop.h"

struct logs;

/* path: of the log (copied); NULL: there is none, and readers are refused. */
struct logs *logs_create(struct io_loop *loop, const char *path);
/* Ends all streams: the node is about to end. No new one is begun. */
void logs_end(struct logs *logs);
void logs_free(struct logs *logs); /* NULL is fine; its streams have ended */

#endif
