/* SPDX-License-Identifier: MIT
 * What nodes tell each other in JSON over control links: a node's record about itself (NODE frames: offer, stages held, models that can be
 * asked, peers it knows) and a stage's report to its coordinator (STATE frames). Values and both directions of their encoding; every
 * limit is checked on the way in. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_RECORD_H
#define CARAVAN_MEMBERS_RECORD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "members/identity.h"
#include "members/orphans.h"
#include "plan/profile.h"
#include "members/roster.h"
#include "members/wish.h"
#include "model/card.h"
#include "model/facts.h"
#include "wire/stage.h"

enum {
    RECORD_MAX_MODELS = 32,
    RECORD_MAX_FILES = 1024,
    RECORD_MAX_HELD = 32,
    RECORD_MAX_STAGES = 64,
    RECORD_MAX_PEERS = 256,
    RECORD_MAX_TEMPLATE = 256 * 1024,
    RECORD_MAX_PULLS = 8,
    RECORD_PULL_SOURCE = 512
};

/* Can the node of a record connect to a node that it is linked to? Links are dialled by one end, which says nothing of the other. */
enum record_reach { RECORD_REACH_UNKNOWN, RECORD_REACH_YES, RECORD_REACH_NO, RECORD_REACH_COUNT };
const char *record_reach_name(enum record_reach r); /* "unknown", "yes", "no" */

/* The kind of network that leads to a node. Inside: on the same machine. */
enum record_way { RECORD_WAY_UNKNOWN, RECORD_WAY_INSIDE, RECORD_WAY_WIRED, RECORD_WAY_WIFI, RECORD_WAY_VPN, RECORD_WAY_COUNT };
const char *record_way_name(enum record_way w); /* "unknown", "inside", "wired", "wifi", "vpn" */

enum record_pull_state {
    RECORD_PULL_LISTING,  /* the hub is asked which files there are */
    RECORD_PULL_FETCHING,
    RECORD_PULL_CHECKING, /* against the published checksum */
    RECORD_PULL_DONE,
    RECORD_PULL_FAILED,
    RECORD_PULL_STATE_COUNT
};
const char *record_pull_state_name(enum record_pull_state s);

/* struct record, with record_model, record_stage, record_file, record_peer and record_pull. */
#define MESSAGES_RECORD
#include "base/field_structs.h"
#undef MESSAGES_RECORD
/* What the record says of that node; NULL: the two are not linked. */
const struct record_peer *record_peer_of(const struct record *r, uint64_t id);
void record_done(struct record *r); /* frees what it owns; zero it before first use */
void record_encode(const struct record *r, struct buf *out);
/* Shortens r until its encoding has at most max bytes: drops the last models' chat templates, then the last cards. */
void record_fit(struct record *r, size_t max);
/* *ret must be empty (zero). ERR_INVALID or ERR_FORMAT names the field. */
err_code record_decode(const uint8_t *data, size_t len, struct record *ret, struct err *e);
/* A record travels sealed: signed by its node, with its stamp (members/membership.h), so that anybody may pass it on and nobody can speak
 * for another. The text of an opened seal leads into `data`. ERR_PROTOCOL, ERR_AUTH: the node did not write it. */
#define MESSAGES_SEAL
#include "base/field_structs.h"
#undef MESSAGES_SEAL
enum { RECORD_SEAL_SIZE = FIELD_SIZE(record_seal) }; /* without the record */
void record_seal(const struct identity *id, uint64_t incarnation, uint64_t version, const void *text, size_t len, struct buf *out);
err_code record_open(const uint8_t *data, size_t len, struct record_seal *ret, struct err *e);

#endif
