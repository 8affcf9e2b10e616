/* SPDX-License-Identifier: MIT
 * The holder's side of a slice: carries out the LOAD and UNLOAD orders of coordinators (this node itself or another), and reports to them
 * how their stages fare. Loop thread only; owned by the node. */
#ifndef CARAVAN_HOLDER_HOLD_H
#define CARAVAN_HOLDER_HOLD_H

#include "catalog/catalog.h"
#include "holder/stages.h"
#include "members/control.h"
#include "peers/news.h"

/* What hold tells or asks the node above it. */
struct hold_callbacks {
    /* A report about a stage that this node itself has ordered. */
    void (*report)(void *user, const struct stage_report *r);
    /* Do requests run that the instance's head, on this node, has to answer? */
    bool (*busy)(void *user, const char *instance);
    /* Ends the requests that heads of this instance were to answer here, with this reason. Those of a lost child may go elsewhere. */
    void (*fail)(void *user, const char *instance, const struct err *why);
    void (*lost)(void *user, struct stage_child *c, const struct err *why);
};

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
    const char *prefixes;    /* folder for kept sequences, and the bytes that they may take there; 0: none are kept */
    uint64_t prefixes_limit;
    struct control *control;
    struct stages *stages;
    struct weights_server *weights;
    const struct catalog *catalog;
    struct news *news;
    struct hold_callbacks callbacks;
    void *user;
};
struct hold; /* opaque */
struct hold *hold_create(const struct hold_parts *parts);
void hold_free(struct hold *h); /* NULL is fine */

/* Starts the child that an order asks for; addresses in it are looked up by node id. `from`: the coordinator. */
void hold_start(struct hold *h, uint64_t from, struct stage_order *order);
/* Carries out an UNLOAD of the coordinator `from`: ends the instance's stages up to that epoch, as `how` says. STAGE_UNLOAD_IF_IDLE leaves
 * them alone while requests run. */
void hold_unload(struct hold *h, uint64_t from, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how);
/* Bytes of memory that a stage is planned to take, its process included, or what it has taken, if that is more. */
uint64_t hold_bytes(const struct stage_child *c);
/* The part of it on GPUs, by device; valid as long as the child. Returns how many devices. */
uint32_t hold_on(const struct stage_child *c, const struct engine_used **ret);
/* The network where that node has this address is down, and the two are linked by another one: rings whose links go there are made anew. */
void hold_path_lost(struct hold *h, uint64_t node, const char *host);
/* The coordinator is gone: the stages that it ordered are ended. */
void hold_node_lost(struct hold *h, uint64_t id);
/* The node has a link again: it hears the state of the stages that it ordered. */
void hold_linked(struct hold *h, uint64_t id);

/* A stage child has spoken, or ended (struct stage_child_callbacks). */
void hold_on_state(struct hold *h, struct stage_child *c, const struct stage_state *s);
void hold_on_exit(struct hold *h, struct stage_child *c, const struct err *why);

#endif
