/* SPDX-License-Identifier: MIT
 * Inside of exchange.h: exchange.c takes the events, exchange_pick.c decides. For these two only. */
#ifndef CARAVAN_WEIGHTS_EXCHANGE_PRIV_H
#define CARAVAN_WEIGHTS_EXCHANGE_PRIV_H

#include "weights/exchange.h"

struct exchange_chunk {
    uint32_t bytes;
    uint8_t asked; /* number of sources that owe it */
    bool here, known;
    uint64_t key;
};

struct exchange_asked {
    uint32_t chunk;
    bool given_up; /* it counts as missing again for other sources; it may still come */
    bool front;    /* asked for in its order, not taken over from another owner */
};

struct exchange_source {
    enum exchange_source_state state;
    uint64_t node;
    bool whole, stalled, dry; /* dry: nothing to ask it for until something changes */
    uint8_t *bits;            /* of a partial source, a byte for each chunk; NULL until it has listed them */
    struct exchange_asked asked[EXCHANGE_MAX_WINDOW]; /* oldest first */
    uint32_t n_asked;
    uint32_t failures;
    clock_us again;           /* OUT: when the next attempt is made */
    clock_us heard, polled;
    clock_us busy;            /* when it last had something in its order to do */
    clock_us mark;            /* start of the rate's measurement, over `bytes` */
    uint64_t bytes;
    double rate;              /* bytes a second; 0: not known yet */
};

struct exchange {
    uint64_t self;
    uint32_t n, n_here;
    struct exchange_chunk *chunks;
    struct exchange_source sources[EXCHANGE_MAX_SOURCES];
    uint32_t cursor; /* the chunk at which the reader is */
    bool waits;      /* it waits for that chunk since: */
    clock_us waits_since, hope, looked;
    uint64_t bytes_here, bytes_all, bytes_spare;
    clock_us total_mark;
    uint64_t total_bytes;
    double total_rate;
};

enum { EXCHANGE_LOOK_US = 50000 };

/* The chunk to ask `source` for next; false: none. *ret_front: in its order, not taken over from another owner. */
bool exchange_pick(const struct exchange *x, clock_us now, uint32_t source, uint32_t *ret, bool *ret_front);
/* Chunks that the source may owe at once. */
uint32_t exchange_window(const struct exchange_source *s);
bool exchange_source_has(const struct exchange_source *s, uint32_t chunk);

#endif
