/* SPDX-License-Identifier: MIT
 * The holder's side of a slice: carries out the LOAD and UNLOAD orders of coordinators, and tells them how their stages fare.
 * Loop thread only. */
#ifndef CARAVAN_NODE_HOLD_H
#define CARAVAN_NODE_HOLD_H

#include "coordinator/coordinator.h"
#include "node/stage_child.h"

struct node;

/* Starts the child that an order asks for; addresses in it are looked up by node id. `from`: the coordinator. */
void hold_start(struct node *n, uint64_t from, struct stage_order *order);
/* Carries out an UNLOAD of the coordinator `from`: this node holds stages of the instance no more up to that epoch, or still does if they
 * are to go only when idle and are not. */
void hold_unload(struct node *n, uint64_t from, const char *instance, uint64_t up_to_epoch, enum coordinator_unload how);
/* Memory that a stage has taken, or will. */
uint64_t hold_bytes(const struct stage_child *c);
/* The coordinator is gone: what it ordered is dropped. */
void hold_node_lost(struct node *n, uint64_t id);
/* Its coordinator can be told again how its stages here fare. */
void hold_linked(struct node *n, uint64_t id);
extern const struct stages_callbacks hold_callbacks;

#endif
