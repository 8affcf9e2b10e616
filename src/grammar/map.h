/* SPDX-License-Identifier: MIT
 * A hash table of 64-bit keys to 32-bit values that is emptied in constant time. Embedded; all zeros is an empty map; one owner. */
#ifndef CARAVAN_GRAMMAR_MAP_H
#define CARAVAN_GRAMMAR_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    uint32_t value;
    uint32_t round;        /* the slot is in use if this equals the map's round */
};

struct map {
    struct map_slot *slots; /* owned */
    size_t size, n;         /* size: a power of 2, or 0 */
    uint32_t round;
};

void map_done(struct map *m);
void map_clear(struct map *m);
/* The key's value; 0 if *ret_new says that the key was missing and has been added. Valid until the next call. */
uint32_t *map_at(struct map *m, uint64_t key, bool *ret_new);

#endif
