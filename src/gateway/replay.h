/* SPDX-License-Identifier: MIT
 * A request that lost the place where it ran (a stage, a ring, a node) and is sent again, to that model's next instance or to another
 * copy. It waits, longer after each attempt, until the backend has a place for it; its owner keeps what it has been given, and sends a
 * request that goes on behind that. There are limits: a time for each wait, and a number of places that one request may lose. A request
 * that was in flight at two crashes in a row, with nothing beside it the second time, is the reason, and ends. Owned by the sender of the
 * request, made at its first loss; freeing it ends the waiting. Loop thread; callbacks come from the loop, but for `fail`, which
 * replay_lost may call itself. Either may free it. */
#ifndef CARAVAN_GATEWAY_REPLAY_H
#define CARAVAN_GATEWAY_REPLAY_H

#include <stdbool.h>

#include "base/err.h"

struct gateway;
struct replay;

struct replay_owner {
    const char *model; /* as the backend names it; must outlive the replay */
    const char *what;  /* for the log; so too */
    void *user;
    err_code (*send)(void *user, struct err *e);                         /* submits it again */
    void (*fail)(void *user, err_code code, const struct err *e);        /* nothing can serve it: it is over */
};

/* Is this the loss of a place, which another one makes good? (Else it lies in the request, and would come again.) */
bool replay_may(const struct gateway *g, err_code code);
/* Was it in flight when a process crashed? Then it is computed alone, until it has shown that it isn't the reason. NULL is fine. */
bool replay_is_suspect(const struct replay *r);
/* `*at` (NULL at first) is made, and the request will be sent again. */
void replay_lost(struct replay **at, struct gateway *g, const struct replay_owner *owner, const struct err *why);
/* It runs: an event has come, or even a token. NULL is fine. */
void replay_runs(struct replay *r, bool token);
void replay_free(struct replay *r); /* NULL is fine */

#endif
