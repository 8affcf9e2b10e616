/* SPDX-License-Identifier: MIT
 * Requests that run through this node, from its gateway or from other nodes, to a head here or elsewhere.
 * Implements gateway/backend.h. Loop thread only. */
#ifndef CARAVAN_NODE_CALLS_H
#define CARAVAN_NODE_CALLS_H

#include "base/clock.h"
#include "gateway/backend.h"
#include "node/stage_child.h"

struct node;
struct calls;

struct calls *calls_create(struct node *n);
void calls_free(struct calls *c);
struct backend calls_backend(struct node *n);
err_code calls_on_submit(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
void calls_on_cancel(struct node *n, uint64_t from, uint64_t id);
/* An event from a stage child (child not NULL) or from another node. */
err_code calls_on_event(struct node *n, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);
/* TOKENIZE from another node; TOKENIZED from a stage child (not NULL) or from another node. */
err_code calls_on_tokenize(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code calls_on_tokenized(struct node *n, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);
/* What this child was to answer ends, for this reason. */
void calls_fail(struct node *n, struct stage_child *child, const struct err *why);
void calls_child_lost(struct node *n, struct stage_child *child, const struct err *why);
void calls_node_lost(struct node *n, uint64_t node, const struct err *why);
size_t calls_count(const struct calls *c);
/* Requests of an instance, as far as this node knows; when it last had one. */
uint32_t calls_load(struct node *n, const char *instance);
clock_us calls_used(struct node *n, const char *instance);
/* Records have changed, or time has passed. */
void calls_update(struct node *n);
void calls_tell_busy(struct node *n);
void calls_tell_anew(struct node *n); /* a node is linked that may not have heard how much work the heads here have */
err_code calls_on_busy(struct node *n, const uint8_t *payload, size_t len, struct err *e);
/* Requests that its head, here, works on or has queued. */
size_t calls_on_instance(const struct calls *c, const char *instance);

#endif
