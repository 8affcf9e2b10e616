/* SPDX-License-Identifier: MIT
 * The inside of a node: every part, and the connections between them. node.c makes and ends the parts, node_turn.c gives them their turns,
 * node_wiring.c passes on what one of them tells another, node_record.c puts together what they say of this node. No part knows this
 * header; each has one of its own, and is given the parts that it uses. Loop thread only. */
#ifndef CARAVAN_NODE_NODE_PRIV_H
#define CARAVAN_NODE_NODE_PRIV_H

#include "base/log.h"
#include "calls/balance.h"
#include "calls/calls.h"
#include "calls/model_list.h"
#include "catalog/catalog.h"
#include "catalog/files.h"
#include "catalog/pulls.h"
#include "endpoint/server.h"
#include "holder/hold.h"
#include "holder/holdings.h"
#include "holder/measure.h"
#include "holder/stages.h"
#include "io/watch.h"
#include "loading/architectures.h"
#include "loading/learned.h"
#include "loading/sizes.h"
#include "loading/models.h"
#include "loading/names.h"
#include "loading/saved.h"
#include "loading/serve.h"
#include "node/model_header.h"
#include "node/models_routes.h"
#include "node/plan_asks.h"
#include "node/plan_route.h"
#include "node/node.h"
#include "node/port.h"
#include "peers/callback.h"
#include "peers/drain.h"
#include "peers/join.h"
#include "peers/links.h"
#include "peers/members.h"
#include "peers/reach.h"
#include "peers/sleepers.h"
#include "peers/ways.h"

struct node {
    const struct node_config *config;
    uint64_t id;
    char name[64];
    uint64_t memory; /* bytes that it offers */
    bool stopping;

    struct io_loop *loop;
    struct io_timer *tick;
    struct io_timer *stop_timer;
    struct io_timer *first_look; /* NULL: the models folder has been looked through, or isn't waited for any longer */
    struct io_signal *signals[3];
    struct log_limit turned_away; /* of lines about connections that came in and were closed */

    /* In the order in which they are made: each may use those above it. */
    struct news news;
    struct join *join;
    struct drain *drain;
    struct records records;
    struct port *port;
    struct control *control;
    struct coordinator *core;
    struct stages *stages;
    struct weights_server *weights;
    struct members *members;
    struct sleepers *sleepers;
    struct reach *reach;
    struct callback *callback;
    struct measure *measure;
    struct links *links;
    struct ways *ways;
    struct learned *learned;
    struct architectures *architectures;
    struct sizes *sizes;
    struct catalog *catalog;
    struct files *files;
    struct pulls *pulls;
    struct holdings *holdings;
    struct serve *serve;
    struct names *names;
    struct model_header *model_header;
    struct plan_asks *plan_asks;
    struct plan_route *plan_route;
    struct model_list *model_list;
    struct balance *balance;
    struct calls *calls;
    struct hold *hold;
    struct models *models;
    struct saved *saved;
    struct endpoint *endpoint;
    struct models_routes models_routes;
};

/* ---- node_turn.c ---- */
/* The user of these is the node. */
void node_tick(void *user);      /* time passes */
void node_tell(void *user);      /* this node's record has changed */
void node_look_late(void *user); /* the models folder does not answer */
/* Records or models have changed, or time has passed. */
void node_update(struct node *n);
/* The models folder has been looked through. */
void node_looked(struct node *n);

/* ---- node_record.c ---- */
/* Fills in what this node says of itself; *ret is zero before, record_done after. user: the node. */
void node_own_record(void *user, struct record *ret);
/* The node's state, for struct backend. user: the node. */
yyjson_mut_val *node_status(void *user, yyjson_mut_doc *doc);

/* ---- node_wiring.c ---- */
void node_adopt(void *user, int fd); /* callback_parts.adopt */
/* The user of all of these is the node. */
extern const struct port_callbacks node_port_callbacks;
extern const struct control_callbacks node_control_callbacks;
extern const struct stage_child_callbacks node_stages_callbacks;
extern const struct catalog_events node_catalog_events; /* without its user */
extern const struct pulls_events node_pulls_events;     /* without its user */
extern const struct members_callbacks node_members_callbacks;
extern const struct serve_callbacks node_serve_callbacks;
size_t node_calls_here(void *user, const char *instance); /* struct balance_parts.here */
size_t node_waiting(void *user, struct ask_queue *ret, uint64_t *ret_oldest); /* struct balance_parts.waiting */
extern const struct calls_callbacks node_calls_callbacks;
extern const struct hold_callbacks node_hold_callbacks;

#endif
