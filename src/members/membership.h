/* SPDX-License-Identifier: MIT
 * Who is in the cluster, as one node sees it, and what each has last said of itself. A sans-I/O core: (now, event) -> actions; it owns no
 * socket, clock or thread, and it does not look into records. No master and no votes: each node decides for itself.
 *
 * Each node speaks only for itself, in a record stamped (incarnation, version) and in a beat that it raises once a second; both only rise,
 * and older ones are dropped. A beat that has risen proves that somebody hears that node. Once a second each node tells a few linked peers,
 * in turn, all stamps and beats that it knows; a peer asks for the records that it lacks. So all nodes learn everything in a few rounds,
 * whichever links are cut, and the number of messages per node and second does not grow with the cluster.
 *
 * Up to MEMBERSHIP_MESH nodes each node wants a link with every other; in a larger cluster, with the nodes 1, 2, 4, 8 ... places away among
 * the sorted ids. A lost link makes a node suspect, not gone: others are asked at once whether they hear it, and it is gone when nobody
 * does (in a mesh as soon as all have said so). The stamps of gone nodes are remembered, to keep old records out; they are bounded and
 * expire. Any thread, one at a time. */
#ifndef CARAVAN_MEMBERS_MEMBERSHIP_H
#define CARAVAN_MEMBERS_MEMBERSHIP_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/field.h"

enum {
    MEMBERSHIP_MAX = 1024,    /* nodes known, those that are gone included */
    MEMBERSHIP_MESH = 64,     /* up to so many live nodes, each is linked with every other */
    MEMBERSHIP_MAX_OUT = 64,  /* nodes shut out */
    MEMBERSHIP_MAX_IDS = 32,  /* ids in one question */
    MEMBERSHIP_FANOUT = 4,    /* peers told in each round */
    MEMBERSHIP_BYTES = 64 << 20 /* of all records of other nodes; those of linked nodes come first */
};
#define MEMBERSHIP_ROUND_US     1000000ull
#define MEMBERSHIP_PROBE_US     1500000ull       /* after a lost link, for others to say that they hear the node */
#define MEMBERSHIP_CLOSED_US    500000ull /* the same if the other end closed the link: its process has probably ended */
#define MEMBERSHIP_TOMBSTONE_US 600000000ull /* a gone node is remembered for so long */
#define MEMBERSHIP_STAMP_MAX    (UINT64_C(1) << 53) /* of incarnations and versions: JSON numbers hold it */

/* Of a MEMBERS frame. */
enum membership_message {
    MEMBERSHIP_TELL, /* what is known of these nodes */
    MEMBERSHIP_ASK,  /* do you hear these? */
    MEMBERSHIP_WANT, /* send me their records */
    MEMBERSHIP_DENY  /* I was linked with these, and do not hear them */
};
/* The struct membership_talk, which MEMBERS carries, with membership_told and membership_id. */
#define MESSAGES_MEMBERS
#include "base/field_structs.h"
#undef MESSAGES_MEMBERS

enum member_state {
    MEMBER_GONE, /* nobody hears it, or it was never known */
    MEMBER_SUSPECT, /* no link from here, but others may hear it */
    MEMBER_UP, /* linked; or, where not everyone is linked, heard through others */
    MEMBER_STATE_COUNT
};
const char *membership_state_name(enum member_state s);

/* What is known of one node. */
struct member {
    uint64_t id, incarnation;
    uint64_t record_incarnation, version; /* of the record below; 0, 0: there was none yet */
    enum member_state state;
    bool linked;
    const uint8_t *record; /* its own record, sealed; NULL: not here */
    size_t record_len;
};

enum membership_action_kind {
    MEMBERSHIP_SEND, /* a MEMBERS frame to `to`: membership_write makes its bytes */
    MEMBERSHIP_PASS_ON, /* the record of `about`, as it is, to `to` */
    MEMBERSHIP_NEWS, /* the record of `about` is a new one */
    MEMBERSHIP_TURN, /* `about` went from state `was` to `is` */
    MEMBERSHIP_SPEAK /* this node has to publish its record again (membership_speak): others know a later stamp than its last */
};
struct membership_action {
    enum membership_action_kind kind;
    uint64_t to, about;
    enum member_state was, is;
    enum membership_message message; /* of SEND, with ids; for membership_write */
    uint32_t n_ids;
    uint64_t ids[MEMBERSHIP_MAX_IDS];
};

struct membership;
/* seed: any number; nodes that begin at once should have different ones. */
struct membership *membership_create(uint64_t self, uint64_t incarnation, uint32_t seed);
void membership_free(struct membership *m); /* NULL is fine */

/* The stamp that this node's next record is to bear. */
void membership_stamp(const struct membership *m, uint64_t *ret_incarnation, uint64_t *ret_version);
/* Takes this node's own new record, of that stamp; linked peers get it. */
void membership_speak(struct membership *m, clock_us now, const void *record, size_t len);

void membership_link_up(struct membership *m, clock_us now, uint64_t id, uint64_t incarnation);
/* Something came over the node's link. To be called before other events, so that they are judged with it. */
void membership_heard(struct membership *m, uint64_t id, clock_us when);
/* closed: by the other end, not for its silence. */
void membership_link_down(struct membership *m, clock_us now, uint64_t id, bool closed);
/* A MEMBERS frame from a linked peer. ERR_PROTOCOL: it makes no sense, and nothing of it was taken. */
err_code membership_hear(struct membership *m, clock_us now, uint64_t from, const uint8_t *data, size_t len, struct err *e);
/* A record, from any node; its seal has proven that `id` wrote it. It is dropped if it is older than the known one or its node is shut
 * out. */
void membership_record(struct membership *m, clock_us now, uint64_t id, uint64_t incarnation, uint64_t version, const void *record,
                       size_t len);
/* Shuts a node out (or lets it in again): it is gone, and nothing that is heard of it counts. */
void membership_set_out(struct membership *m, uint64_t id, bool out);
/* Time passes. *ret_next: when to call again. */
void membership_tick(struct membership *m, clock_us now, clock_us *ret_next);

/* Takes the next action; false: none left. */
bool membership_next_action(struct membership *m, struct membership_action *ret);
void membership_write(const struct membership *m, const struct membership_action *a, struct buf *out);

/* Nodes other than this one, sorted by id, gone ones included; valid until the next call that is given the time. NULL: past the end. */
const struct member *membership_get(const struct membership *m, size_t at);
const struct member *membership_self(const struct membership *m);
const struct member *membership_find(const struct membership *m, uint64_t id);
/* Live nodes with which there should be a link and is none. */
size_t membership_wanted(const struct membership *m, uint64_t *ret, size_t max);

#endif
