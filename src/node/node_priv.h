/* SPDX-License-Identifier: MIT
 * The struct that owns every part of a node, for the files of this folder; each part has a header of its own. Loop thread only. */
#ifndef CARAVAN_NODE_NODE_PRIV_H
#define CARAVAN_NODE_NODE_PRIV_H

#include "base/list.h"
#include "base/log.h"
#include "members/ask.h"
#include "members/control.h"
#include "members/membership.h"
#include "members/record.h"
#include "weights/weights.h"
#include "gateway/server.h"
#include "node/catalog.h"
#include "node/join.h"
#include "node/node.h"
#include "node/port.h"
#include "node/serve.h"
#include "node/stage_child.h"

enum { NODE_MAX_NODES = CONTROL_MAX_LINKS };

struct calls;

struct node {
    const struct node_config *config;
    struct io_loop *loop;
    uint64_t id;
    char name[64];
    struct join *join;
    uint8_t link_key[IO_TLS_KEY_SIZE];
    uint64_t memory;
    struct io_tls_ctx *tls;
    struct port *port;
    struct log_limit turned_away; /* lines about connections that came in */
    struct control *control;
    struct stages *stages;
    struct weights_server *weights;
    struct holdings *holdings;   /* models whose weights are here (node/holdings.c) */
    struct gateway *gateway;
    struct calls *calls;
    struct profile profile;      /* of this machine, as measured; no devices until then */
    struct io_child *measuring;  /* NULL: no longer */
    uint32_t n_measured;         /* how often that was begun, and when last */
    clock_us measured_at;
    struct links *links;         /* throughput to the others */
    struct learned *learned;     /* by which plans are corrected */
    struct membership *members;
    struct io_timer *members_timer;
    uint32_t ticks;
    struct catalog *catalog;
    struct files *files;
    struct serve *serve;         /* the coordinator core (node/serve.h) */
    struct saved *saved;         /* what lasts from one start to the next (node/saved.c) */
    struct models *models;
    struct record *records[NODE_MAX_NODES]; /* of linked nodes, owned */
    size_t n_records;
    struct record *suspects[NODE_MAX_NODES]; /* of nodes that are not gone, but not linked */
    size_t n_suspects;
    struct io_timer *tick;
    clock_us told_progress;
    uint64_t names_news;     /* names were looked at when n->news was this */
    uint64_t news;           /* grows whenever models, files or nodes may have changed */
    struct io_task look;     /* posted when requests that wait have to look again */
    struct io_task changed;  /* posted when our record has to be sent anew */
    struct io_signal *signals[2];
    bool stopping;
    struct io_timer *stop_timer;
    struct io_timer *first_look; /* NULL: the models folder has been looked through, or isn't waited for any longer */
};

/* ---- node.c ---- */
/* What this node would say of itself now; *ret is zero before, record_done after. */
void node_own_record(struct node *n, struct record *ret);
/* The nodes have to be told something new about this one. */
void node_changed(struct node *n);

#endif
