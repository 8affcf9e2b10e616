/* SPDX-License-Identifier: MIT
 * The requests of one model that wait for a place, in the order in which they get one:
 * - A request of higher priority goes first. Those of QUEUE_BACKGROUND leave their places to all others: these run beside them, and the
 *   scheduler of the model lets them go first.
 * - Of the same priority, the keys take turns by deficit round robin (Shreedhar and Varghese, 1995): each may use as many tokens as the
 *   others, however many requests it has. A request is charged with the tokens that are predicted when it gets its place, and with the
 *   difference to the true ones when it leaves. When nobody waits, nobody owes anything.
 * - Requests of the same key go in the order in which they came.
 * The queue also knows the requests that run, so it can predict how long one will wait. A core: time is an argument, and actions are
 * results. The owner embeds a struct queue_entry in its request, and after everything that may give a place it calls queue_next until that
 * returns NULL. */
#ifndef CARAVAN_ROUTING_QUEUE_H
#define CARAVAN_ROUTING_QUEUE_H

#include "base/clock.h"
#include "base/err.h"

enum {
    QUEUE_BACKGROUND = -1000000, /* a priority below all that clients and keys may have: requests for which nobody waits */
};
enum { QUEUE_MAX_KEY = 64, QUEUE_QUANTUM = 2048 /* tokens that a key may use more, each time that its turn comes */ };

enum queue_state { QUEUE_OUT, QUEUE_WAITS, QUEUE_RUNS };

struct queue_entry {
    /* the owner's, set before queue_enter */
    int32_t priority;
    const char *key;           /* whose request it is; "": nobody's. Copied */
    uint32_t places;           /* that it takes while it runs: one for each answer; at least 1 */
    uint64_t tokens;           /* prompt and answer, as predicted */
    clock_us cost;             /* the time that it runs, as predicted; 0: nobody knows */
    void *user;
    /* the queue's */
    enum queue_state state;
    clock_us since;            /* when it began to wait, or to run */
    struct queue_entry *next;
    struct queue_flow *flow;
};

struct queue; /* opaque */
struct queue *queue_create(void);
void queue_free(struct queue *q); /* no entry may be in it; NULL is fine */
/* How many places there are, and how many requests may wait. They may change at any time; nothing is taken from requests that run. */
void queue_set_room(struct queue *q, uint32_t places, uint32_t bound);

/* Puts the entry at the end of its flow. ERR_BUSY: the queue is full (entries of QUEUE_BACKGROUND count for those of that priority only);
 * *ret_retry (may be NULL): until the next place is free, as predicted; 0: nobody knows. */
err_code queue_enter(struct queue *q, clock_us now, struct queue_entry *entry, clock_us *ret_retry, struct err *e);
/* The entry whose turn it is: it runs from now on. NULL: there is no place, or nobody waits. */
struct queue_entry *queue_next(struct queue *q, clock_us now);
/* An entry that runs has used so many tokens in truth: its key is charged with these instead of entry->tokens. At most once. */
void queue_charge(struct queue *q, struct queue_entry *entry, uint64_t tokens);
/* The entry leaves, whether it runs or waits. Does nothing if it has left already. */
void queue_leave(struct queue *q, struct queue_entry *entry);

/* How long an entry with these fields would wait if it entered now, as predicted. 0: not at all. */
clock_us queue_wait(const struct queue *q, clock_us now, const struct queue_entry *entry);
/* What all entries will take if one is computed at a time, as predicted. */
clock_us queue_work(const struct queue *q, clock_us now);
/* Since when the entry waits that came first. Somebody waits. */
clock_us queue_oldest(const struct queue *q);
uint32_t queue_waiting(const struct queue *q); /* requests */
uint32_t queue_running(const struct queue *q); /* places that are taken */

#endif
