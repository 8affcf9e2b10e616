/* SPDX-License-Identifier: MIT
 * A node's place in its cluster: its identity, the cluster key and its rotation, the peers that it remembers, who is shut out, and the
 * admin routes for these. Keeps them in the state folder. Loop thread only; owned by the node, which tells it what happens. */
#ifndef CARAVAN_NODE_JOIN_H
#define CARAVAN_NODE_JOIN_H

#include <sys/socket.h>

#include "base/json.h"
#include "gateway/server.h"
#include "members/control.h"
#include "members/identity.h"
#include "members/record.h"
#include "node/members.h"
#include "node/news.h"
#include "weights/weights.h"

/* How the node was started; all of it outlives the join. */
struct join_config {
    struct io_loop *loop;
    const char *program;   /* this binary, for the discovery's child */
    const char *name;      /* this node's */
    const char *state_dir; /* ending in '/'; NULL: nothing is kept, and the identity is a passing one */
    const char *key_file;
    const char *listen_host, *api_host;
    bool discovery;        /* look for other nodes of the cluster on the network, and be found */
    const char *const *interfaces; /* where; n_interfaces 0: on all */
    size_t n_interfaces;
};
/* The parts of the node with which it works once they are there; all of it outlives the join. */
struct join_parts {
    struct control *control;
    struct members *members;
    struct weights_server *weights;
    struct news *news;
    uint16_t port; /* this node's own */
};
struct join; /* opaque */

/* Reads (or makes) identity, key and peers, and makes the TLS context. *ret is set even on failure. */
err_code join_open(const struct join_config *config, struct join **ret, struct err *e);
void join_connect(struct join *j, const struct join_parts *parts);
/* The ports are open: dials the nodes that are remembered, starts discovery, tells people how others join. */
void join_start(struct join *j, uint16_t api_port);
/* The node ends: saves what changed, ends discovery, removes the files that say where this node is. NULL is fine. */
void join_stop(struct join *j);
void join_free(struct join *j); /* after join_stop; NULL is fine */

const struct identity *join_identity(const struct join *j);
struct io_tls_ctx *join_tls(const struct join *j); /* belongs to the join */
/* [IO_TLS_KEY_SIZE]: the key of links between nodes. It changes in place with the cluster's key. */
const uint8_t *join_link_key(const struct join *j);
/* The state folder, if this node may write there; NULL: another node with the same folder runs, or there is none. */
const char *join_state_dir(const struct join *j);
/* The API key that the command line of this node's user sends (JOIN_OWN_KEY in the state folder): new at each start. NULL: none is kept. */
#define JOIN_OWN_KEY "admin.key"
const char *join_own_key(const struct join *j);
/* A number that differs from start to start, so that instances and epochs of an earlier start are never taken for this one's. */
uint32_t join_tag(const struct join *j);

err_code join_admit(struct join *j, const struct control_peer *peer, struct err *e);
/* Has a node of the cluster been met at this address, whatever its port? */
bool join_knows(const struct join *j, const struct sockaddr *peer);
/* Is the node with this public key not shut out, as far as is known here? */
bool join_may_speak(const struct join *j, const uint8_t *public_key);
/* A machine at host runs with this node's identity, as `by` says, or has seen: says so once, and what to do. */
void join_copied(struct join *j, const char *host, const char *by);
void join_up(struct join *j, const struct control_peer *peer);
/* Adds to this node's record who is shut out; takes in what another node's record says of it. */
void join_speak(const struct join *j, struct record *own);
void join_hear(struct join *j, const struct record *r);
/* The payload of a KEY frame (the cluster's newest key, and the nodes that are shut out, which count before the key is passed on) and of a
 * FORGET frame. */
err_code join_on_key(struct join *j, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code join_on_forget(struct join *j, const uint8_t *payload, size_t len, struct err *e);
/* Now and then: saves what has changed, ends the old key's time. */
void join_tick(struct join *j);

/* Adds "removed" to the node's state: the nodes that are shut out. */
void join_status(const struct join *j, yyjson_mut_doc *doc, yyjson_mut_val *root);
/* Adds the admin routes: POST /caravan/v1/nodes/remove {"name", "grace"}, /allow and /forget {"name"}, /caravan/v1/key/rotate {"grace"}. */
void join_routes_add(struct join *j, struct gateway *g);

#endif
