/* SPDX-License-Identifier: MIT
 * The memory beside the KV cells, in which parked sequences, marks and stored sequences share what the node gives. Stored sequences, which
 * have neither slot nor cells, make room for the others, those first that were used least recently. Here are their list, and the keys of
 * what is gone, until the stage asks for them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice_priv.h"
#include "os/machine.h"

enum { MEMORY_SHARE = 8 }; /* what is kept takes at most this fraction (1/8) of the machine's available memory when it comes */

/* ---- what is gone ---- */

/* There are at most as many as operations and stored sequences, since the stage asks after each frame. */
void slice_room_lose(struct slice *s, uint64_t key) {
    s->lost = mem_realloc(s->lost, s->n_lost + 1, sizeof(*s->lost));
    s->lost[s->n_lost++] = key;
}

size_t slice_room_lost(struct slice *s, uint64_t *ret_keys) {
    size_t n = s->n_lost;
    if (n > 0) memcpy(ret_keys, s->lost, n * sizeof(*ret_keys));
    s->n_lost = 0;
    return n;
}

/* ---- stored sequences ---- */

static uint64_t bytes_of(const struct engine_kept *k) {
    uint64_t arrays = (k->tokens != NULL) + (k->positions != NULL);
    return k->size + arrays * k->n * sizeof(*k->tokens);
}

struct engine_kept *slice_room_find(const struct slice *s, uint64_t key) {
    for (size_t i = 0; i < s->n_stored; i++)
        if (s->stored[i].key == key) return &s->stored[i];
    return NULL;
}

static struct engine_kept take_out(struct slice *s, struct engine_kept *k) {
    struct engine_kept taken = *k;
    s->park_used -= bytes_of(k);
    s->n_stored--;
    memmove(k, k + 1, (size_t)(&s->stored[s->n_stored] - k) * sizeof(*k));
    return taken;
}

static void put_last(struct slice *s, const struct engine_kept *k) {
    s->stored[s->n_stored++] = *k;
    s->park_used += bytes_of(k);
}

void slice_room_drop(struct slice *s, struct engine_kept *k) {
    struct engine_kept taken = take_out(s, k);
    free(taken.data);
    free(taken.tokens);
    free(taken.positions);
}

void slice_room_drop_oldest(struct slice *s) {
    slice_room_lose(s, s->stored[0].key);
    slice_room_drop(s, &s->stored[0]);
}

void slice_room_use(struct slice *s, struct engine_kept *k) {
    struct engine_kept used = take_out(s, k);
    put_last(s, &used);
}

void slice_room_put(struct slice *s, const struct engine_kept *k) {
    struct engine_kept *same = slice_room_find(s, k->key);
    if (same != NULL) slice_room_drop(s, same);
    if (s->stored == NULL) s->stored = mem_calloc(ENGINE_MAX_STORED, sizeof(*s->stored));
    if (s->n_stored == ENGINE_MAX_STORED) slice_room_drop_oldest(s);
    put_last(s, k);
}

void slice_room_free(struct slice *s) {
    while (s->n_stored > 0) slice_room_drop(s, &s->stored[s->n_stored - 1]);
    free(s->stored);
    free(s->lost);
}

/* ---- room ---- */

bool slice_room_fits(struct slice *s, uint64_t size) {
    while (s->n_stored > 0 && s->park_used + size > s->park_room && size <= s->park_room) slice_room_drop_oldest(s);
    return s->park_used + size <= s->park_room && size <= machine_memory_available() / MEMORY_SHARE;
}
