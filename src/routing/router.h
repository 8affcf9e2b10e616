/* SPDX-License-Identifier: MIT
 * Chooses the replica that gets a request: the one that will be the first to have answered it, as predicted. The prediction for a replica
 * has two parts, both at the pace that its own answers have shown (pace.h): the time for its outstanding requests, divided by its places,
 * and the time for this request, without the beginning of the prompt that the replica has computed before. So the time that a cached
 * beginning saves is weighed against the wait, and a busy replica loses requests however much it has cached. If predictions are about
 * equal, these rules decide, in order: the replica on this machine, the one that knows most of the prompt, the one that was chosen longest
 * ago. A session stays at its replica unless another one is faster by more than the time of a usual request.
 * A replica that has failed rests (breaker.h), so one that fails at once doesn't attract all requests. If all rest, the one whose pause
 * ends first is tried.
 * The router doesn't know models: the caller names the instances that could answer. A core: time is an argument. One thread. */
#ifndef CARAVAN_ROUTING_ROUTER_H
#define CARAVAN_ROUTING_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"

enum { ROUTER_MAX_NAME = 64, ROUTER_MAX_PREFIX = 64, ROUTER_BLOCK = 256, ROUTER_BLOCK_TOKENS = 64 /* about */ };

/* What the choice knows of a request. */
struct router_request {
    uint64_t hash[ROUTER_MAX_PREFIX]; /* of the prompt's first 1, 2, 3, ... blocks of ROUTER_BLOCK bytes */
    uint32_t n;
    uint64_t tokens;           /* of the prompt, about */
    int32_t max_answer;        /* tokens; -1: any number */
    uint64_t session;          /* 0: none */
};
/* A request with this prompt, without a session. */
void router_request_make(const void *prompt, size_t len, int32_t max_answer, struct router_request *ret);

struct router;
struct router *router_create(void);
void router_free(struct router *r); /* NULL is fine */

/* An instance that could answer. capacity: requests that it may have at once, including those that wait. */
struct router_target {
    const char *instance;
    uint32_t capacity;
    bool here;                 /* its head is on this machine */
    uint32_t places;           /* requests that it computes at the same time; 0 counts as 1 */
};
/* *ret: the index of the target that is chosen. n is at least 1. request may be NULL. ERR_BUSY: all targets are full. */
err_code router_pick(struct router *r, clock_us now, const struct router_target *targets, size_t n, const struct router_request *request,
                     size_t *ret, struct err *e);
/* A request was sent to an instance. Returns the time that it will take there, as predicted, for router_end. */
clock_us router_begin(struct router *r, clock_us now, const char *instance, const struct router_request *request);
/* It has ended. failed: for a reason that speaks against the instance. */
void router_end(struct router *r, clock_us now, const char *instance, clock_us predicted, bool failed);
/* What a request that has ended took there (pace.h). */
void router_learn(struct router *r, clock_us now, const char *instance, uint64_t prompt_tokens, uint64_t prompt_us, uint64_t answer_tokens,
                  uint64_t answer_us);
/* An instance's head has reported how many requests run and wait there, and when the last one came. If there are any, the
 * instance is in use until the next report. */
void router_report(struct router *r, clock_us now, const char *instance, uint32_t calls, clock_us used);
/* How many requests the instance has, as far as this node knows; when it last had one, or was first seen. */
uint32_t router_load(struct router *r, clock_us now, const char *instance);
clock_us router_used(struct router *r, clock_us now, const char *instance);
/* Forgets the instances for which keep(user, instance) is false. */
void router_sweep(struct router *r, bool (*keep)(void *user, const char *instance), void *user);

#endif
