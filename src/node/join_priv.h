/* SPDX-License-Identifier: MIT
 * What the admin routes of join.h do (join_routes.c). */
#ifndef CARAVAN_NODE_JOIN_PRIV_H
#define CARAVAN_NODE_JOIN_PRIV_H

#include "node/join.h"

/* Shuts the node with this name or id out of the cluster, and changes the key, which that node knows (join_rotate). */
err_code join_remove(struct join *j, const char *name, int64_t grace_s, size_t *ret_told, struct err *e);
/* Lets it in again. */
err_code join_allow(struct join *j, const char *name, struct err *e);
/* Forgets the node, here and on all nodes that are linked: nobody dials it any more, and an old key no longer serves it. ERR_BUSY: it is
 * linked. */
err_code join_forget(struct join *j, const char *name, struct err *e);
/* A new cluster key; *ret_told: nodes that were linked and have been sent it. The old one is good for grace_s more, for those that were
 * members before and are not shut out. */
err_code join_rotate(struct join *j, int64_t grace_s, size_t *ret_told, struct err *e);

#endif
