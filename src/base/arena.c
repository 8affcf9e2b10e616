/* SPDX-License-Identifier: MIT
 * The arena: blocks in a chain, the newest first. An allocation that doesn't fit a block gets a block of its own. See arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_SIZE = 4096 };

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) uint8_t data[];
};

struct arena {
    struct block *blocks;
};

struct arena *arena_create(void) { return MEM_NEW(struct arena); }

void arena_free(struct arena *a) {
    if (!a) return;
    struct block *next;
    for (struct block *b = a->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t size) {
    const size_t align = alignof(max_align_t);
    size_t rounded = size > SIZE_MAX - align ? SIZE_MAX : (size + align - 1) & ~(align - 1);
    struct block *b = a->blocks;
    if (!b || rounded > b->size - b->used) {
        size_t space = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;
        if (space > SIZE_MAX - sizeof(*b)) space = SIZE_MAX - sizeof(*b); /* mem_zalloc reports it and ends the process */
        b = mem_zalloc(sizeof(*b) + space);
        b->size = space;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    return p;
}

char *arena_strdup(struct arena *a, const char *s) { return s ? arena_strndup(a, s, strlen(s)) : NULL; }

char *arena_strndup(struct arena *a, const char *s, size_t len) {
    if (!s) return NULL;
    len = strnlen(s, len);
    char *copy = arena_alloc(a, len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) return arena_strdup(a, "");
    char *text = arena_alloc(a, (size_t)len + 1);
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}
