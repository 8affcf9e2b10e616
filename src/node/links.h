/* SPDX-License-Identifier: MIT
 * Round trips and throughput between nodes, for the plan. Loop thread only. */
#ifndef CARAVAN_NODE_LINKS_H
#define CARAVAN_NODE_LINKS_H

#include "base/err.h"
#include "plan/plan.h"

struct node;

void links_open(struct node *n);
void links_close(struct node *n);
void links_tick(struct node *n);
err_code links_on_probe(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code links_on_probed(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
uint64_t links_throughput(const struct node *n, uint64_t to); /* bytes per second; 0: not measured */
/* For plan_wish.link, with the node as link_user. */
struct plan_link links_between(void *node, uint64_t from, uint64_t to);

#endif
