/* SPDX-License-Identifier: MIT
 * What goes into the coordinator (what a node sees of the cluster, and the models that it may load) and what comes out of it (actions).
 * Values. */
#ifndef CARAVAN_COORDINATOR_VIEW_H
#define CARAVAN_COORDINATOR_VIEW_H

#include "coordinator/instance.h"
#include "members/orphans.h"
#include "members/record.h"
#include "wire/stage.h"

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
    void (*correct)(void *user, const char *arch,
                    struct plan_node *offer);      /* corrects an offer by what was learnt of the node; NULL: nothing was */
    void *user;
};

/* A model with all that its copies have in common. The node makes it from the file's header. It must outlive its copies
 * (coordinator_uses). */
struct coordinator_model {
    const struct plan_model *plan;
    struct plan_wish wish;
    const char *arch, *path;
    char id[65];                /* of the file */
    struct record_model record; /* as others see a copy; the fields about the copy's state are zero. The core borrows the template. */
};

enum coordinator_action_kind {
    COORDINATOR_LOAD,    /* have `node` load stage `stage` of the instance's epoch: coordinator_find gives the plan */
    COORDINATOR_UNLOAD,  /* have `node` drop its stages of the instance up to `epoch`, as `how` says */
    COORDINATOR_TAKE,    /* load the model `orphan` here: its coordinator is gone */
    COORDINATOR_TELL,    /* ask `node` to load the model `orphan`, which is its heir */
    COORDINATOR_ASK_ROOM, /* ask `node` to unload a copy of `model`, which it coordinates, if that is idle (coordinator_give_room) */
    COORDINATOR_PUBLISH  /* this node's record of its copies has changed */
};
struct coordinator_action {
    enum coordinator_action_kind kind;
    enum stage_unload_how how;
    char instance[64];
    uint64_t node, epoch;
    uint32_t stage;
    struct orphan orphan;
    char model[MODEL_NAME_SIZE]; /* COORDINATOR_ASK_ROOM only */
};

/* The record of a node with a link to here, or of this node itself; NULL: there is none. */
const struct record *coordinator_linked(const struct coordinator_view *v, uint64_t node);
/* Can this node send to that one? It can to itself. */
bool coordinator_reaches(const struct coordinator_view *v, uint64_t node);

#endif
