/* SPDX-License-Identifier: MIT
 * The coordinator of a node decides which models are loaded, where their slices go, and which copies are unloaded. A sans-I/O core: each
 * event comes with the time and with what the node sees of the cluster; what follows from it is taken with coordinator_next_action and
 * carried out by the node (src/node/serve.c). It owns no socket, clock or thread, and it may be called again while its actions are being
 * carried out. One thread at a time.
 *
 * A copy is one instance of a model (coordinator/instance.h) with its wish and its place in the node's record. When nothing changes, the
 * core gives no action for ever: each action follows from a change, or from a limit that has passed once. */
#ifndef CARAVAN_COORDINATOR_COORDINATOR_H
#define CARAVAN_COORDINATOR_COORDINATOR_H

#include "coordinator/instance.h"
#include "members/orphans.h"
#include "members/record.h"

/* The requests of an instance. */
struct coordinator_work {
    uint32_t calls; /* that run or wait */
    clock_us used;  /* when the last one came; 0: never */
};

/* What the node sees of the cluster. The core borrows it for one call. */
struct coordinator_view {
    const struct record *const *records; /* this node's own, then those of linked nodes, then those of nodes out of reach but not gone */
    size_t n_linked;                     /* this node counts */
    size_t n_records;
    int64_t wall;                        /* seconds since 1970 */
    struct coordinator_work (*work)(void *user, const char *instance);           /* as far as this node knows */
    void (*correct)(void *user, const char *arch, struct plan_node *offer);      /* by what was learnt of the node; NULL: nothing was */
    void *user;
};

/* A model with all that its copies have in common. The node makes it from the file's header. It must outlive its copies
 * (coordinator_uses). */
struct coordinator_model {
    const struct plan_model *plan;
    struct plan_wish wish;
    const char *arch, *path;
    char id[65];                /* of the file */
    struct record_model record; /* as others see a copy; the fields that say how a copy is are zero. The core borrows the template. */
};

enum coordinator_action_kind {
    COORDINATOR_LOAD,    /* have `node` load stage `stage` of the instance's epoch: coordinator_find gives the plan */
    COORDINATOR_UNLOAD,  /* have `node` drop what it holds of the instance up to `epoch`, as `how` says */
    COORDINATOR_TAKE,    /* load the model `orphan` here: its coordinator is gone */
    COORDINATOR_TELL,    /* ask `node` to load the model `orphan`, which is its heir */
    COORDINATOR_PUBLISH  /* what others are told of the copies has changed */
};
enum coordinator_unload {
    COORDINATOR_LOST,    /* the epoch is over; its requests may go on in another one */
    COORDINATOR_IF_IDLE, /* the head's node answers: ERR_CANCELLED, it was idle and has gone; ERR_BUSY, it stays */
    COORDINATOR_FOR_GOOD /* its requests end. A head's node answers with ERR_CANCELLED once they have */
};
struct coordinator_action {
    enum coordinator_action_kind kind;
    enum coordinator_unload how;
    char instance[64];
    uint64_t node, epoch;
    uint32_t stage;
    struct orphan orphan;
};

struct coordinator; /* opaque */

/* tag: part of the names and epochs of its instances; another one after each start of the node. */
struct coordinator *coordinator_create(uint64_t self, uint32_t tag);
void coordinator_free(struct coordinator *c); /* nobody is told */
/* Takes the next action; false: there are none. */
bool coordinator_next_action(struct coordinator *c, struct coordinator_action *ret);

/* ---- events ---- */

/* Records or requests have changed, or time has passed. */
void coordinator_update(struct coordinator *c, clock_us now, const struct coordinator_view *v);
/* May this node load the model? ERR_UNAVAILABLE: another node looks after it, and a second copy would be one too many. */
err_code coordinator_may_load(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, struct err *e);
/* Somebody wants the model of this name loaded by this node. True: the node shall read its header and call coordinator_open; else the model
 * is loaded already. */
bool coordinator_load(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                      const struct load_wish *wish);
/* Makes the first copy of a model. ERR_LIMIT: there are too many. */
err_code coordinator_open(struct coordinator *c, clock_us now, const struct coordinator_view *v, const struct coordinator_model *m,
                          struct err *e);
/* Somebody wants the model gone. ERR_NOT_FOUND: this node neither loads nor remembers it. */
err_code coordinator_unload(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, struct err *e);
/* Another model has the name elsewhere: the copies that are called `from` are called `to` from now on. */
void coordinator_rename(struct coordinator *c, const char *from, const char *to);
/* A client wants the model to stay for so long after its last request; negative: for ever. It counts where nobody has loaded the model by
 * hand. */
void coordinator_keep(struct coordinator *c, clock_us now, const char *name, int32_t seconds);
void coordinator_stage_ready(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage);
/* A stage is gone, or an order has not reached its node; or the head's node answers to an UNLOAD. origin: the stage of the ring where the
 * trouble began. */
void coordinator_stage_failed(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage,
                              uint32_t origin, const struct err *why);
/* A node is gone, or was started anew: what it coordinated is remembered for its heir. */
void coordinator_node_lost(struct coordinator *c, clock_us now, const struct record *lost, bool restarted);
/* What this node coordinated before it was started. It is loaded again unless another node looks after it by then. */
void coordinator_restore(struct coordinator *c, clock_us now, const char *self_name, const struct orphans *models,
                         const struct unloads *unloads);

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
/* What the node keeps from one start to the next, for coordinator_restore. *ret is zero. */
void coordinator_saved(const struct coordinator *c, struct orphans *ret);

/* ---- who looks after a model ---- */

/* A node that says that it coordinates a model. Pointers are into its record: valid until records change. */
struct coordinator_claim {
    const struct record_model *model;
    uint64_t node;
    const char *node_name;
    bool linked; /* or this node itself; else the node has been out of reach for a moment */
};
/* Of several claims this node's own, else one that is ready, else one that has not failed. False: nobody looks after it. */
bool coordinator_claimed(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                         struct coordinator_claim *ret);
/* The node that loads a model which nobody looks after: the smallest id of a live node with its file; 0: none has it. */
uint64_t coordinator_heir(const struct coordinator_view *v, const char *name);
/* The node to ask for the model: the one that looks after it, else its heir (0: none). ERR_UNAVAILABLE: that node is out of reach. */
err_code coordinator_loader(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, uint64_t *ret,
                            struct err *e);

#endif
