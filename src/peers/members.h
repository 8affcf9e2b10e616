/* SPDX-License-Identifier: MIT
 * Who is in the cluster: members/membership in this node. Control links and records go in, its actions are carried out, and the records of
 * the other nodes are kept decoded (peers/records). Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_MEMBERS_H
#define CARAVAN_PEERS_MEMBERS_H

#include "members/control.h"
#include "members/record.h"
#include "peers/news.h"
#include "peers/records.h"

/* What members tells or asks the node above it. */
struct members_callbacks {
    /* Fills in what this node says of itself; *ret is zero before, record_done after. */
    void (*own_record)(void *user, struct record *ret);
    /* Is the node with this public key not shut out, as far as is known here? */
    bool (*may_speak)(void *user, const uint8_t *public_key);
    /* A record of another node has come, and stands in the records. */
    void (*heard)(void *user, const struct record *r);
    /* The models have to be looked at again. */
    void (*update)(void *user);
    /* The records have changed: a node has come, gone, or lost its link. */
    void (*changed)(void *user);
    /* The link to a node stands, and the records say so. */
    void (*linked)(void *user, const struct control_peer *peer);
    /* A node is gone, or (restarted) was started again without having been gone: the stages and models that it held are no more. r: its
     * last record; NULL: none was known. */
    void (*lost)(void *user, uint64_t id, const struct record *r, bool restarted);
};

/* What members uses of the node; all of it outlives them. */
struct members_parts {
    struct io_loop *loop;
    const struct identity *identity;
    struct control *control;
    struct records *records; /* which they keep */
    struct news *news;
    struct members_callbacks callbacks;
    void *user;
};
struct members; /* opaque */
struct members *members_create(const struct members_parts *parts);
void members_free(struct members *m); /* NULL is fine */

void members_speak(struct members *m); /* this node's record has changed: the others are told */
void members_up(struct members *m, const struct control_peer *peer);
void members_down(struct members *m, const struct control_peer *peer, const struct err *why);
void members_set_out(struct members *m, uint64_t id, bool out); /* the node is shut out of the cluster, or let in again */
void members_meet(struct members *m); /* now and then: dials the nodes with which there should be links */
/* The payload of a NODE or MEMBERS frame. An error means that it makes no sense. */
err_code members_on_record(struct members *m, const uint8_t *payload, size_t len, struct err *e);
err_code members_on_members(struct members *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e);

#endif
