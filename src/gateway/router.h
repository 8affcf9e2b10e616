/* SPDX-License-Identifier: MIT
 * Which of several replicas gets a request. Least outstanding work wins; a replica that has seen the beginning of this prompt before is
 * taken instead unless it is clearly busier, but one of this machine that has nothing to do goes before all others. One that has failed is
 * left alone for a while, longer after each failure in a row, so that a node which answers errors at once attracts nothing. Where all have
 * failed, the one whose time is up first is tried.
 * Keeps what is known of each instance: requests from here, requests as its head says, when it was last used.
 * A sans-I/O core: time is an argument. One thread. It doesn't know models: the caller names the instances that could answer. */
#ifndef CARAVAN_GATEWAY_ROUTER_H
#define CARAVAN_GATEWAY_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

enum { ROUTER_MAX_NAME = 64, ROUTER_MAX_PREFIX = 64, ROUTER_BLOCK = 256 };

/* A prompt's beginning, as hashes of its first 1, 2, 3, ... blocks of ROUTER_BLOCK bytes. */
struct router_prefix {
    uint64_t hash[ROUTER_MAX_PREFIX];
    uint32_t n;
};
void router_prefix_make(const void *prompt, size_t len, struct router_prefix *ret);

struct router;
struct router *router_create(void);
void router_free(struct router *r); /* NULL is fine */

/* An instance that could answer, and how many requests it may have at once, waiting ones included. */
struct router_target {
    const char *instance;
    uint32_t capacity;
    bool here; /* its head is on this machine */
};
/* *ret: index of the one that shall. ERR_BUSY: all are full. n is at least 1. */
err_code router_pick(struct router *r, clock_us now, const struct router_target *targets, size_t n, const struct router_prefix *prefix,
                     size_t *ret, struct err *e);
/* A request went to an instance; it has ended. failed: through no fault of the request. */
void router_begin(struct router *r, clock_us now, const char *instance, const struct router_prefix *prefix);
void router_end(struct router *r, clock_us now, const char *instance, bool failed);
/* Its head says: so many run and wait now, and the last one came at this time. */
void router_report(struct router *r, clock_us now, const char *instance, uint32_t calls, clock_us used);
/* Requests that it has, as far as is known, and when it last had one, or was first heard of. */
uint32_t router_load(struct router *r, clock_us now, const char *instance);
clock_us router_used(struct router *r, clock_us now, const char *instance);
/* Forgets what belongs to instances that keep(user, instance) does not know any more. */
void router_sweep(struct router *r, bool (*keep)(void *user, const char *instance), void *user);

#endif
