/* SPDX-License-Identifier: MIT
 * The list of what the stages have in their stores: kept sequences, and marks. Like kept slots, they serve requests that begin the same
 * way, and there may be more of them than slots: a sequence goes into the stores when its slot is given up. Stores are in memory, or on
 * disk (engine_store). Those on disk outlive the ring: the head's store tells the list when the scheduler is made, and when the scheduler
 * has nothing else to do, it saves what it keeps. A stage may have lost what the list promises; it says so, as of a mark (sched/mark.h). */
#ifndef CARAVAN_SCHED_STORED_H
#define CARAVAN_SCHED_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHED_STORED_MOST = 256 };

struct sched_stored {
    uint64_t key;
    uint32_t n, n_prompt; /* positions; n_prompt: as in struct sched_cut */
    bool mark;
    uint32_t frame;       /* carries its operation */
    int32_t *tokens;      /* [n], owned */
};

struct sched_store {
    struct sched_stored all[SCHED_STORED_MOST]; /* the least recently used one first */
    size_t n;
};

/* The name of these tokens in stores: it depends on nothing else. */
uint64_t sched_stored_key(const int32_t *tokens, uint32_t n);
const struct sched_stored *sched_stored_find(const struct sched_store *st, uint64_t key); /* NULL: there is none */
/* Copies the tokens. The least recently used entry makes room. */
void sched_stored_put(struct sched_store *st, const struct sched_stored *x);
/* It is used now. */
void sched_stored_touch(struct sched_store *st, uint64_t key);
void sched_stored_drop(struct sched_store *st, uint64_t key);
void sched_stored_done(struct sched_store *st);

#endif
