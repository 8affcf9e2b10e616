/* SPDX-License-Identifier: MIT
 * The inside of a node: every part, and the connections between them. node.c makes and ends the parts, node_wiring.c passes on what one of
 * them tells another, node_record.c puts together what they say of this node. No part knows this header; each has one of its own, and is
 * given the parts that it uses. Loop thread only. */
#ifndef CARAVAN_NODE_NODE_PRIV_H
#define CARAVAN_NODE_NODE_PRIV_H

#include "base/log.h"
#include "gateway/server.h"
#include "node/calls.h"
#include "node/catalog.h"
#include "node/files.h"
#include "node/hold.h"
#include "node/holdings.h"
#include "node/join.h"
#include "node/learned.h"
#include "node/links.h"
#include "node/measure.h"
#include "node/members.h"
#include "node/model_list.h"
#include "node/models.h"
#include "node/models_routes.h"
#include "node/names.h"
#include "node/node.h"
#include "node/port.h"
#include "node/reach.h"
#include "node/saved.h"
#include "node/serve.h"
#include "node/stages.h"

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
    struct records records;
    struct port *port;
    struct control *control;
    struct coordinator *core;
    struct stages *stages;
    struct weights_server *weights;
    struct members *members;
    struct reach *reach;
    struct measure *measure;
    struct links *links;
    struct learned *learned;
    struct catalog *catalog;
    struct files *files;
    struct holdings *holdings;
    struct serve *serve;
    struct names *names;
    struct model_list *model_list;
    struct calls *calls;
    struct hold *hold;
    struct models *models;
    struct saved *saved;
    struct gateway *gateway;
    struct models_routes models_routes;
};

/* ---- node.c ---- */
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
/* The user of all of these is the node. */
extern const struct port_callbacks node_port_callbacks;
extern const struct control_callbacks node_control_callbacks;
extern const struct stage_child_callbacks node_stages_callbacks;
extern const struct catalog_events node_catalog_events; /* without its user */
extern const struct members_callbacks node_members_callbacks;
extern const struct serve_callbacks node_serve_callbacks;
extern const struct calls_callbacks node_calls_callbacks;

#endif
