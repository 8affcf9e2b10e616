/* SPDX-License-Identifier: MIT
 * GET /caravan/v1/events: the node's state and its models as server-sent events, for pages that show them live. An event comes when
 * something has changed, at most twice a second; while nobody watches, nothing is looked at. Loop thread. */
#ifndef CARAVAN_ENDPOINT_EVENTS_H
#define CARAVAN_ENDPOINT_EVENTS_H

struct gateway;
struct events;

struct events *events_create(struct gateway *g);
/* Ends all streams: the node is about to end. No new one is begun. */
void events_end(struct events *events);
void events_free(struct events *events); /* NULL is fine; its streams have ended */

#endif
