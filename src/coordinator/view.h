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
    clock_us used;  /* when there last was one; 0: never */
};

/* The requests for a model that wait in the gateways of all nodes. */
struct coordinator_queue {
    uint32_t calls;
    clock_us work;   /* what they and those that run will take if one is computed at a time, as predicted; 0: not known */
    clock_us oldest; /* for how long the first of them has waited */
};

/* When copies come and go by the load, and when models take turns in a room that holds one of them. */
struct coordinator_tuning {
    clock_us up_wait;   /* a further copy is loaded when requests would wait longer than this, */
    clock_us up_for;    /* and have done so for this time; */
    clock_us down_for;  /* and a copy leaves when the others could have carried the load for this time */
    clock_us swap_wait; /* a model waits so long for a busy one to be idle; then that one gets no further requests */
};

enum { COORDINATOR_MAX_SLEEPERS = 64 };
/* A machine that is asleep, and that a magic packet may wake. */
struct coordinator_sleeper {
    uint64_t id; /* its node */
    char name[64];
    uint64_t memory; /* bytes that it last offered; 0: not known */
};

/* What the node sees of the cluster. The core borrows it for one call. */
struct coordinator_view {
    const struct record *const *records; /* this node's own, then those of linked nodes, then those of nodes out of reach but not gone */
    size_t n_linked; /* this node counts */
    size_t n_records;
    const struct coordinator_sleeper *sleepers; /* n_sleepers 0: there are none, or models wake none */
    size_t n_sleepers;                          /* at most COORDINATOR_MAX_SLEEPERS */
    int64_t wall; /* seconds since 1970 */
    struct coordinator_work (*work)(void *user, const char *instance); /* as far as this node knows */
    struct coordinator_queue (*queue)(void *user, const char *model); /* likewise */
    void (*correct)(void *user, const char *arch,
                    struct plan_node *offer); /* corrects an offer by what was learnt of the node; NULL: nothing was */
    void *user;
};

/* A model with all that its copies have in common. The node makes it from the file's header. It must outlive its copies
 * (coordinator_uses). */
struct coordinator_model {
    const struct plan_model *plan;
    struct plan_wish wish;
    const char *arch, *path;
    char id[65]; /* of the file */
    struct record_model record; /* as others see a copy; the fields about the copy's state are zero. The core borrows the template. */
};

/* What leaves for another coordinator's model. */
enum coordinator_room {
    COORDINATOR_ROOM_IDLE, /* a copy that is idle */
    COORDINATOR_ROOM_FURTHER, /* else one that came with the load, beside the first: it gets no requests, and goes once it is idle */
    COORDINATOR_ROOM_BUSY /* else any, likewise: the other model has waited long enough */
};

enum coordinator_action_kind {
    COORDINATOR_LOAD, /* have `node` load stage `stage` of the instance's epoch: coordinator_find gives the plan */
    COORDINATOR_UNLOAD, /* have `node` drop its stages of the instance up to `epoch`, as `how` says */
    COORDINATOR_TAKE, /* load the model `orphan` here: its coordinator is gone */
    COORDINATOR_TELL, /* ask `node` to load the model `orphan`, which is its heir */
    COORDINATOR_ASK_ROOM, /* ask `node` to unload a copy of `model`, which it coordinates (coordinator_give_room) */
    COORDINATOR_WAKE, /* send magic packets to the machine of `node`, which is asleep */
    COORDINATOR_PUBLISH /* this node's record of its copies has changed */
};
struct coordinator_action {
    enum coordinator_action_kind kind;
    enum stage_unload_how how;
    char instance[64];
    uint64_t node, epoch;
    uint32_t stage;
    struct orphan orphan;
    char model[MODEL_NAME_SIZE]; /* COORDINATOR_ASK_ROOM only */
    enum coordinator_room room; /* likewise */
};

/* The record of a node with a link to here, or of this node itself; NULL: there is none. */
const struct record *coordinator_linked(const struct coordinator_view *v, uint64_t node);
/* Can this node send to that one? It can to itself. */
bool coordinator_reaches(const struct coordinator_view *v, uint64_t node);

#endif
