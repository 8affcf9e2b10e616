/* SPDX-License-Identifier: MIT
 * One model on a set of nodes, as its coordinator (the node that was asked to serve it) sees it: waits until the nodes' offers hold it,
 * plans, orders the slices to be loaded, watches, and plans again under a higher epoch when a stage, a link or a node is gone. A sans-I/O
 * core: (now, input) -> actions; it owns no socket, clock or thread. loading/serve carries its actions out. */
#ifndef CARAVAN_COORDINATOR_INSTANCE_H
#define CARAVAN_COORDINATOR_INSTANCE_H

#include "base/clock.h"
#include "plan/plan.h"

enum instance_state {
    INSTANCE_WAITING, /* the present nodes cannot hold it, or there is a pause after a failure */
    INSTANCE_LOADING, /* slices are ordered; not every stage has said that it is ready */
    INSTANCE_READY,   /* answers requests */
    INSTANCE_STATE_COUNT
};
const char *instance_state_name(enum instance_state s);

enum instance_action_kind {
    INSTANCE_LOAD,   /* have `node` load stage `stage` of `epoch` (look the slice up with instance_plan) */
    INSTANCE_UNLOAD, /* have `node` drop what it holds of epochs up to `epoch` */
    INSTANCE_SAY     /* write `text` to the log; a trouble of the same causes is said once */
};
struct instance_action {
    enum instance_action_kind kind;
    uint64_t node;
    uint64_t epoch;
    uint32_t stage;
    char *text; /* the instance owns it; valid until the next action is taken */
};

struct instance; /* opaque */

/* `model` must outlive the instance (its callbacks are used in planning). self: the coordinator's node id. */
struct instance *instance_create(const struct plan_model *model, const struct plan_wish *wish, uint64_t self);
void instance_free(struct instance *in);

/* The nodes that offer memory, nodes[0] the coordinator if it is one of them. A node of the running plan that is missing counts as lost. */
void instance_set_nodes(struct instance *in, clock_us now, const struct plan_node *nodes, uint32_t n);
/* Nodes that are there and offer nothing to further plans; before instance_set_nodes. */
void instance_set_leaving(struct instance *in, const uint64_t *nodes, uint32_t n);
/* A stage reports. Reports of another epoch, or from a node that does not hold the stage, are ignored (fencing). */
void instance_stage_ready(struct instance *in, clock_us now, uint64_t node, uint64_t epoch, uint32_t stage);
/* origin: the stage of the ring where the trouble began. Where a link, or a whole machine, doesn't answer (TIMEOUT, NETWORK), the links of
 * its node are avoided for ten minutes as far as there is another way. */
void instance_stage_failed(struct instance *in, clock_us now, uint64_t node, uint64_t epoch, uint32_t stage, uint32_t origin,
                           const struct err *why);
/* It is to be planned anew with the nodes that are here now. It must be ready. */
void instance_replan(struct instance *in, clock_us now);
/* Time passes: retries after a pause, gives up on loads that never finish. *ret_next: when to call again (UINT64_MAX: no need). */
void instance_tick(struct instance *in, clock_us now, clock_us *ret_next);

/* Takes the next action; false: none left. */
bool instance_next_action(struct instance *in, struct instance_action *ret);

enum instance_state instance_get_state(const struct instance *in);
uint64_t instance_epoch(const struct instance *in);
const struct plan *instance_plan(const struct instance *in);         /* of the current epoch; n_stage 0 while waiting */
const struct plan_node *instance_node(const struct instance *in, uint32_t stage); /* who holds that stage of the plan */
const char *instance_message(const struct instance *in);            /* last thing said; "" if nothing */
/* Why the last load failed; "": it worked, or there was none. Later plans do not change it. */
const char *instance_reason(const struct instance *in);
/* Why it waits: the error of the last plan; ERR_OK: the plan could be made. */
err_code instance_trouble(const struct instance *in);
uint32_t instance_failures(const struct instance *in);              /* failed loads in a row */
uint32_t instance_stages_ready(const struct instance *in);

#endif
