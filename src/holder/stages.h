/* SPDX-License-Identifier: MIT
 * The stage children of a node (holder/stage_child): starts one for each LOAD order, finds them, and gives them the ring sockets that come
 * in for them. It does not plan and restarts nothing by itself. Loop thread only; owned by the node. */
#ifndef CARAVAN_HOLDER_STAGES_H
#define CARAVAN_HOLDER_STAGES_H

#include "holder/stage_child.h"

enum { STAGES_MAX = 64 };

struct stages; /* opaque */
/* program: the path of this binary (copied). */
struct stages *stages_create(struct io_loop *loop, const char *program, const struct stage_child_callbacks *cb, void *user);
/* Kills the children that still run (stage_child_stop first, for an orderly end). NULL is fine. */
void stages_free(struct stages *s);

/* ERR_LIMIT, or why the process cannot be started. */
err_code stages_start(struct stages *s, const struct stage_order *order, struct stage_child **ret, struct err *e);
/* The child that holds this place, or NULL. */
struct stage_child *stages_find(struct stages *s, const char *instance, uint64_t epoch, uint32_t stage);
/* The i-th child, NULL after the last. */
struct stage_child *stages_get(struct stages *s, size_t i);
size_t stages_count(struct stages *s);
/* Bytes that the ring links of all children have sent, also of those that have ended: it only grows. */
uint64_t stages_sent(const struct stages *s);
/* A raw socket whose hello named "ring-<instance>-<epoch>-<stage>.caravan": goes to that child, or is closed (the other side tries again).
 * Takes fd. */
void stages_take(struct stages *s, const char *name, int fd);

#endif
