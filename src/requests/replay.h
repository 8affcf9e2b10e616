/* SPDX-License-Identifier: MIT
 * Sends a request again after it lost its place (a stage, a ring, a node): to the model's next instance, or to another copy. It waits
 * until the backend has a place, with a pause after each attempt that grows. The owner of the request keeps the tokens that it has, and
 * sends a request that continues after them. One wait has a longest time, and one request may lose a limited number of places. A
 * request that was in flight at two crashes in a row, alone at the second one, has caused them; it ends with an error. The sender of the
 * request owns the replay. It is made at the first loss; freeing it ends the waiting. Loop thread. Callbacks come from the loop; only
 * `fail` may also be called by replay_lost itself. Either callback may free the replay. */
#ifndef CARAVAN_REQUESTS_REPLAY_H
#define CARAVAN_REQUESTS_REPLAY_H

#include <stdbool.h>

#include "base/err.h"

struct gateway;
struct replay;

struct replay_owner {
    const char *model; /* as the backend names it; must outlive the replay */
    const char *what;  /* for the log; must outlive the replay */
    void *user;
    /* True: the request goes on elsewhere, and the replay is freed. Asked by the loop before each attempt. May be NULL. */
    bool (*leave)(void *user, const struct err *why);
    err_code (*send)(void *user, struct err *e);                         /* submits the request again */
    void (*fail)(void *user, err_code code, const struct err *e);        /* the request can't be served and ends */
};

/* Does this error mean that the place was lost, so that the request can go on in another one? Other errors would come again. */
bool replay_may(const struct gateway *g, err_code code);
/* Was the request in flight when a process crashed? Then it is computed alone until it has given enough tokens. NULL is fine. */
bool replay_is_suspect(const struct replay *r);
/* Creates *at if it is NULL, and sends the request again when there is a place for it. */
void replay_lost(struct replay **at, struct gateway *g, const struct replay_owner *owner, const struct err *why);
/* The request runs: an event has come; token: a token. NULL is fine. */
void replay_runs(struct replay *r, bool token);
void replay_free(struct replay *r); /* NULL is fine */

#endif
