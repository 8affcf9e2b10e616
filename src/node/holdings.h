/* SPDX-License-Identifier: MIT
 * Whose weights are on this machine: told to others, and asked of them. Loop thread only. */
#ifndef CARAVAN_NODE_HOLDINGS_H
#define CARAVAN_NODE_HOLDINGS_H

#include "members/record.h"

struct node;

void holdings_create(struct node *n);
/* Looks through the cache in a thread, if it is time to. */
void holdings_look(struct node *n);
void holdings_free(struct node *n);
void holdings_gone(struct node *n, const char *id); /* the models folder has no file of this model any more */
void holdings_record(struct node *n, struct record *r);
/* Other nodes have said what they have. */
void holdings_sources(struct node *n);

#endif
