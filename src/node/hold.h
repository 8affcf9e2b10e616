/* SPDX-License-Identifier: MIT
 * The holder's side of a slice: carries out the LOAD and UNLOAD orders of coordinators (this node itself or another), and reports to them
 * how their stages fare. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_HOLD_H
#define CARAVAN_NODE_HOLD_H

#include "coordinator/coordinator.h"
#include "node/calls.h"
#include "node/measure.h"
#include "node/stages.h"

/* What hold uses of the node; all of it outlives it. */
struct hold_parts {
    uint64_t self;
    const struct identity *identity;
    const uint8_t *link_key; /* [IO_TLS_KEY_SIZE], of ring and weights links; it changes with the cluster's key */
    uint16_t port;           /* this node's own */
    uint64_t memory;         /* bytes that it offers */
    const struct engine_load *load; /* this node's choice of devices and threads */
    const char *cache;       /* folder for fetched weights, and the bytes that they may take there; 0: no limit */
    uint64_t cache_limit;
    struct control *control;
    struct stages *stages;
    struct weights_server *weights;
    const struct catalog *catalog;
    const struct measure *measure;
    struct calls *calls;
    struct serve *serve; /* hears the reports to this node itself */
    struct news *news;
};
struct hold; /* opaque */
struct hold *hold_create(const struct hold_parts *parts);
void hold_free(struct hold *h); /* NULL is fine */

/* Starts the child that an order asks for; addresses in it are looked up by node id. `from`: the coordinator. */
void hold_start(struct hold *h, uint64_t from, struct stage_order *order);
/* Carries out an UNLOAD of the coordinator `from`: ends the instance's stages up to that epoch, as `how` says. STAGE_UNLOAD_IF_IDLE leaves
 * them alone while requests run. */
void hold_unload(struct hold *h, uint64_t from, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how);
/* Bytes of memory that a stage has taken, or, while it loads, is planned to take. */
uint64_t hold_bytes(const struct stage_child *c);
/* The coordinator is gone: the stages that it ordered are ended. */
void hold_node_lost(struct hold *h, uint64_t id);
/* The node has a link again: it hears the state of the stages that it ordered. */
void hold_linked(struct hold *h, uint64_t id);

/* A stage child has spoken, or ended (struct stage_child_callbacks). */
void hold_on_state(struct hold *h, struct stage_child *c, const struct stage_state *s);
void hold_on_exit(struct hold *h, struct stage_child *c, const struct err *why);

#endif
