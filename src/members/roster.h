/* SPDX-License-Identifier: MIT
 * What a node remembers of its cluster from one start to the next, in one file of its state folder: the nodes it has met, and where they
 * were, so that it finds them again without being told; and the nodes that were shut out, which all nodes tell each other (the newest word
 * about a node holds). Both lists are bounded. Values and their JSON; blocking file access in load and save only. Any thread. */
#ifndef CARAVAN_MEMBERS_ROSTER_H
#define CARAVAN_MEMBERS_ROSTER_H

#include "base/err.h"
#include "base/json.h"
#include "io/sign.h"
#include "members/wake.h"

enum { ROSTER_MAX_PEERS = 64, ROSTER_MAX_REMOVED = 64 };

/* Says that a node is shut out, or let in again: struct roster_removed, called a word here; and struct roster_hardware. */
#define MESSAGES_ROSTER
#include "base/field_structs.h"
#undef MESSAGES_ROSTER

struct roster_peer {
    uint64_t id;         /* 0: only its address is known, from a join code */
    uint8_t public_key[IO_SIGN_PUBLIC_SIZE];
    char name[64], host[64];
    uint16_t port;
    int64_t seen, since; /* last and first, seconds since 1970; since 0: long ago */
    /* as it last said, for when it is asleep; 0: it has not */
    uint64_t memory;
    struct roster_hardware hardware[WAKE_MAX_ADDRESSES];
    uint32_t n_hardware;
};
struct roster {
    struct roster_peer peers[ROSTER_MAX_PEERS];
    size_t n_peers;
    struct roster_removed removed[ROSTER_MAX_REMOVED];
    size_t n_removed;
};

/* A file that is not there is an empty roster. */
err_code roster_load(const char *path, struct roster *ret, struct err *e);
err_code roster_save(const char *path, const struct roster *r, struct err *e);

/* Remembers a node, since p->seen if it is new; the one not seen for longest makes room. True: more than `seen` has changed. */
bool roster_meet(struct roster *r, const struct roster_peer *p);
/* Remembers what a node that has been met says of itself. True: it was news. */
bool roster_learn(struct roster *r, uint64_t id, uint64_t memory, const struct roster_hardware *hardware, uint32_t n_hardware);
/* Forgets one entry of this node; false: there is none. */
bool roster_forget(struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], struct roster_peer *ret_was);
/* Was this node met before that time, in seconds since 1970? */
bool roster_knew(const struct roster *r, uint64_t id, int64_t time);
/* Does `name` mean the node of this id? By its name, or by its id in hexadecimal, of which four digits at the beginning are enough. */
bool roster_is_called(uint64_t id, const char *its_name, const char *name);
/* The node that `name` means; NULL: none, or more than one (*ret_many). */
const struct roster_peer *roster_find(const struct roster *r, const char *name, bool *ret_many);

/* Takes a word about a node in. True: it was news. When the list is full the oldest word that lets a node in makes room; if every word
 * shuts one out, the new one is dropped (false). So is one from the far future (clock_stamp_ok), which no later word could replace. */
bool roster_hear(struct roster *r, const struct roster_removed *word, int64_t now);
/* Makes a word that replaces the known one. */
struct roster_removed roster_word(const struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], const char *name, bool out,
                                  int64_t now);
bool roster_is_out(const struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE]);

#endif
