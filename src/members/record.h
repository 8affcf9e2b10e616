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
#include "wire/stage_msg.h"

enum { RECORD_MAX_MODELS = 32, RECORD_MAX_FILES = 256, RECORD_MAX_STAGES = 64, RECORD_MAX_PEERS = 256, RECORD_MAX_TEMPLATE = 256 * 1024 };

struct record_model {
    char name[128];        /* what clients ask for */
    char instance[64];
    uint64_t head;         /* the node that holds stage 0 */
    char *chat_template;   /* owned, NULL: none */
    char bos[64], eos[64];
    uint32_t n_ctx, n_vocab, n_stage, n_layer;
    int64_t created;
    bool ready;
    char wire[8];          /* the type of hidden states on its links */
    double predicted_tps;  /* tokens per second of one conversation, by the plan; 0: none runs */
    struct model_facts facts;
    bool failed;           /* it isn't being loaded, or in vain: the message says why */
    char message[256];     /* what the coordinator says of it: the reason while it waits */
    uint32_t replica;      /* which copy it is, from 0 */
    struct load_wish wish; /* all is said but keep_s: another node can take it over as it is */
};
struct record_stage {
    char instance[64];
    uint64_t epoch;
    uint32_t stage, first, end; /* layers [first, end) */
    enum stage_phase phase;
    uint32_t progress;     /* percent, while loading */
    struct stage_fetch fetch;
    uint64_t bytes;        /* as loaded; until then as planned */
    char device[64];
    /* of a head: what was measured of its ring (plan/learn.h) */
    uint32_t measured;     /* how often; 0: not yet */
    double tps;            /* tokens per second of one conversation */
    uint32_t n_pace;
    double pace[RECORD_MAX_STAGES]; /* seconds that each stage computes for a token */
};
/* A model of which it has the weights, or some of them. */
struct record_file {
    char model[65];        /* its id */
    bool whole;
};
struct record_peer {
    uint64_t id;
    char host[64];
    uint16_t port;
    uint32_t rtt_us;       /* 0: not measured yet */
    uint64_t throughput;   /* bytes per second to it; 0: not measured yet */
};
struct record {
    uint64_t id;
    char name[64];
    uint64_t memory;       /* bytes offered in all */
    struct profile profile; /* the devices that its stages may use */
    bool probes;           /* it knows PROBE frames (plan/probe.h) */
    char api[80];          /* where its endpoint listens, for people */
    struct record_model models[RECORD_MAX_MODELS]; /* that it coordinates */
    uint32_t n_models;
    struct record_stage stages[RECORD_MAX_STAGES]; /* that it holds */
    uint32_t n_stages;
    struct record_file files[RECORD_MAX_FILES];    /* that others may fetch from it */
    uint32_t n_files;
    struct model_card *cards; /* owned: models that it has the files of, under the names that clients use */
    uint32_t n_cards;
    struct record_peer peers[RECORD_MAX_PEERS];    /* that it is linked to */
    uint32_t n_peers;
    struct roster_removed removed[ROSTER_MAX_REMOVED]; /* its word on who is shut out of the cluster */
    size_t n_removed;
    struct unloads unloads; /* models that it was told to unload */
    /* Not carried: for the node that keeps the record. */
    uint64_t incarnation;  /* of its seal */
    clock_us unlinked;     /* since when there is no link with its node; 0: there is one */
};
void record_done(struct record *r); /* frees what it owns; zero it before first use */
void record_encode(const struct record *r, struct buf *out);
/* *ret must be empty (zero). ERR_INVALID or ERR_FORMAT names the field. */
err_code record_decode(const uint8_t *data, size_t len, struct record *ret, struct err *e);
/* A record travels sealed: signed by its node, with its stamp (members/membership.h), so that anybody may pass it on and nobody can speak
 * for another. Opening: the pointers lead into `data`. ERR_PROTOCOL, ERR_AUTH: it is not what its node said. */
enum { RECORD_SEAL_SIZE = IO_SIGN_PUBLIC_SIZE + IO_SIGN_SIZE + 16 };
struct record_seal {
    uint64_t id, incarnation, version;
    const uint8_t *key, *text; /* the node's public key; the record as record_encode wrote it */
    size_t len;
};
void record_seal(const struct identity *id, uint64_t incarnation, uint64_t version, const void *text, size_t len, struct buf *out);
err_code record_open(const uint8_t *data, size_t len, struct record_seal *ret, struct err *e);
/* Bytes of the offer that stages of other instances leave. */
uint64_t record_memory_for(const struct record *r, const char *instance);

/* A stage's word to its coordinator. */
struct stage_report {
    char instance[64];
    uint64_t epoch;
    uint32_t stage;
    uint32_t origin;       /* failed: the stage of its ring where the trouble began */
    bool failed;           /* then err says why; else state holds */
    struct stage_state state;
    struct err err;
};
void stage_report_encode(const struct stage_report *r, struct buf *out);
err_code stage_report_decode(const uint8_t *data, size_t len, struct stage_report *ret, struct err *e);

#endif
