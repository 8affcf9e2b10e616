/* SPDX-License-Identifier: MIT
 * The step in which a call waits for its turn and a place at its model. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_QUEUE_H
#define CARAVAN_REQUESTS_CALL_QUEUE_H

#include "requests/call_priv.h"

/* The step QUEUING. ERR_BUSY: as many calls wait as may; the error's retry_s says for how long. */
err_code call_queue_step(struct call *call, enum call_state *next, struct err *e);
/* The call gives up its places, or its turn. */
void call_queue_leave(struct call *call);
/* Learns from the times of an answer that has ended. */
void call_queue_learn(struct call *call, const struct request_event *ev);
/* For requests.c, when no call is left. */
void call_queue_free_all(struct gateway *g);

#endif
