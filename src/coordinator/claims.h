/* SPDX-License-Identifier: MIT
 * Who looks after a model: the node whose record names it (its coordinator), else its heir. So two nodes that are asked at the same time
 * ask the same third one. And the models whose coordinator is gone: what it was asked for is remembered (members/orphans), and loaded as it
 * was. Part of the coordinator (coordinator/coordinator.h). */
#ifndef CARAVAN_COORDINATOR_CLAIMS_H
#define CARAVAN_COORDINATOR_CLAIMS_H

#include "coordinator/view.h"

struct coordinator;
struct copy;

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

/* Fills in what *wish does not give from the last wish for the model that this node knows of: of its own copies, a failed one included, of
 * a coordinator that is gone, or in the record of another node, which may be out of reach. A user's wish counts more than a request's. A
 * wish from before the last unload does not count. A *wish that says when it was asked for is such an earlier one itself, as another node
 * remembers it: a weightier one replaces it. */
void coordinator_wish(const struct coordinator *c, const struct coordinator_view *v, const char *name, struct load_wish *wish);

/* ---- models whose coordinator is gone ---- */

/* A node is gone, or was started again: the models that it coordinated are remembered for their heirs. */
void coordinator_node_lost(struct coordinator *c, clock_us now, const struct record *lost, bool restarted);
/* The models that this node coordinated before it was started. They are loaded again unless other nodes look after them by then. */
void coordinator_restore(struct coordinator *c, clock_us now, const char *self_name, const struct orphans *models,
                         const struct unloads *unloads);

/* The models that the node keeps from one start to the next, for coordinator_restore. *ret is zero. */
void coordinator_saved(const struct coordinator *c, struct orphans *ret);

/* ---- for the coordinator's rules ---- */

/* Loads models whose coordinator is gone, or tells their heirs. */
void claims_update(struct coordinator *c, clock_us now, const struct coordinator_view *v);
/* Seconds since 1970, for a load that is asked for now: not before the last unload, on whichever node that was, even if the clock there is
 * ahead. */
uint32_t claims_now(const struct coordinator *c, const struct coordinator_view *v, const char *name);
/* Does another node coordinate the model too, so that this node has to unload its copies? */
bool claims_yields(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x);

#endif
