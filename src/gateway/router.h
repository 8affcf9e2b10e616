/* SPDX-License-Identifier: MIT
 * Chooses the replica that gets a request. These rules hold, the first one first:
 * - A replica on this machine that has nothing to do is taken.
 * - A replica that has seen the beginning of the prompt is taken, unless it is clearly busier than the others.
 * - The replica with the fewest outstanding requests is taken.
 * A replica that has failed gets no requests for a while, longer after each failure in a row, so that a node that fails at once doesn't
 * attract all requests. If all have failed, the replica whose pause ends first is tried.
 * The router knows of each instance: its requests from here, its requests by its own report, when it was last used. It doesn't know models:
 * the caller names the instances that could answer. A core without I/O: time is an argument. One thread. */
#ifndef CARAVAN_GATEWAY_ROUTER_H
#define CARAVAN_GATEWAY_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

enum { ROUTER_MAX_NAME = 64, ROUTER_MAX_PREFIX = 64, ROUTER_BLOCK = 256 };

/* The beginning of a prompt: hashes of its first 1, 2, 3, ... blocks of ROUTER_BLOCK bytes. */
struct router_prefix {
    uint64_t hash[ROUTER_MAX_PREFIX];
    uint32_t n;
};
void router_prefix_make(const void *prompt, size_t len, struct router_prefix *ret);

struct router;
struct router *router_create(void);
void router_free(struct router *r); /* NULL is fine */

/* An instance that could answer. capacity: requests that it may have at once, including those that wait. */
struct router_target {
    const char *instance;
    uint32_t capacity;
    bool here; /* its head is on this machine */
};
/* *ret: the index of the target that is chosen. n is at least 1. ERR_BUSY: all targets are full. */
err_code router_pick(struct router *r, clock_us now, const struct router_target *targets, size_t n, const struct router_prefix *prefix,
                     size_t *ret, struct err *e);
/* A request was sent to an instance; a request of it has ended. failed: for a reason that is not the request's. */
void router_begin(struct router *r, clock_us now, const char *instance, const struct router_prefix *prefix);
void router_end(struct router *r, clock_us now, const char *instance, bool failed);
/* The report of an instance's head: how many requests run and wait there, and when the last one came. */
void router_report(struct router *r, clock_us now, const char *instance, uint32_t calls, clock_us used);
/* How many requests the instance has, as far as this node knows; when it last had one, or when it was first seen. */
uint32_t router_load(struct router *r, clock_us now, const char *instance);
clock_us router_used(struct router *r, clock_us now, const char *instance);
/* Forgets the instances for which keep(user, instance) is false. */
void router_sweep(struct router *r, bool (*keep)(void *user, const char *instance), void *user);

#endif
