/* SPDX-License-Identifier: MIT
 * Which chunk of a model's weights to ask from which source: a sans-I/O core, (now, event) -> actions; it owns no socket, clock, thread
 * or weights. The caller (fetch.c) opens links, checks each chunk against its hash, and reports events.
 *
 * Sources are whole (they have the file) or partial (nodes that fetch it now or did before: they say which chunks they have and which
 * they want). Every source has a window of outstanding chunks that follows its measured rate. Chunks are asked for in the order in which
 * they will be read; a slow source is asked for chunks further ahead, which the best source won't reach sooner.
 *
 * A whole source should send nothing twice, so the fetching nodes divide its chunks among them without messages: of the nodes that want
 * a chunk, the one with the highest hash of (node, chunk) asks the whole sources for it (rendezvous hashing), and the others get it from
 * that node. A node that has nothing left to ask a whole source for takes over chunks from the far end, so a slow or dead owner delays
 * nobody.
 *
 * When a source stalls, dies or refuses, its chunks are asked of other sources; a source that sent a wrong chunk is not asked again. At
 * the end, a chunk that a slow source still owes is asked for once more from a faster one. No chunk is asked for more than twice at a
 * time. */
#ifndef CARAVAN_WEIGHTS_EXCHANGE_H
#define CARAVAN_WEIGHTS_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum {
    EXCHANGE_MAX_SOURCES = 16,
    EXCHANGE_MAX_WINDOW = 32,           /* chunks outstanding at one source */
    EXCHANGE_STALL_US = 3000000,        /* silent for this long (longer for a slow source): its chunks may be asked for elsewhere */
    EXCHANGE_DEAD_STALLS = 5,           /* stalls after which the link is closed; twice as many after each further time in a row */
    EXCHANGE_HOPELESS_US = 30000000     /* for this long no answering source has had any missing chunk */
};

enum exchange_source_state {
    EXCHANGE_FREE,       /* the slot is empty */
    EXCHANGE_OUT,        /* no link; the next attempt comes after the pause */
    EXCHANGE_CONNECTING, /* the caller is connecting */
    EXCHANGE_UP,
    EXCHANGE_BANNED,     /* it sent a chunk that does not match its hash */
    EXCHANGE_STATE_COUNT
};

enum exchange_action_kind {
    EXCHANGE_CONNECT, /* open a link to `source`: exchange_up or exchange_down follows */
    EXCHANGE_ASK,     /* ask `source` for `chunk`: exchange_received or exchange_refused follows */
    EXCHANGE_POLL,    /* ask `source` again which chunks it has: exchange_has follows */
    EXCHANGE_DROP     /* close the link to `source`, which is silent; don't call exchange_down */
};
struct exchange_action {
    enum exchange_action_kind kind;
    uint32_t source, chunk;
};

/* What a source says about a chunk: it has it, wants it, or wants it and has asked for it. */
enum exchange_bits { EXCHANGE_NOTHING, EXCHANGE_HAS, EXCHANGE_WANTS, EXCHANGE_COMES };

enum exchange_verdict {
    EXCHANGE_ACCEPT,   /* keep it; it now counts as fetched */
    EXCHANGE_SPARE,    /* it had been fetched already: drop it */
    EXCHANGE_LIE,      /* its hash is wrong: drop it and close the link; the source is banned */
    EXCHANGE_UNASKED   /* it was not asked for: the link breaks the protocol */
};

struct exchange_totals {
    uint64_t bytes_here, bytes_all, bytes_spare; /* spare: bytes that came twice or with a wrong hash */
    double rate;                                 /* bytes a second of all sources together, recently */
};

struct exchange;

/* The missing chunks, `bytes` of each, in the order in which they will be read. self: this node's id. key[i] identifies chunk i for the
 * division among nodes: equal on all nodes. Both arrays are copied. */
struct exchange *exchange_create(uint64_t self, uint32_t n, const uint32_t *bytes, const uint64_t *key);
void exchange_free(struct exchange *x); /* NULL is fine */

/* Adds a source, which is then connected. Returns its slot; a node that has a slot keeps it (and becomes whole if `whole`). -1: no slot
 * is free. */
int exchange_source(struct exchange *x, clock_us now, uint64_t node, bool whole);
enum exchange_source_state exchange_source_state(const struct exchange *x, uint32_t source);
void exchange_up(struct exchange *x, clock_us now, uint32_t source, bool whole);
/* The link or the attempt to connect has failed. It is tried again, after a longer pause each time. */
void exchange_down(struct exchange *x, clock_us now, uint32_t source);
/* Which of our chunks a partial source has and wants: n bytes of enum exchange_bits. */
void exchange_has(struct exchange *x, uint32_t source, const uint8_t *bits);
/* The hash of a chunk is known. Only then is the chunk asked for. */
void exchange_known(struct exchange *x, uint32_t chunk);

/* exchange_heard: some bytes of a chunk came. exchange_received: the whole chunk came; `good` says whether its hash is right. */
void exchange_heard(struct exchange *x, clock_us now, uint32_t source, uint32_t bytes);
enum exchange_verdict exchange_received(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk, bool good);
/* The source doesn't have the chunk. */
void exchange_refused(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk);
/* The chunk is there, fetched by another process of this node. */
void exchange_here(struct exchange *x, uint32_t chunk);
/* The reader is at this chunk: the chunks from there on come first. waits: it can't go on without the chunk. */
void exchange_reading(struct exchange *x, clock_us now, uint32_t chunk, bool waits);

/* Takes the next action; false: none until an event comes or 50 ms have passed. */
bool exchange_next(struct exchange *x, clock_us now, struct exchange_action *ret);

uint32_t exchange_cursor(const struct exchange *x); /* the chunk at which the reader is */
bool exchange_is_here(const struct exchange *x, uint32_t chunk);
bool exchange_is_asked(const struct exchange *x, uint32_t chunk); /* of a source, and not fetched yet */
bool exchange_is_known(const struct exchange *x, uint32_t chunk);
bool exchange_done(const struct exchange *x);
/* No source has had any missing chunk for EXCHANGE_HOPELESS_US. */
bool exchange_hopeless(const struct exchange *x, clock_us now);
void exchange_total(const struct exchange *x, struct exchange_totals *ret);

#endif
