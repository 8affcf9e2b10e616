/* SPDX-License-Identifier: MIT
 * The stage children of a node: starts one for each LOAD order (`caravan stage`, LOCAL link on descriptor 3), gives it the ring sockets
 * that come in for it, passes frames both ways, sees its exit, and ends it in order (DRAIN, then SIGKILL). It does not plan and restarts
 * nothing by itself. Loop thread only; owned by the node. A child's weights are never in this process. */
#ifndef CARAVAN_NODE_STAGE_CHILD_H
#define CARAVAN_NODE_STAGE_CHILD_H

#include "io/loop.h"
#include "wire/stage_msg.h"
#include "wire/frame.h"

enum { STAGES_MAX = 64 };

struct stages;
struct stage_child; /* one child; valid from stages_start until on_exit has returned */

struct stages_callbacks {
    void (*on_state)(void *user, struct stage_child *c, const struct stage_state *s);
    /* The stage could not do something; fatal ones are followed by on_exit. */
    void (*on_fault)(void *user, struct stage_child *c, const struct stage_fault *f);
    /* EVENT, LOGITS, TOKENIZED and whatever else a head sends its node. The payload is valid during the call. */
    void (*on_frame)(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload);
    /* The child is gone, for whatever reason; why->code is ERR_OK when it had been told to go. */
    void (*on_exit)(void *user, struct stage_child *c, const struct err *why);
};

/* program: the path of this binary (copied). */
struct stages *stages_create(struct io_loop *loop, const char *program, const struct stages_callbacks *cb, void *user);
/* Kills what still runs (stages_drain first, for an orderly end). NULL is fine. */
void stages_free(struct stages *s);

err_code stages_start(struct stages *s, const struct stage_order *order, struct stage_child **ret, struct err *e);
const struct stage_order *stage_child_order(const struct stage_child *c);
const struct stage_state *stage_child_state(const struct stage_child *c); /* as last told */
uint32_t stage_child_origin(const struct stage_child *c); /* of its ring's stages, the one whose trouble ended it; itself, mostly */
int stage_child_pid(const struct stage_child *c);
/* Sends a frame to the child. A child that takes no more is killed (its on_exit says so). */
void stage_child_send(struct stage_child *c, enum frame_type type, const void *payload, size_t len);
/* The same, for a request to a head: it is counted. */
void stage_child_ask(struct stage_child *c, enum frame_type type, const void *payload, size_t len);
clock_us stage_child_asked(const struct stage_child *c, uint64_t *ret_count); /* when the last one came, how many there were */
/* How many bytes its parked sequences may take; nothing is sent while that stays the same. */
void stage_child_set_room(struct stage_child *c, uint64_t bytes);
/* Ends it: finishes what runs if `drain`, and is killed after five seconds at the latest. on_exit follows. */
void stage_child_stop(struct stage_child *c, bool drain);

/* The same for a child whose ring is lost: it hears that itself, and tells its requests why before it ends. It is killed after a second. */
void stage_child_fall(struct stage_child *c);

/* The child that holds this place, or NULL. */
struct stage_child *stages_find(struct stages *s, const char *instance, uint64_t epoch, uint32_t stage);
/* The i-th child, NULL behind the last. */
struct stage_child *stages_get(struct stages *s, size_t i);
/* A raw socket whose hello named "ring-<instance>-<epoch>-<stage>.caravan": goes to that child, or is closed (the other side tries again).
 * Takes fd. */
void stages_take(struct stages *s, const char *name, int fd);
size_t stages_count(struct stages *s);

#endif
