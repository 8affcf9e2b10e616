/* SPDX-License-Identifier: MIT
 * A node's place in its cluster: its identity, the cluster key and its rotation, the peers that it remembers, who is shut out, and the
 * admin routes for these. Keeps what must last in the state folder. Loop thread only; owned by the node, which tells it what happens. */
#ifndef CARAVAN_NODE_JOIN_H
#define CARAVAN_NODE_JOIN_H

#include <sys/socket.h>

#include "members/identity.h"
#include "base/json.h"
#include "members/record.h"

struct node;
struct control_peer;
struct http_exchange;
struct join;

/* Reads (or makes) identity, key and peers: fills the node's id, keys and TLS context. *ret is set even on failure. */
err_code join_open(struct node *n, struct join **ret, struct err *e);
/* The ports are open: dials who is remembered, adds the admin routes, starts discovery, tells people how others join. */
void join_start(struct join *j);
void join_free(struct join *j); /* NULL is fine */

const struct identity *join_identity(const struct join *j);
/* The API key that the command line of this node's user sends (JOIN_OWN_KEY in the state folder): new at each start. NULL: none is kept. */
#define JOIN_OWN_KEY "admin.key"
const char *join_own_key(const struct join *j);
/* Differs from start to start, so that instances and epochs of an earlier start are never taken for this one's. */
uint32_t join_tag(const struct join *j);

err_code join_admit(struct join *j, const struct control_peer *peer, struct err *e);
/* Has a node of the cluster been met at this address, whatever its port? */
bool join_knows(const struct join *j, const struct sockaddr *peer);
/* Is that node, as far as is known here, not shut out? */
bool join_may_speak(const struct join *j, const uint8_t *public_key);
void join_up(struct join *j, const struct control_peer *peer);
/* What this node's record says of who is shut out; what another's says. */
void join_speak(const struct join *j, struct record *own);
void join_hear(struct join *j, const struct record *r);
/* KEY: the cluster's newest key and the words about who is shut out, which count before the key is passed on. */
err_code join_on_key(struct join *j, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code join_on_forget(struct join *j, const uint8_t *payload, size_t len, struct err *e);
/* Now and then: saves what changed, ends the old key's time. */
void join_tick(struct join *j);

/* ---- for the admin API ---- */
/* Shuts the node with this name or id out of the cluster, and changes the key, which it knows; as join_rotate. */
err_code join_remove(struct node *n, const char *name, int64_t grace_s, size_t *ret_told, struct err *e);
/* Lets it in again. */
err_code join_allow(struct node *n, const char *name, struct err *e);
/* Forgets where it was, here and on all nodes that are linked: nobody dials it any more, and it is no member of old. ERR_BUSY: it is
 * linked. */
err_code join_forget(struct node *n, const char *name, struct err *e);
/* A new cluster key; *ret_told: nodes that were linked and have been sent it. The old one is good for grace_s more, for those that were
 * members before and are not shut out. */
err_code join_rotate(struct node *n, int64_t grace_s, size_t *ret_told, struct err *e);
/* "removed": those that are shut out, in the node's state. */
void join_status(const struct join *j, yyjson_mut_doc *doc, yyjson_mut_val *root);
void join_routes_add(struct node *n);
/* The body of an admin request: a JSON object, which the caller frees. */
err_code join_admin_body(struct http_exchange *x, yyjson_doc **ret, struct err *e);

#endif
