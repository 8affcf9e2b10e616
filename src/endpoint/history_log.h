/* SPDX-License-Identifier: MIT
 * Takes the samples for charts (gateway/history.h) and keeps them in the store; answers GET /caravan/v1/history. A sample is a few
 * additions every HISTORY_STEP seconds; the store's thread writes, and nothing is written while nothing goes on. Loop thread. */
#ifndef CARAVAN_ENDPOINT_HISTORY_LOG_H
#define CARAVAN_ENDPOINT_HISTORY_LOG_H

struct gateway;
struct history_log;

struct history_log *history_log_open(struct gateway *g);
void history_log_close(struct history_log *log); /* keeps what has not come to the end of its period. NULL is fine */

#endif
