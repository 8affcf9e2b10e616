/* SPDX-License-Identifier: MIT
 * The cluster's key in a running node (members/key): the key ring, the TLS context that all links of the node use, and rotation. After a
 * rotation the old key is good for a time, for nodes that were met before; they are sent the new one. Loop thread only; owned by
 * peers/join. */
#ifndef CARAVAN_PEERS_CLUSTER_KEY_H
#define CARAVAN_PEERS_CLUSTER_KEY_H

#include "io/tls.h"
#include "members/control.h"
#include "peers/known.h"

/* The parts of the node with which it works once they are there; all of it outlives it. */
struct cluster_key_parts {
    struct control *control;
    void (*changed)(void *user); /* there is a new key */
    void *user;
};
struct cluster_key; /* opaque */
/* Reads the key's file, or makes it. known outlives the key. *ret is set even on failure. */
err_code cluster_key_open(const char *path, struct known *known, struct cluster_key **ret, struct err *e);
void cluster_key_connect(struct cluster_key *k, const struct cluster_key_parts *parts);
void cluster_key_free(struct cluster_key *k); /* NULL is fine */

bool cluster_key_is_new(const struct cluster_key *k);        /* this start has made the cluster */
const uint8_t *cluster_key_get(const struct cluster_key *k); /* [IO_TLS_KEY_SIZE]; a secret, for join codes */
struct io_tls_ctx *cluster_key_tls(const struct cluster_key *k); /* belongs to the cluster key; NULL: it could not be opened */
/* [IO_TLS_KEY_SIZE]: the key of links between nodes. It changes in place with the cluster's key. */
const uint8_t *cluster_key_link(const struct cluster_key *k);

/* May the node be linked: is it not shut out, and does it have the newest key, or an old one that still serves it? ERR_AUTH. */
err_code cluster_key_admit(const struct cluster_key *k, const struct control_peer *peer, struct err *e);
/* The link to the node stands: sends it the newest key if it doesn't have that. */
void cluster_key_greet(const struct cluster_key *k, const struct control_peer *peer);
/* A new cluster key; *ret_told: nodes that were linked and have been sent it. The old one is good for grace_s more, for those that were
 * members before and are not shut out. */
err_code cluster_key_rotate(struct cluster_key *k, int64_t grace_s, size_t *ret_told, struct err *e);
/* The payload of a KEY frame: the cluster's newest key, and the nodes that are shut out, which count before the key is passed on. */
err_code cluster_key_on_key(struct cluster_key *k, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
void cluster_key_tick(struct cluster_key *k); /* now and then: ends the old key's time */

#endif
