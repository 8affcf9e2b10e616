/* SPDX-License-Identifier: MIT
 * Which chunk of a model's weights to ask from which source: a sans-I/O core, (now, event) -> actions; it owns no socket, clock, thread or
 * byte of weights. The caller (fetch.c) opens links, checks each chunk against its hash, and tells what happened.
 *
 * Sources are whole (they have the file) or partial (nodes that are fetching too, or did once: they say which chunks they have and which
 * they want). Every source has a window of outstanding chunks that follows its measured rate. Chunks are asked for in the order in which
 * they will be read; a source that is slower than the best asks as far ahead as the best gets meanwhile.
 *
 * So that a whole source sends nothing twice, the fetching nodes share its chunks out without talking about it: of those that want a chunk,
 * the one with the highest hash of (node, chunk) asks the whole sources for it (rendezvous hashing), and the others get it from that node.
 * A node that has nothing left to ask a whole source takes over chunks from the far end, so a slow or dead owner holds nobody up.
 *
 * A source that stalls, dies or refuses loses its chunks to the others; one that lies is not asked again. At the end a chunk that a slow
 * source still owes is asked for once more from a faster one, never more than twice in all. */
#ifndef CARAVAN_WEIGHTS_EXCHANGE_H
#define CARAVAN_WEIGHTS_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum {
    EXCHANGE_MAX_SOURCES = 16,
    EXCHANGE_MAX_WINDOW = 32,           /* chunks outstanding at one source */
    EXCHANGE_STALL_US = 3000000,        /* nothing for so long (longer from a slow source): its chunks may be asked for elsewhere */
    EXCHANGE_DEAD_STALLS = 5,           /* after so many times that the link is given up; twice as many after each time in a row */
    EXCHANGE_HOPELESS_US = 30000000     /* so long no source that answers has anything that is missing */
};

enum exchange_source_state {
    EXCHANGE_FREE,       /* the slot is empty */
    EXCHANGE_OUT,        /* no link; one is tried when its pause is over */
    EXCHANGE_CONNECTING, /* the caller is at it */
    EXCHANGE_UP,
    EXCHANGE_BANNED,     /* it sent a chunk that does not match its hash */
    EXCHANGE_STATE_COUNT
};

enum exchange_action_kind {
    EXCHANGE_CONNECT, /* open a link to `source`: exchange_up or exchange_down follows */
    EXCHANGE_ASK,     /* ask `source` for `chunk`: exchange_received or exchange_refused follows */
    EXCHANGE_POLL,    /* ask `source` again what it has: exchange_has follows */
    EXCHANGE_DROP     /* close the link to `source`, which is silent; no exchange_down is needed */
};
struct exchange_action {
    enum exchange_action_kind kind;
    uint32_t source, chunk;
};

/* What a source says of a chunk: it is there, wanted, or wanted and asked for already. */
enum exchange_bits { EXCHANGE_NOTHING, EXCHANGE_HAS, EXCHANGE_WANTS, EXCHANGE_COMES };

enum exchange_verdict {
    EXCHANGE_ACCEPT,   /* keep it; it is counted as here */
    EXCHANGE_SPARE,    /* it was here already: drop it */
    EXCHANGE_LIE,      /* it does not match: drop it and close the link, the source is banned */
    EXCHANGE_UNASKED   /* nobody asked: the link breaks the protocol */
};

struct exchange_totals {
    uint64_t bytes_here, bytes_all, bytes_spare; /* spare: came although it was here already, or did not match */
    double rate;                                 /* bytes a second, lately, of all sources together */
};

struct exchange;

/* The chunks that are missing, `bytes` of each, in the order in which they will be read. self: this node's id. key[i] names chunk i for
 * the sharing out: equal on all nodes. Both arrays are copied. */
struct exchange *exchange_create(uint64_t self, uint32_t n, const uint32_t *bytes, const uint64_t *key);
void exchange_free(struct exchange *x); /* NULL is fine */

/* A source is known: connects soon. Returns its slot; a node that has one already keeps it (and becomes whole, if it was not). -1: no slot
 * is free. */
int exchange_source(struct exchange *x, clock_us now, uint64_t node, bool whole);
enum exchange_source_state exchange_source_state(const struct exchange *x, uint32_t source);
void exchange_up(struct exchange *x, clock_us now, uint32_t source, bool whole);
/* The link, or the attempt at one, is gone. It is tried again, later each time. */
void exchange_down(struct exchange *x, clock_us now, uint32_t source);
/* A node is no longer known (and its link is gone): its slot becomes free. */
void exchange_forget(struct exchange *x, clock_us now, uint32_t source);
/* What a partial source has and wants of our chunks: n bytes of enum exchange_bits. */
void exchange_has(struct exchange *x, uint32_t source, const uint8_t *bits);
/* The hash of a chunk is known: only then is it asked for. */
void exchange_known(struct exchange *x, uint32_t chunk);

/* Some bytes of a chunk came; then the whole of it: `good` says whether it matches its hash. */
void exchange_heard(struct exchange *x, clock_us now, uint32_t source, uint32_t bytes);
enum exchange_verdict exchange_received(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk, bool good);
/* The source does not have it after all. */
void exchange_refused(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk);
/* It is here by other means (another process of this node fetched it). */
void exchange_here(struct exchange *x, uint32_t chunk);
/* The reader stands at this chunk: what follows it comes first. waits: and cannot go on without it. */
void exchange_reading(struct exchange *x, clock_us now, uint32_t chunk, bool waits);

/* Takes the next action; false: none until something happens or a moment (50 ms) has passed. */
bool exchange_next(struct exchange *x, clock_us now, struct exchange_action *ret);

uint32_t exchange_cursor(const struct exchange *x); /* where the reader stands */
bool exchange_is_here(const struct exchange *x, uint32_t chunk);
bool exchange_is_asked(const struct exchange *x, uint32_t chunk); /* of a source, and not here yet */
bool exchange_is_known(const struct exchange *x, uint32_t chunk);
bool exchange_done(const struct exchange *x);
/* No source has had anything to give for EXCHANGE_HOPELESS_US. */
bool exchange_hopeless(const struct exchange *x, clock_us now);
void exchange_total(const struct exchange *x, struct exchange_totals *ret);

#endif
