/* SPDX-License-Identifier: MIT
 * The memory of one parsed template, or of one rendering: many small blocks, counted, with a limit, freed all at once. Embedded in its
 * owner: init/done. One thread at a time. */
#ifndef CARAVAN_JINJA_HEAP_H
#define CARAVAN_JINJA_HEAP_H

#include <stddef.h>

struct jinja_chunk;

struct jinja_heap {
    struct jinja_chunk *chunks; /* the newest first */
    size_t used, limit;         /* bytes that were asked for, and how many may be */
};

void jinja_heap_init(struct jinja_heap *h, size_t limit);
void jinja_heap_done(struct jinja_heap *h);
/* Zeroed, aligned for any type; NULL past the limit, or if the system has no memory. */
void *jinja_heap_alloc(struct jinja_heap *h, size_t size);
/* As jinja_heap_alloc, neither zeroed nor aligned: for text. */
char *jinja_heap_bytes(struct jinja_heap *h, size_t size);

#endif
