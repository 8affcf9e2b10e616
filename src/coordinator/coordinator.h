/* SPDX-License-Identifier: MIT
 * The coordinator of a node decides which models are loaded, where their slices go, and which copies are unloaded. A sans-I/O core: each
 * event comes with the time and with what the node sees of the cluster; the resulting actions are taken with coordinator_next_action and
 * carried out by the node (loading/serve). It owns no socket, clock or thread, and it may be called again while its actions are being
 * carried out. One thread at a time.
 *
 * A copy is one instance of a model (coordinator/instance.h) with its wish and its place in the node's record. As long as nothing changes
 * there are no actions: each follows from a change, or from a limit that has passed. */
#ifndef CARAVAN_COORDINATOR_COORDINATOR_H
#define CARAVAN_COORDINATOR_COORDINATOR_H

#include "coordinator/claims.h"
#include "coordinator/view.h"

struct coordinator; /* opaque */

/* tag: part of the names and epochs of its instances; it differs from start to start of the node. */
struct coordinator *coordinator_create(uint64_t self, uint32_t tag);
void coordinator_free(struct coordinator *c); /* nobody is told */
/* Without it: 5 s, 15 s, 120 s, 10 s. */
void coordinator_tune(struct coordinator *c, const struct coordinator_tuning *t);
/* Takes the next action; false: there are none. */
bool coordinator_next_action(struct coordinator *c, struct coordinator_action *ret);

/* ---- events ---- */

/* Records or requests have changed, or time has passed. */
void coordinator_update(struct coordinator *c, clock_us now, const struct coordinator_view *v);
/* May this node load the model? ERR_UNAVAILABLE: another node looks after it, and a second copy would be one too many. */
err_code coordinator_may_load(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, struct err *e);
/* Somebody wants the model of this name loaded by this node. True: the node has to read its header and call coordinator_open. False: the
 * model is loaded already. */
bool coordinator_load(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                      const struct load_wish *wish);
/* Makes the first copy of a model. ERR_LIMIT: there are too many. */
err_code coordinator_open(struct coordinator *c, clock_us now, const struct coordinator_view *v, const struct coordinator_model *m,
                          struct err *e);
/* Somebody wants the model unloaded. ERR_NOT_FOUND: this node neither loads nor remembers it. */
err_code coordinator_unload(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, struct err *e);
/* Another coordinator needs the room of a copy of this model: the head's node of an idle one is asked to drop it. ERR_NOT_FOUND: this node
 * does not coordinate it. ERR_BUSY: every copy that may leave has work, or has just been loaded. */
err_code coordinator_give_room(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                               enum coordinator_room room, struct err *e);
/* Another model has the name elsewhere: the copies that are called `from` are called `to` from now on. */
void coordinator_rename(struct coordinator *c, const char *from, const char *to);
/* A client wants the model to stay for so long after its last request; negative: for ever. A model that was loaded by hand stays anyway,
 * unless the client may unload it (may_unload) and wants 0 seconds: then it goes as soon as it is idle. */
void coordinator_keep(struct coordinator *c, clock_us now, const char *name, int32_t seconds, bool may_unload);
void coordinator_stage_ready(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage);
/* A stage is gone, or an order has not reached its node, or the head's node answers to an UNLOAD. origin: the stage of the ring where the
 * trouble began. */
void coordinator_stage_failed(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage,
                              uint32_t origin, const struct err *why);
/* ---- what there is ---- */

/* The i-th copy as others see it; NULL: there are no more. Valid until the next event. */
const struct record_model *coordinator_get(const struct coordinator *c, size_t i);
size_t coordinator_count(const struct coordinator *c);
/* An instance of this coordinator with its model; NULL: there is none. Valid until the next event. */
const struct instance *coordinator_find(const struct coordinator *c, const char *instance, const struct coordinator_model **ret_model);
/* Has the model any copies, those that are being unloaded included? */
bool coordinator_uses(const struct coordinator *c, const struct coordinator_model *m);
const struct orphans *coordinator_orphans(const struct coordinator *c);
const struct unloads *coordinator_unloads(const struct coordinator *c);

#endif
