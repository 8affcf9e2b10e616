/* SPDX-License-Identifier: MIT
 * What this node coordinates, kept in the state folder from one start to the next. Loop thread only. */
#ifndef CARAVAN_NODE_SAVED_H
#define CARAVAN_NODE_SAVED_H

struct node;

/* Reads what this node coordinated before it was started anew: it is loaded again unless another node does so by then. */
void saved_open(struct node *n);
void saved_close(struct node *n);
void saved_update(struct node *n); /* writes it, if it has changed */

#endif
