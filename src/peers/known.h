/* SPDX-License-Identifier: MIT
 * The nodes that this node knows from one start to the next (members/roster): those that it has met, which it dials again, and those that
 * are shut out of the cluster, which all nodes tell each other. Carries out what follows from a change: links end or are dialled, and the
 * parts that serve other nodes hear who is shut out. Loop thread only; owned by peers/join. */
#ifndef CARAVAN_PEERS_KNOWN_H
#define CARAVAN_PEERS_KNOWN_H

#include <sys/socket.h>

#include "base/json.h"
#include "members/control.h"
#include "members/roster.h"
#include "peers/members.h"
#include "peers/news.h"
#include "weights/server.h"

struct known_config {
    const char *name;    /* this node's */
    const uint8_t *self; /* [IO_SIGN_PUBLIC_SIZE], its public key; outlives the known */
    const char *path;    /* the file (copied); NULL: nothing is kept */
    bool writes;         /* false: another node with the same file runs, which writes it */
};
/* The parts of the node with which it works once they are there; all of it outlives it. */
struct known_parts {
    struct control *control;
    struct members *members;
    struct weights_server *weights;
    struct news *news;
};
struct known; /* opaque */
/* Reads the file; one that makes no sense is not used. */
struct known *known_open(const struct known_config *config);
void known_connect(struct known *k, const struct known_parts *parts);
void known_start(struct known *k); /* the other parts hear who is shut out, and the others are dialled */
void known_save(struct known *k);  /* writes the file if something has changed */
void known_free(struct known *k);  /* NULL is fine */

/* ---- nodes that were met ---- */

void known_met(struct known *k, const struct control_peer *peer); /* a link with it stands */
/* Remembers what a node says of itself, for when it is asleep. */
void known_learn(struct known *k, const struct record *r);
/* The i-th node that was met; NULL: there are no more. Valid until the next event. */
const struct roster_peer *known_get(const struct known *k, size_t i);
/* Has a node of the cluster been met at this address, whatever its port? */
bool known_at(const struct known *k, const struct sockaddr *peer);
/* Was this node met before that time, in seconds since 1970? */
bool known_before(const struct known *k, uint64_t id, int64_t time);
/* The cluster's key was made at that time: nodes that were met before may still use the one before it. */
void known_key_made(struct known *k, int64_t time);
/* Forgets the node with this name or id, here and on all nodes that are linked: nobody dials it any more, and an old key no longer serves
 * it. ERR_BUSY: it is linked. */
err_code known_forget(struct known *k, const char *name, struct err *e);
err_code known_on_forget(struct known *k, const uint8_t *payload, size_t len, struct err *e); /* a FORGET frame */

/* ---- nodes that are shut out ---- */

bool known_is_out(const struct known *k, const uint8_t *public_key);
/* Shuts the node with this name or id out of the cluster, or lets it in again. */
err_code known_set_out(struct known *k, const char *name, bool out, struct err *e);
/* What this node tells the others of it; returns how many words there are. Takes in what another node tells. */
size_t known_words(const struct known *k, struct roster_removed ret[ROSTER_MAX_REMOVED]);
void known_hear(struct known *k, const struct roster_removed *words, size_t n);
/* Adds "removed" to the node's state. */
void known_status(const struct known *k, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
