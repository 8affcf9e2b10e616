/* SPDX-License-Identifier: MIT
 * A client's request on its way from its body to its answer. It goes through nine steps, each with a state in which it may wait
 * (call_priv.h, call.c). Loop thread. A call owns itself from call_start until it has ended: answered, failed, or left by its client. */
#ifndef CARAVAN_REQUESTS_CALL_H
#define CARAVAN_REQUESTS_CALL_H

#include "api/api.h"
#include "http/server.h"

struct gateway;

/* Runs the request in x under an API; answers it, now or later. */
void call_start(struct gateway *g, struct http_exchange *x, const struct api *api);
/* Ends the call whose answer has this id, if it is this key's; false: there is none. */
bool call_cancel(struct gateway *g, const char *owner, const char *id);

#endif
