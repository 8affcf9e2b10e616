/* SPDX-License-Identifier: MIT
 * See turn.h. */
#include "sched/turn.h"

#include <stdlib.h>

#include "base/mem.h"

void sched_turns_done(struct sched_turns *t) {
    free(t->keys);
    *t = (struct sched_turns){0};
}

/* Forgets the keys whose requests have all had their turn: a new request of theirs begins now. */
static void sweep(struct sched_turns *t) {
    for (size_t i = t->n; i-- > 0;)
        if (t->keys[i].end <= t->now) t->keys[i] = t->keys[--t->n];
}

static struct sched_turn_key *key_of(struct sched_turns *t, uint64_t key) {
    for (size_t i = 0; i < t->n; i++)
        if (t->keys[i].key == key) return &t->keys[i];
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 8;
        t->keys = mem_realloc(t->keys, t->cap, sizeof(*t->keys));
    }
    t->keys[t->n] = (struct sched_turn_key){.key = key, .end = t->now};
    return &t->keys[t->n++];
}

uint64_t sched_turns_take(struct sched_turns *t, uint64_t key, uint64_t cells) {
    sweep(t);
    struct sched_turn_key *k = key_of(t, key);
    uint64_t number = k->end;
    k->end += cells;
    return number;
}

void sched_turns_begin(struct sched_turns *t, uint64_t number) {
    if (number > t->now) t->now = number;
}

void sched_turns_clear(struct sched_turns *t) { t->n = 0; }
