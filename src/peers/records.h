/* SPDX-License-Identifier: MIT
 * The records of the other nodes, decoded: of those with a link to this node, which can be asked, and of suspects, which are neither linked
 * nor gone. peers/members keeps them; the other parts of the node read them. Loop thread only. */
#ifndef CARAVAN_PEERS_RECORDS_H
#define CARAVAN_PEERS_RECORDS_H

#include "members/control.h"
#include "members/record.h"

enum { RECORDS_MAX = CONTROL_MAX_LINKS };

struct records {
    struct record *linked[RECORDS_MAX]; /* owned, as the others */
    size_t n_linked;
    struct record *suspects[RECORDS_MAX];
    size_t n_suspects;
};

void records_done(struct records *r);
/* Takes the record in, among the linked ones or the suspects; it is freed when there are too many. NULL is fine. now: for a node whose link
 * has just been lost. The node must have no record here. */
void records_put(struct records *r, struct record *one, bool linked, clock_us now);
/* Takes the node's record out; the caller frees it. NULL: there is none. */
struct record *records_take(struct records *r, uint64_t id);
void records_free_one(struct record *one); /* NULL is fine */
/* The record of a linked node, or NULL; of a linked node or a suspect. */
const struct record *records_linked(const struct records *r, uint64_t id);
const struct record *records_any(const struct records *r, uint64_t id);

#endif
