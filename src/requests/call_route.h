/* SPDX-License-Identifier: MIT
 * Where a call goes: the alias that its body names, the targets of that alias, and the way from a target that failed to the next one.
 * Loop thread, but where a function says otherwise. */
#ifndef CARAVAN_REQUESTS_CALL_ROUTE_H
#define CARAVAN_REQUESTS_CALL_ROUTE_H

#include "requests/call_priv.h"

/* The call keeps the table that holds now until it ends. */
void call_route_begin(struct call *call);
/* Reads what the request's headers and its key say about the way. ERR_INVALID names the header. */
err_code call_route_headers(struct call *call, struct err *e);
/* A copy for another thread, which owns the table too; call_route_drop gives it up. */
struct call_route call_route_keep(const struct call_route *route);
void call_route_drop(struct call_route *route);
/* The body is there: finds its alias and session. Returns the body as the alias changes it (yyjson_doc_free); NULL: it stays as it is. */
yyjson_doc *call_route_take(struct call_route *route, yyjson_val *root);
/* Chooses the first target, and puts what the alias says before the chat. */
void call_route_choose(struct call *call);
/* The name of the model that is to be asked. */
const char *call_route_model(const struct call *call);
/* The upstream that is to be asked; NULL: the model is one of the cluster. */
const struct upstream *call_route_upstream(const struct call *call);
/* May a body with this alias leave the cluster? Any thread. */
bool call_route_may_leave(const struct call_route *route);
/* The call failed before its client saw anything: is there a target that may be asked instead? _next goes on to it; the request is again
 * what it was before the first one. */
bool call_route_leaves(const struct call *call, err_code code);
void call_route_next(struct call *call, err_code code);
/* The target failed in the middle of the answer. If another one serves the same model, it becomes the target; else false. A model of the
 * cluster may be one that has to be loaded; an upstream has to be one that continues answers. useless: the target has added nothing, so it
 * is not asked again before another one has. */
bool call_route_same(struct call *call, err_code code, bool useless);
/* The answer has grown. */
void call_route_grows(struct call *call);
/* Might an answer that a model of the cluster has begun go on at an upstream? */
bool call_route_has_same(const struct call *call);

/* Would the call wait longer than a later target allows? Then it goes on to that target: the next state is ROUTING. */
bool call_route_is_slow(struct call *call, clock_us wait);

#endif
