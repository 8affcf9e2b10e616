/* SPDX-License-Identifier: MIT
 * Models' names. In the whole cluster a name stands for one model, that is, one id: where two files are called the same, the one whose
 * model is loaded has the name, else the one of the node with the smallest id, and the others get a tag. What people and clients write may
 * differ from a name in ":latest" and in the case of letters. Loop thread only. */
#ifndef CARAVAN_NODE_NAMES_H
#define CARAVAN_NODE_NAMES_H

#include <stdbool.h>

struct node;

/* For catalog_events.taken, with the node as user. */
bool names_taken(void *node, const char *name, const char *id);
/* What others call their models may have changed. */
void names_review(struct node *n);
/* The name of the model that is asked for so (or by the path of its file), or what was asked for when no model's name fits. The string is
 * n's, of a list that may be replaced, or `asked`. */
const char *names_resolve(const struct node *n, const char *asked);

#endif
