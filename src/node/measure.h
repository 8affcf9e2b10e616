/* SPDX-License-Identifier: MIT
 * This machine's profile, measured in a child process and told in the node's record. Loop thread only. */
#ifndef CARAVAN_NODE_MEASURE_H
#define CARAVAN_NODE_MEASURE_H

#include "members/record.h"

struct node;

void measure_start(struct node *n);
void measure_tick(struct node *n); /* once more, in a quiet moment, where other work disturbed it */
void measure_stop(struct node *n);
/* What others are told of it. */
void measure_record(const struct node *n, struct record *r);

#endif
