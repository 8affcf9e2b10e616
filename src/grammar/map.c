/* SPDX-License-Identifier: MIT */
#include "grammar/map.h"

#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_SIZE = 64 };

void map_done(struct map *m) {
    free(m->slots);
    *m = (struct map){0};
}

void map_clear(struct map *m) {
    m->n = 0;
    if (++m->round > 0) return;
    for (size_t i = 0; i < m->size; i++) m->slots[i].round = 0; /* after 2^32 rounds */
    m->round = 1;
}

static size_t place(const struct map *m, uint64_t key) {
    uint64_t h = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 29) & (m->size - 1);
}

static struct map_slot *find(const struct map *m, uint64_t key) {
    size_t at = place(m, key);
    while (m->slots[at].round == m->round && m->slots[at].key != key) at = (at + 1) & (m->size - 1);
    return &m->slots[at];
}

static void grow(struct map *m) {
    struct map old = *m;
    if (old.round == 0) m->round = old.round = 1;
    m->size = old.size > 0 ? 2 * old.size : FIRST_SIZE;
    m->slots = mem_calloc(m->size, sizeof *m->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].round == old.round) *find(m, old.slots[i].key) = old.slots[i];
    free(old.slots);
}

uint32_t *map_at(struct map *m, uint64_t key, bool *ret_new) {
    if (2 * m->n >= m->size) grow(m);
    struct map_slot *slot = find(m, key);
    *ret_new = slot->round != m->round;
    if (*ret_new) {
        *slot = (struct map_slot){.key = key, .round = m->round};
        m->n++;
    }
    return &slot->value;
}
