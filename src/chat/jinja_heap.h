/* SPDX-License-Identifier: MIT
 * The memory of one JavaScript runtime: counted, with a limit, and given back all at once, whatever state the runtime is in.
 * Embedded in its owner, one thread. It doesn't know QuickJS. */
#ifndef CARAVAN_CHAT_JINJA_HEAP_H
#define CARAVAN_CHAT_JINJA_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct jinja_block;

struct jinja_heap {
    struct jinja_block *first;
    size_t used, limit, peak;   /* bytes */
    bool full;                  /* the limit was met */
};

void jinja_heap_init(struct jinja_heap *h, size_t limit);
/* Frees every block. */
void jinja_heap_done(struct jinja_heap *h);

/* As malloc and its kin; NULL past the limit. */
void *jinja_heap_alloc(struct jinja_heap *h, size_t size);
void *jinja_heap_calloc(struct jinja_heap *h, size_t count, size_t size);
void *jinja_heap_realloc(struct jinja_heap *h, void *p, size_t size);
void jinja_heap_free(struct jinja_heap *h, void *p);
size_t jinja_heap_size(const void *p);

#endif
