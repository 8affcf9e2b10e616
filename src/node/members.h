/* SPDX-License-Identifier: MIT
 * Who is in the cluster: members/membership in this node. Control links and records go in, its actions are carried out, and the records
 * of the other nodes are kept decoded. Loop thread only. */
#ifndef CARAVAN_NODE_MEMBERS_H
#define CARAVAN_NODE_MEMBERS_H

#include "members/control.h"
#include "members/record.h"

struct node;

void members_open(struct node *n);
void members_close(struct node *n);
void members_speak(struct node *n); /* this node's record has changed */
void members_up(struct node *n, const struct control_peer *peer);
void members_down(struct node *n, const struct control_peer *peer, const struct err *why);
void members_set_out(struct node *n, uint64_t id, bool out);
void members_meet(struct node *n); /* now and then: dials those that there should be links with */
err_code members_on_record(struct node *n, const uint8_t *payload, size_t len, struct err *e);
err_code members_on_members(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
const struct record *node_record(const struct node *n, uint64_t id); /* of a linked node */

#endif
