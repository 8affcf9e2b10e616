/* SPDX-License-Identifier: MIT
 * A node's place in its cluster: its identity and state folder, the cluster's key (peers/cluster_key), the nodes that it knows
 * (peers/known), discovery, and the admin routes for these. Loop thread only; owned by the node, which tells it what happens. */
#ifndef CARAVAN_PEERS_JOIN_H
#define CARAVAN_PEERS_JOIN_H

#include "endpoint/server.h"
#include "members/identity.h"
#include "members/invite.h"
#include "members/record.h"
#include "peers/cluster_key.h"
#include "peers/known.h"

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

/* Reads (or makes) identity, key and known nodes. *ret is set even on failure. */
err_code join_open(const struct join_config *config, struct join **ret, struct err *e);
void join_connect(struct join *j, const struct join_parts *parts);
/* The ports are open: dials the nodes that are known, starts discovery, tells people how others join. */
void join_start(struct join *j, uint16_t api_port);
/* The node ends: saves what changed, ends discovery, removes the files that say where this node is. NULL is fine. */
void join_stop(struct join *j);
void join_free(struct join *j); /* after join_stop; NULL is fine */

const struct identity *join_identity(const struct join *j);
struct cluster_key *join_key(const struct join *j); /* these two belong to the join */
struct known *join_known(const struct join *j);
/* The state folder, if this node may write there; NULL: another node with the same folder runs, or there is none. */
const char *join_state_dir(const struct join *j);
/* The API key that the command line of this node's user sends (JOIN_OWN_KEY in the state folder): new at each start. NULL: none is kept. */
#define JOIN_OWN_KEY "admin.key"
const char *join_own_key(const struct join *j);
/* A number that differs from start to start, so that instances and epochs of an earlier start are never taken for this one's. */
uint32_t join_tag(const struct join *j);

/* A link to the node stands. */
void join_up(struct join *j, const struct control_peer *peer);
/* Takes in what another node's record says of this node and of nodes that are shut out. */
void join_hear(struct join *j, const struct record *r);
/* A machine at host runs with this node's identity, as `by` says, or has seen: says so once, and what to do. */
void join_copied(struct join *j, const char *host, const char *by);
/* Now and then: saves what has changed, ends the old key's time. */
void join_tick(struct join *j);
/* A join code: the cluster's key, and where this node can be reached. */
err_code join_invite(const struct join *j, char ret[INVITE_TEXT_SIZE], struct err *e);
/* Shuts the node with this name or id out of the cluster, and changes the key, which that node knows (cluster_key_rotate). */
err_code join_remove(struct join *j, const char *name, int64_t grace_s, size_t *ret_told, struct err *e);

/* Adds the admin routes: POST /caravan/v1/nodes/remove {"name", "grace"}, /allow and /forget {"name"}, /caravan/v1/key/rotate {"grace"},
 * /caravan/v1/invite. */
void join_routes_add(struct join *j, struct endpoint *ep);

#endif
