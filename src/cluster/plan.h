/* SPDX-License-Identifier: MIT
 * The plan: which node carries which layers. A pure function of the model's needs, the nodes' offers and the wishes; no I/O, any thread.
 * It says in plain words what it chose and why (plan_explain), and, when nothing fits, what is missing and what would help.
 * It doesn't measure, load or talk to anybody: cluster/instance does what a plan says. */
#ifndef CARAVAN_CLUSTER_PLAN_H
#define CARAVAN_CLUSTER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { PLAN_MAX_STAGES = 64, PLAN_MAX_LAYERS = 1024 };

/* One node's offer. */
struct plan_node {
    uint64_t id;
    char name[64];
    uint64_t memory; /* bytes it offers to this model */
};

/* What a model asks for. `need` gives the bytes that a node must have for layers [first, end): weights, KV and compute buffers. */
struct plan_model {
    const char *name;
    uint32_t n_layer;
    bool (*may)(void *user, uint32_t first, uint32_t end); /* may layers [first, end) be a slice? */
    const char *whole_reason; /* why it runs whole only, NULL if it may be cut */
    uint64_t (*need)(void *user, uint32_t first, uint32_t end);
    void *user;
};

enum plan_placement {
    PLAN_MEMORY, /* whole on one node if it fits there, else layers in proportion to offered memory */
    PLAN_EVEN,   /* the same number of layers for each node, as nearly as the cuts allow */
    PLAN_LIST    /* so many layers for each node, in the nodes' order */
};
struct plan_wish {
    enum plan_placement placement;
    uint32_t list[PLAN_MAX_STAGES];
    uint32_t n_list;
};

/* "memory", "even" or "3,1,4". */
err_code plan_wish_parse(const char *text, struct plan_wish *ret, struct err *e);

struct plan_stage {
    uint32_t node; /* index into the nodes given */
    uint32_t first, end;
    uint64_t bytes;
};
struct plan {
    uint32_t n_stage;
    struct plan_stage stages[PLAN_MAX_STAGES];
    uint64_t bytes_whole; /* what one node would need to hold all of it */
};

/* nodes[0] is the node that has been asked (it becomes the head). ERR_NO_ROOM: more memory is needed (the text says how much);
 * ERR_WHOLE_ONLY: it would have to be cut and must not be; ERR_INVALID: the list does not fit model or nodes. */
err_code plan_make(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                   struct plan *ret, struct err *e);

/* A paragraph for people: what was chosen, why, who carries what. */
void plan_explain(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, struct buf *out);

#endif
