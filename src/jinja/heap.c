/* SPDX-License-Identifier: MIT */
#include "jinja/heap.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 32 << 10, ALONE = 4 << 10 }; /* bytes of a chunk; from this size on a block gets a chunk of its own */

struct jinja_chunk {
    struct jinja_chunk *next;
    size_t used, size;
    alignas(max_align_t) char data[];
};

void jinja_heap_init(struct jinja_heap *h, size_t limit) { *h = (struct jinja_heap){.limit = limit}; }

void jinja_heap_done(struct jinja_heap *h) {
    for (struct jinja_chunk *c = h->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    jinja_heap_init(h, h->limit);
}

static struct jinja_chunk *chunk_new(size_t size) {
    struct jinja_chunk *c = malloc(sizeof(*c) + size);
    if (c != NULL) *c = (struct jinja_chunk){.size = size};
    return c;
}

/* A large block is linked after the newest chunk, which goes on being filled. */
static char *block_alone(struct jinja_heap *h, size_t size) {
    struct jinja_chunk *c = chunk_new(size);
    if (c == NULL) return NULL;
    c->used = size;
    c->next = h->chunks != NULL ? h->chunks->next : NULL;
    if (h->chunks != NULL) h->chunks->next = c;
    else h->chunks = c;
    return c->data;
}

static char *block(struct jinja_heap *h, size_t size, size_t align) {
    if (size > h->limit || h->used > h->limit - size) return NULL;
    h->used += size;
    if (size >= ALONE) return block_alone(h, size);
    struct jinja_chunk *c = h->chunks;
    size_t at = c != NULL ? (c->used + align - 1) & ~(align - 1) : 0;
    if (c == NULL || at > c->size || size > c->size - at) {
        if ((c = chunk_new(CHUNK)) == NULL) return NULL;
        c->next = h->chunks;
        h->chunks = c;
        at = 0;
    }
    c->used = at + size;
    return c->data + at;
}

void *jinja_heap_alloc(struct jinja_heap *h, size_t size) {
    void *p = block(h, size, alignof(max_align_t));
    if (p != NULL) memset(p, 0, size);
    return p;
}

char *jinja_heap_bytes(struct jinja_heap *h, size_t size) { return block(h, size, 1); }
